"""Writes float8.json: the value that torch gives every number of eight bits, as the bits of its 32-bit float.

    python tests/goldens/float8.py

Needs torch (2.15.0 was used).
"""

import json
from pathlib import Path

import torch

bytes_ = torch.arange(256, dtype=torch.uint8)
values = {}
for name, dtype in (("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2)):
    bits = bytes_.view(dtype).to(torch.float32).view(torch.int32).tolist()
    values[name] = [value & 0xFFFFFFFF for value in bits]
Path(__file__).with_name("float8.json").write_text(json.dumps(values, separators=(",", ":")) + "\n")
