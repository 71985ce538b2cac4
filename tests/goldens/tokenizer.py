"""Writes tokenizer.json: what transformers' CLIPTokenizer makes of many prompts.

    python tests/goldens/tokenizer.py

Needs transformers (5.23.0 was used). The vocabulary is that of the embedded checkpoint, which is CLIP's own.
"""

import json
import random
from pathlib import Path

from transformers import CLIPTokenizer

HERE = Path(__file__).resolve().parent
VOCABULARY = HERE.parents[1] / "lessons/little-world/checkpoint/tokenizer"

PROMPTS = [
    "",
    " ",
    " \t\n  ",
    "apple",
    "Apple",
    "APPLE PIE",
    "苹果",
    "a red 苹果 on a table",
    "dream beach",
    "dreambeach",
    "man",
    "gentleman",
    "guy",
    "monet",
    "manet",
    "degas",
    "a photograph of an astronaut riding a horse",
    "a photograph of an astronaut riding a horse.",
    "  leading and trailing  ",
    "two  spaces,\ta tab\nand a newline",
    "no-break\u00a0space, em\u2003space, zero\u200bwidth, ideographic\u3000space, line\u2028separator, next\u0085line",
    "naïve café, Ångström, Straße, ŒUVRE",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m (decomposed)",
    "e\u0301\u0323 order of marks, q\u0307\u0323",
    "\u0301 a lone accent",
    "\u1100\u1161\u11a8 jamo, \uac01 syllable",
    "한국어 프롬프트",
    "日本語のプロンプト、ひらがなとカタカナ",
    "Привет, МИР",
    "Ελληνικά ΣΊΣΥΦΟΣ",
    "İstanbul IĞDIR ı",
    "ﬁne ﬂow ½ ² Ⅷ ① ㎏",
    "مرحبا بالعالم ١٢٣",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "שלום עולם",
    "🍎",
    "🍎🍏 apples 👨‍👩‍👧‍👦 family 🏳️‍🌈 flag 🇩🇪",
    "👍🏽 thumbs 1️⃣ keycap",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝓈𝒸𝓇𝒾𝓅𝓉",
    "\ue000 private \uf8ff use \U0010ffff",
    "\ufeffbyte order mark",
    "\ufffd replacement",
    "null\x00byte, bell\x07, escape\x1b[31m red, delete\x7f, unit\x1fseparator \x1c\x1d\x1e",
    "\x00",
    "\r\n",
    "don't can't I'm we're they've she'll he'd it's 'tis 's 'S DON'T",
    "don’t (typographic)",
    "'''''",
    "!!! ??? ... --- *** @#$%^&*() _under_score_",
    "a,b;c:d.e/f\\g|h",
    "(masterpiece:1.2), [best] {quality}",
    "http://example.org/a?b=c&d=%20",
    "1 12 123 1234 12345.678 1,000,000 3rd 4k 8K 1990s",
    "x1y2z3",
    "<|endoftext|>",
    "<|startoftext|>",
    "a <|endoftext|> b",
    "x<|startoftext|>y<|endoftext|>",
    "<|ENDOFTEXT|> <|StartOfText|>",
    "<|endoftext| > <|endoftext",
    "<|endoftext|><|endoftext|>",
    "apple</w> </w> w</w>",
    "Ġ Ċ ĉ byte-level letters",
    "a " * 75,
    "a " * 76,
    "a " * 77,
    "a very long prompt that goes on and on, " * 12,
    "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis",
    "w" * 500,
    "苹" * 60,
    "a\u0300" * 90,
    "aaaa" * 30 + " " + "bbbb" * 30,
]

# Blocks that random prompts draw from: first and last code point.
BLOCKS = [
    (0x20, 0x7E),
    (0x20, 0x7E),
    (0x00, 0x1F),
    (0x80, 0xFF),
    (0x100, 0x24F),
    (0x300, 0x36F),
    (0x370, 0x3FF),
    (0x400, 0x4FF),
    (0x590, 0x6FF),
    (0x900, 0x97F),
    (0xE00, 0xE7F),
    (0x1100, 0x11FF),
    (0x1E00, 0x1FFF),
    (0x2000, 0x206F),
    (0x2100, 0x218F),
    (0x3000, 0x30FF),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3),
    (0xF900, 0xFAFF),
    (0xFE00, 0xFFFF),
    (0x10000, 0x100FF),
    (0x1D400, 0x1D7FF),
    (0x1F300, 0x1FAFF),
    (0x20000, 0x2A6DF),
]


def random_prompts(count: int) -> list[str]:
    """Prompts of up to 24 characters, from one to three blocks each."""
    generator = random.Random(20220822)
    prompts = []
    for _ in range(count):
        blocks = generator.sample(BLOCKS, generator.randint(1, 3))
        length = generator.randint(1, 24)
        prompts.append("".join(chr(generator.randint(*generator.choice(blocks))) for _ in range(length)))
    return prompts


def main() -> None:
    tokenizer = CLIPTokenizer.from_pretrained(VOCABULARY)
    padded = dict(padding="max_length", max_length=77, truncation=True)
    entries = []
    for prompt in PROMPTS:
        whole = tokenizer(prompt, return_offsets_mapping=True)
        entries.append(
            {
                "prompt": prompt,
                "padded": tokenizer(prompt, **padded)["input_ids"],
                "ids": whole["input_ids"][1:-1],
                # In characters, of the prompt as it was typed.
                "offsets": whole["offset_mapping"][1:-1],
            }
        )
    for prompt in random_prompts(400):
        entries.append({"prompt": prompt, "ids": tokenizer(prompt)["input_ids"][1:-1]})
    words = ("apple banana 苹果 don't " * 2500).strip()
    long = {
        "repeated": "apple banana 苹果 don't ",
        "times": 2500,
        "padded": tokenizer(words, **padded)["input_ids"],
        "count": len(tokenizer(words)["input_ids"]) - 2,
    }
    document = {"prompts": entries, "long": long}
    lines = [json.dumps(entry, separators=(",", ":")) for entry in entries]
    text = '{"prompts":[\n' + ",\n".join(lines) + '\n],"long":' + json.dumps(long, separators=(",", ":")) + "}\n"
    assert json.loads(text) == json.loads(json.dumps(document))
    (HERE / "tokenizer.json").write_text(text)


if __name__ == "__main__":
    main()
