"""Writes tokenizer_folders.json: what transformers and diffusers make of prompts with tokenizers whose files differ.

    python tests/goldens/tokenizer_folders.py

Needs transformers and diffusers (5.23.0 and 0.42.1 were used). Vocabulary and merges are those of the embedded checkpoint,
which are CLIP's own; each case says what else stands in the tokenizer's folder. A prompt is encoded as the pipeline does it:
words of several vectors are written out (`maybe_convert_prompt`), then it is padded and cut at `model_max_length`. Where
transformers refuses a folder, the case has its error instead of prompts.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import transformers
from diffusers.loaders import TextualInversionLoaderMixin
from transformers import CLIPTokenizer

transformers.logging.set_verbosity_error()
HERE = Path(__file__).resolve().parent
VOCABULARY = HERE.parents[1] / "lessons/little-world/checkpoint/tokenizer"
CONFIG = json.loads((VOCABULARY / "tokenizer_config.json").read_text())
START, END = "<|startoftext|>", "<|endoftext|>"
# The map that Stable Diffusion v2's folders have, and the objects of v1's.
V2_MAP = {"bos_token": START, "eos_token": END, "pad_token": "!", "unk_token": END}


def token(content, **flags):
    """An added token as files write it."""
    return {
        "content": content,
        "lstrip": False,
        "normalized": True,
        "rstrip": False,
        "single_word": False,
    } | flags


def typed(content, **flags):
    return {"__type": "AddedToken"} | token(content, **flags)


PROMPTS = [
    "",
    "an apple",
    "wow! an apple!!",
    "a <cat-toy> on grass",
    "<cat-toy>",
    "a<cat-toy>b <CAT-TOY> <Cat-Toy>,  <cat-toy>  .",
    "<cat-toy><cat-toy> <cat-toy>_1 <cat-toy>_2 and <cat-toy>",
    "一只 <cat-toy> 猫在草地上 猫",
    "a 猫 on 草地, my猫too",
    "the Sks dog, sks, SKS, asks, sks!",
    "<|endoftext|> in <|ENDOFTEXT|> the <|startoftext|>middle<|StartOfText|>",
    "café <café> cafe\u0301 <cafe\u0301> CAFÉ",
    "a  red\t<two words>\n<two  words> apple",
    "<image> <s> </s> [PAD] <pad> <mask>",
    "🍎 <🍎> 🍎🍎",
    "a long prompt, " * 20 + "the end <cat-toy>",
    "<cat-toy> " * 60,
    "null\x00 byte <cat-toy>\x00",
    "\u200b<cat-toy>\u200b \u3000<cat-toy>\u3000",
]


def config(**changes):
    """The embedded tokenizer's configuration, changed; None takes a key away."""
    changed = CONFIG | changes
    return {key: value for key, value in changed.items() if value is not REMOVED}


