"""Puts everything that the check on a card needs into one folder, below 60 MiB, for a machine without a network or Rust.

    . the CUDA toolkit's environment; cargo build --release --features cudnn
    python tests/gpu/pack.py /tmp/gpu-check
    … and there, where Python has PyTorch for CUDA 13, transformers, scipy and pillow:
    python3 tests/gpu/check.py results

The program travels stripped and compressed, and what Python lacks there as wheels (`--wheels`). The checkpoint of Stable
Diffusion v1's size is made there, from a seed.
"""

import argparse
import lzma
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What is read there, at the same places below the folder.
FILES = ["tests/gpu/check.py", "tests/gpu/parts.py", "tests/parity/sd_v1_sized.py"]
FOLDERS = ["lessons/little-world/checkpoint"]
MOST = 60 << 20


def program(source, to):
    """Stripped, then compressed: a quarter of the size."""
    with tempfile.TemporaryDirectory() as folder:
        stripped = Path(folder) / "diffuscope"
        shutil.copy(source, stripped)
        subprocess.run(["strip", stripped], check=True)
        to.write_bytes(lzma.compress(stripped.read_bytes(), preset=6))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/diffuscope")
    parser.add_argument("--wheels", nargs="*", default=["diffusers==0.42.1"], help="what Python lacks there")
    options = parser.parse_args()
    if options.folder.exists() and any(options.folder.iterdir()):
        raise SystemExit(f"{options.folder} is not empty")
    for name in FILES:
        to = options.folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, to)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, options.folder / name)
    program(options.program, options.folder / "diffuscope.xz")
    if options.wheels:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*download, "-d", options.folder / "wheels", *options.wheels], check=True)
    files = sorted((file.stat().st_size, file) for file in options.folder.rglob("*") if file.is_file())
    for size, file in files[-5:]:
        print(f"{size / 2**20:6.1f} MiB  {file.relative_to(options.folder)}")
    total = sum(size for size, _ in files)
    print(f"{total / 2**20:6.1f} MiB in {len(files)} files")
    if total > MOST:
        raise SystemExit(f"more than {MOST >> 20} MiB")


if __name__ == "__main__":
    main()
