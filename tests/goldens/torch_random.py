"""Writes torch_random.json beside this file: draws of torch's CPU generator.

    python tests/goldens/torch_random.py

Each case is one seed and a sequence of sizes drawn one after the other. A draw is
recorded as the SHA-256 of its little-endian f32 bytes and as bit patterns (u32): all
of them up to 48 numbers, otherwise the first and the last 16.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

SEEDS = [0, 1, 42, 1234567890, -1, -2, -(2**63), 2**32 - 1, 2**32 + 5, 2**63, 2**64 - 1]
SIZES = [1, 2, 5, 15, 16, 17, 31, 32, 1024, 16384]
SEQUENCES = [
    [1, 1, 1, 1],
    [5, 16, 5, 3],
    [15, 17, 1, 31, 2, 1000, 7],
    [16384, 16384, 1, 16384],
    [1, 4, 16, 64, 256, 1024, 4096],
    [3, 5, 7, 9, 11, 13, 15],
    [0, 1, 0, 18],
    [1_000_003, 1],
]


def draw(generator: torch.Generator, size: int) -> dict:
    values = torch.randn(size, generator=generator).numpy().astype("<f4")
    bits = values.view(np.uint32).tolist()
    entry = {"size": size, "sha256": hashlib.sha256(values.tobytes()).hexdigest()}
    if size <= 48:
        entry["bits"] = bits
    else:
        entry["first"] = bits[:16]
        entry["last"] = bits[-16:]
    return entry


def main() -> None:
    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in ("AVX2", "AVX512"):
        raise SystemExit(f"needs a processor with AVX2, found {capability}")
    generator = torch.Generator("cpu")
    cases = []
    for seed in SEEDS:
        for size in SIZES:
            generator.manual_seed(seed)
            cases.append({"seed": str(seed), "draws": [draw(generator, size)]})
    for number, sizes in enumerate(SEQUENCES):
        seed = SEEDS[number % len(SEEDS)]
        generator.manual_seed(seed)
        cases.append({"seed": str(seed), "draws": [draw(generator, n) for n in sizes]})
    document = {"torch": torch.__version__, "cases": cases}
    lines = json.dumps(document, separators=(",", ":")).replace('{"seed"', '\n{"seed"')
    Path(__file__).with_name("torch_random.json").write_text(lines + "\n")


if __name__ == "__main__":
    main()