REMOVED = object()
# Each case: what stands in the folder beside vocabulary and merges. `tokenizer.json` gets these as its model.
CASES = {
    "as it is": {"tokenizer_config.json": CONFIG},
    "no settings at all": {},
    "the map of v2": {"tokenizer_config.json": CONFIG, "special_tokens_map.json": V2_MAP},
    "the map alone": {"tokenizer_config.json": config(pad_token=REMOVED), "special_tokens_map.json": V2_MAP},
    "the map loses to added_tokens_decoder": {
        "tokenizer_config.json": config(added_tokens_decoder={"49407": token(END, special=True)}),
        "special_tokens_map.json": V2_MAP,
    },
    "an empty added_tokens_decoder": {
        "tokenizer_config.json": config(added_tokens_decoder={}),
        "special_tokens_map.json": V2_MAP,
    },
    "v1's objects in the configuration": {
        "tokenizer_config.json": config(bos_token=typed(START), eos_token=typed(END), unk_token=typed(END)),
    },
    "v1's objects in configuration and map": {
        "tokenizer_config.json": config(bos_token=typed(START), eos_token=typed(END), unk_token=typed(END)),
        "special_tokens_map.json": {
            "bos_token": token(START),
            "eos_token": token(END),
            "pad_token": END,
            "unk_token": token(END),
        },
    },
    "objects of other flags for one token": {
        "tokenizer_config.json": config(eos_token=typed(END, normalized=False), unk_token=typed(END, lstrip=True)),
    },
    "an object in the map without flags": {
        "tokenizer_config.json": CONFIG,
        "special_tokens_map.json": {"pad_token": {"content": "!"}},
    },
    "a map with settings of other kinds": {
        "tokenizer_config.json": CONFIG,
        "special_tokens_map.json": {"model_max_length": 20, "padding_side": "left"},
    },
    "other names": {"tokenizer_config.json": config(bos_token="!", eos_token="the</w>", pad_token="a</w>")},
    "unknown bytes": {"tokenizer_config.json": config(unk_token="!")},
    "a padding token of its own": {"tokenizer_config.json": config(pad_token="[PAD]")},
    "all special tokens": {
        "tokenizer_config.json": config(sep_token="</s>", cls_token="<s>", mask_token=typed("<mask>", lstrip=True)),
    },
    "special tokens of other names": {
        "tokenizer_config.json": config(image_token="<image>", extra_special_tokens={"sound_token": "<s>"}),
    },
    "more special tokens": {
        "tokenizer_config.json": config(additional_special_tokens=["<cat-toy>", typed("猫", normalized=False)]),
    },
    "more special tokens, newer": {
        "tokenizer_config.json": config(
            extra_special_tokens=["<image>"], additional_special_tokens=["<cat-toy>"]
        ),
    },
    "more special tokens in both": {
        "tokenizer_config.json": config(additional_special_tokens=["<image>"]),
        "special_tokens_map.json": {"additional_special_tokens": ["<cat-toy>"]},
    },
    "more special tokens in both, newer": {
        "tokenizer_config.json": config(extra_special_tokens=["<image>"]),
        "special_tokens_map.json": {"extra_special_tokens": ["<cat-toy>", token("<s>")]},
    },
    "more special tokens in the map, by name": {
        "tokenizer_config.json": CONFIG,
        "special_tokens_map.json": {"extra_special_tokens": {"image_token": "<image>"}, "sound_token": "<s>"},
    },
    "added_tokens.json": {"tokenizer_config.json": CONFIG, "added_tokens.json": {"<cat-toy>": 49408}},
    "added_tokens.json, several": {
        "tokenizer_config.json": CONFIG,
        "added_tokens.json": {"sks": 49411, "<cat-toy>": 49408, "<two words>": 49410, "猫": 49409},
    },
    "added_tokens.json, several vectors": {
        "tokenizer_config.json": CONFIG,
        "added_tokens.json": {"<cat-toy>": 49408, "<cat-toy>_1": 49409, "<cat-toy>_2": 49410},
    },
    "added_tokens.json, ids with gaps": {
        "tokenizer_config.json": CONFIG,
        "added_tokens.json": {"<cat-toy>": 60000, "猫": 70000},
    },
    "added_tokens.json, ids that are taken": {
        "tokenizer_config.json": CONFIG,
        "added_tokens.json": {"<cat-toy>": 5, "猫": 49407},
    },
    "added_tokens.json, words of the vocabulary": {
        "tokenizer_config.json": CONFIG,
        "added_tokens.json": {"the</w>": 518, "!": 0, "cat": 123, END: 49407},
    },
    "added_tokens.json and a special token": {
        "tokenizer_config.json": config(pad_token="<pad>"),
        "added_tokens.json": {"<pad>": 49408, "<Cat-Toy>": 49409},
    },
    "added_tokens.json, capitals and accents": {
        "tokenizer_config.json": CONFIG,
        "added_tokens.json": {"<CAFÉ>": 49408, "Sks": 49409},
    },
    "added_tokens_decoder": {
        "tokenizer_config.json": config(
            added_tokens_decoder={
                "49406": token(START, normalized=False, special=True),
                "49407": token(END, normalized=False, special=True),
                "49408": token("<cat-toy>"),
                "49409": token("猫", special=True, normalized=False),
            }
        ),
        "added_tokens.json": {"<image>": 49408},
    },
    "added_tokens_decoder with every flag": {
        "tokenizer_config.json": config(
            added_tokens_decoder={
                "49408": token("<cat-toy>", lstrip=True, rstrip=True),
                "49409": token("sks", single_word=True),
                "49410": token("猫", normalized=False, single_word=True),
                "49411": token("apple", lstrip=True, normalized=False),
                "49412": {"content": "<image>"},
                "49413": {"content": "<s>", "special": True},
            }
        ),
    },
    "added_tokens_decoder, several vectors in capitals": {
        "tokenizer_config.json": config(
            added_tokens_decoder={
                "49408": token("Sks", normalized=False),
                "49409": token("Sks_1", normalized=False),
                "49410": token("<Cat-Toy>"),
                "49411": token("<Cat-Toy>_1"),
            }
        ),
    },
    "special tokens are split": {"tokenizer_config.json": config(split_special_tokens=True)},
    "special tokens are split, others not": {
        "tokenizer_config.json": config(split_special_tokens=True),
        "added_tokens.json": {"<cat-toy>": 49408},
    },
    "padded at the left": {"tokenizer_config.json": config(padding_side="left")},
    "cut at the left": {"tokenizer_config.json": config(truncation_side="left")},
    "shorter": {"tokenizer_config.json": config(model_max_length=16)},
    "max_len": {"tokenizer_config.json": config(model_max_length=REMOVED, max_len=24)},
    "settings that CLIP does not look at": {
        "tokenizer_config.json": config(
            do_lower_case=False,
            add_prefix_space=True,
            errors="strict",
            add_bos_token=False,
            add_eos_token=True,
            clean_up_tokenization_spaces=True,
            use_fast=False,
            name_or_path="x",
            tokenizer_class="GPT2Tokenizer",
            model_input_names=["input_ids"],
            stride=3,
            chat_template="x",
            vocab_file="/nowhere",
            something_new={"a": 1},
        ),
    },
    "tokenizer.json": {
        "tokenizer_config.json": CONFIG,
        "tokenizer.json": {"added_tokens": [{"id": 49406, **token(START, special=True)}, {"id": 49407, **token(END, special=True)}]},
    },
    "tokenizer.json with a word": {
        "tokenizer_config.json": CONFIG,
        "special_tokens_map.json": V2_MAP,
        "tokenizer.json": {"added_tokens": [{"id": 49408, **token("<cat-toy>")}]},
    },
    "tokenizer.json's words lose to added_tokens_decoder": {
        "tokenizer_config.json": config(added_tokens_decoder={"49408": token("猫")}),
        "tokenizer.json": {"added_tokens": [{"id": 49408, **token("<cat-toy>")}]},
    },
    "tokenizer.json and added_tokens.json": {
        "tokenizer_config.json": CONFIG,
        "added_tokens.json": {"猫": 49408, "sks": 49409},
        "tokenizer.json": {"added_tokens": [{"id": 49408, **token("<cat-toy>")}]},
    },
    "tokenizer.json with rules of its own": {
        "tokenizer_config.json": CONFIG,
        "tokenizer.json": {
            "added_tokens": [],
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [],
                "special_tokens": {},
            },
        },
    },
    "tokenizer.json with padding and truncation": {
        "tokenizer_config.json": CONFIG,
        "tokenizer.json": {
            "added_tokens": [],
            "padding": {
                "strategy": {"Fixed": 30},
                "direction": "Left",
                "pad_to_multiple_of": 8,
                "pad_id": 5,
                "pad_type_id": 1,
                "pad_token": "!",
            },
            "truncation": {"direction": "Left", "max_length": 12, "strategy": "LongestFirst", "stride": 2},
        },
    },
    "tokenizer.json's sides lose to the settings": {
        "tokenizer_config.json": config(padding_side="right", truncation_side="right"),
        "tokenizer.json": {
            "added_tokens": [],
            "padding": {
                "strategy": "BatchLongest",
                "direction": "Left",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "!",
            },
            "truncation": {"direction": "Left", "max_length": 12, "strategy": "LongestFirst", "stride": 0},
        },
    },
    "no padding token": {"tokenizer_config.json": config(pad_token=None)},
    "no start token": {"tokenizer_config.json": config(bos_token=None)},
    "an unknown side": {"tokenizer_config.json": config(padding_side="middle")},
}


