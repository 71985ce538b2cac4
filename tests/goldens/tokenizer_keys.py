"""Writes tokenizer_keys.json: every key of a tokenizer's JSON files that transformers looks at when it makes a CLIPTokenizer.

    python tests/goldens/tokenizer_keys.py

Needs transformers (5.23.0 was used). The keys are those that the source of the functions which take part names, so that a
new one does not go unnoticed.
"""

import ast
import inspect
import json
import textwrap
from pathlib import Path

from transformers import CLIPTokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.tokenization_utils_tokenizers import TokenizersBackend

FUNCTIONS = [
    CLIPTokenizer.__init__,
    TokenizersBackend.__init__,
    TokenizersBackend.convert_to_native_format.__func__,
    PreTrainedTokenizerBase.__init__,
    PreTrainedTokenizerBase.from_pretrained.__func__,
    PreTrainedTokenizerBase._from_pretrained.__func__,
]
# What the settings are called in these functions, and what is read of tokenizer.json.
SETTINGS = {"kwargs", "init_kwargs", "local_kwargs", "tokenizer_config", "special_tokens_map"}


def keys_of(function) -> set[str]:
    """The texts by which a function reads its settings, and its named parameters."""
    keys = set(inspect.signature(function).parameters) - {"self", "cls", "kwargs", "init_inputs"}
    if function.__name__ in ("from_pretrained", "_from_pretrained"):
        keys = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        text = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if getattr(node.func.value, "id", None) in SETTINGS:
                text = node.args[0]
        elif isinstance(node, ast.Subscript) and getattr(node.value, "id", None) in SETTINGS:
            text = node.slice
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            if getattr(node.comparators[0], "id", None) in SETTINGS:
                text = node.left
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            keys.add(text.value)
    return keys


def main() -> None:
    keys = set().union(*map(keys_of, FUNCTIONS)) | set(PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES)
    path = Path(__file__).with_name("tokenizer_keys.json")
    path.write_text(json.dumps(sorted(keys), indent=1) + "\n")


if __name__ == "__main__":
    main()
