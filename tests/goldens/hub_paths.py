"""Writes hub_paths.json: where huggingface_hub looks for its cache and the token, under many environments.

    python tests/goldens/hub_paths.py

Needs huggingface_hub (2.4.0 was used). In each environment HOME is /home/me, where nothing else is said.
"""

import json
import subprocess
import sys
from pathlib import Path

ENVIRONMENTS = [
    {},
    {"HF_HOME": "/data/hf"},
    {"HF_HOME": "~/hf"},
    {"HF_HOME": "$BASE/hf", "BASE": "/base"},
    {"HF_HOME": "${BASE}/hf", "BASE": "~/x"},
    {"HF_HOME": "$NOBODY/hf"},
    {"HF_HOME": "${NOBODY}x/$/${/$$BASE", "BASE": "/b"},
    {"HF_HOME": ""},
    {"HF_HOME": "relative"},
    {"HF_HOME": "~"},
    {"HF_HOME": "~root/hf"},
    {"HF_HOME": "~nosuchuser/hf"},
    {"HF_HOME": "/a/~/b"},
    {"XDG_CACHE_HOME": "/xdg"},
    {"XDG_CACHE_HOME": "~/xdg"},
    {"XDG_CACHE_HOME": "$BASE", "BASE": "/base"},
    {"XDG_CACHE_HOME": ""},
    {"XDG_CACHE_HOME": "/xdg", "HF_HOME": "/data/hf"},
    {"HF_HUB_CACHE": "/cache"},
    {"HF_HUB_CACHE": "~/cache/"},
    {"HF_HUB_CACHE": "$BASE/$BASE", "BASE": "b"},
    {"HF_HUB_CACHE": ""},
    {"HF_HUB_CACHE": "/cache", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/data/hf"},
    {"HUGGINGFACE_HUB_CACHE": "/old"},
    {"HUGGINGFACE_HUB_CACHE": "~/$BASE", "BASE": "old"},
    {"HUGGINGFACE_HUB_CACHE": ""},
    {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/data/hf"},
    {"HF_TOKEN_PATH": "~/$BASE/token", "BASE": "secret"},
    {"HF_TOKEN_PATH": "", "HF_HOME": "/data/hf"},
    {"HOME": ""},
    {"HOME": "/home/me/"},
    {"HOME": "/"},
    {"HF_HOME": "$BASE", "BASE": "$OTHER", "OTHER": "x"},
    {"HF_HUB_OFFLINE": "1"},
    {"HF_HUB_OFFLINE": "yes"},
    {"HF_HUB_OFFLINE": "On"},
    {"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"},
    {"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": "TRUE"},
    {"HF_HUB_OFFLINE": " 1 "},
    {"TRANSFORMERS_OFFLINE": "y"},
]
CODE = (
    "import json; from huggingface_hub import constants as c;"
    "print(json.dumps([c.HF_HUB_CACHE, c.HF_TOKEN_PATH, c.HF_HUB_OFFLINE]))"
)


def main():
    found = []
    for environment in ENVIRONMENTS:
        variables = {"HOME": "/home/me", "PATH": "/usr/bin:/bin"} | environment
        out = subprocess.run([sys.executable, "-c", CODE], env=variables, capture_output=True, check=True).stdout
        cache, token, offline = json.loads(out)
        found.append({"environment": environment, "cache": cache, "token": token, "offline": offline})
    lines = ",\n".join(json.dumps(case) for case in found)
    Path(__file__).with_name("hub_paths.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