def model():
    """The model of `tokenizer.json`: CLIP's vocabulary and merges."""
    merges = (VOCABULARY / "merges.txt").read_text().splitlines()[1:]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": END,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "</w>",
        "fuse_unk": False,
        "vocab": json.loads((VOCABULARY / "vocab.json").read_text()),
        "merges": [line for line in merges if line],
    }


def whole(parts):
    """A `tokenizer.json` with these parts."""
    absent = dict.fromkeys(["truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"])
    return {"version": "1.0", **absent, **parts, "model": model()}


def encode(folder):
    """All prompts as the pipeline encodes them, or the error."""
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        length = min(tokenizer.model_max_length, 77)
        ids = []
        for prompt in PROMPTS:
            prompt = TextualInversionLoaderMixin().maybe_convert_prompt(prompt, tokenizer)
            ids.append(tokenizer(prompt, padding="max_length", max_length=length, truncation=True).input_ids)
        return {"ids": ids}
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def main():
    cases = []
    for title, files in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            for name in ("vocab.json", "merges.txt"):
                shutil.copy(VOCABULARY / name, folder)
            for name, content in files.items():
                content = whole(content) if name == "tokenizer.json" else content
                (Path(folder) / name).write_text(json.dumps(content))
            result = encode(folder)
        if "ids" in result:
            # Padding is most of it: runs of one id are written as [id, how often].
            result["ids"] = [runs(ids) for ids in result["ids"]]
        cases.append({"title": title, "files": files} | result)
        print(title, "->", result.get("error", "ok"))
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    head = json.dumps(PROMPTS, separators=(",", ":"))
    (HERE / "tokenizer_folders.json").write_text(f'{{"prompts":{head},"cases":[\n{lines}\n]}}\n')


def runs(ids):
    found = []
    for token_id in ids:
        if found and found[-1][0] == token_id:
            found[-1][1] += 1
        else:
            found.append([token_id, 1])
    return found


if __name__ == "__main__":
    main()
