"""Everything that needs a GPU, in one command of eight minutes: parity, kernels, recording, speed, memory, what may break.

    python3 tests/gpu/check.py RESULTS                    in the folder that tests/gpu/pack.py made
    python3 tests/gpu/check.py RESULTS --program target/release/diffuscope      in the repository
    python3 tests/gpu/check.py RESULTS --device cpu       a rehearsal of the script itself, without a card

Needs no network; Python with PyTorch for the card, transformers, scipy and pillow, and diffusers unless it is among the
wheels. The parts run one after another, what tells most first, each in a process of its own with a limit of time: what
fails or hangs costs its own rows and no others. Every row is written to RESULTS/rows.jsonl as it is measured and to
RESULTS/table.md after every part; what programs said is in RESULTS/log.txt. `--only speed compiled` runs some parts again
and keeps the rows of the others. Exits with 1 when a check fails.
"""

import argparse
import datetime
import glob
import json
import lzma
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Name, and seconds that it may take at most. What each does stands in parts.py, beside the function of that name.
PARTS = {
    "kernels": 90,
    "embedded": 100,
    "sanitizer": 75,
    "speed": 110,
    "sized": 80,
    "profile": 60,
    "stress": 90,
    "eager": 60,
    "compiled": 150,
}
# On the CPU, where everything but the card's own tools is tried.
SLOWER = 4


class Results:
    """The rows so far, and what was said, in a folder."""

    def __init__(self, folder):
        self.folder, self.rows = folder, folder / "rows.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self.log = (folder / "log.txt").open("a")

    def forget(self, part):
        """Before a part runs again."""
        kept = [row for row in self.read() if row["part"] != part]
        self.rows.write_text("".join(json.dumps(row) + "\n" for row in kept))

    def read(self):
        if not self.rows.exists():
            return []
        return [json.loads(line) for line in self.rows.read_text().splitlines() if line.endswith("}")]

    def add(self, part, what, value, bound="", holds=None):
        row = {"part": part, "what": what, "value": value, "bound": bound, "holds": holds}
        with self.rows.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(f"     {what}: {value}", flush=True)

    def table(self, about):
        """As Markdown; how many rows do not hold."""
        rows = self.read()
        marks = {True: "", False: "**fails**", None: ""}
        lines = [about, "", "| what | measured | bound | |", "|---|---|---|---|"]
        lines += [f"| {row['what']} | {row['value']} | {row['bound']} | {marks[row['holds']]} |" for row in rows]
        (self.folder / "table.md").write_text("\n".join(lines) + "\n")
        return sum(row["holds"] is False for row in rows)


def environment(site):
    """For the programs: CUDA's libraries are in the wheels that PyTorch brought, and compiled kernels are kept."""
    env = dict(os.environ, PYTHONPATH=f"{site}:{os.environ.get('PYTHONPATH', '')}", PYTHONUNBUFFERED="1")
    folders = set()
    for path in sys.path:
        folders |= {os.path.dirname(file) for file in glob.glob(f"{path}/nvidia/**/lib*.so*", recursive=True)}
    env["LD_LIBRARY_PATH"] = ":".join([*sorted(folders), env.get("LD_LIBRARY_PATH", "")])
    env["CUDA_CACHE_PATH"], env["CUDA_CACHE_MAXSIZE"] = str(site.parent / "cache"), str(2 << 30)
    env.pop("CUDA_CACHE_DISABLE", None)
    return env


def run(command, seconds, log, env):
    """Runs it with all that it starts, for so long at most: its exit status, or None where it was ended."""
    log.write(f"\n$ {' '.join(map(str, command))}\n")
    log.flush()
    try:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env, start_new_session=True)
    except OSError as error:
        log.write(f"{error}\n")
        return 127
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        end(process)
        return None


def end(process):
    """With all that it started; it has three seconds to end what runs in sessions of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(3)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
    process.wait()


def prepare(options, work, results):
    """The program and the wheels, unpacked; what is wrong with the machine is a row."""
    program = options.program
    if program is None:
        program = work / "diffuscope"
        program.write_bytes(lzma.decompress((ROOT / "diffuscope.xz").read_bytes()))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    site = work / "site"
    site.mkdir()
    env = environment(site)
    wheels = sorted((ROOT / "wheels").glob("*.whl"))
    if wheels:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
        if run([*install, "--target", site, *wheels], 60, results.log, env) != 0:
            results.add("machine", "the wheels could not be installed", "see log.txt", holds=False)
    said = subprocess.run(["ldd", program], capture_output=True, text=True, env=env).stdout
    missing = [line.strip() for line in said.splitlines() if "not found" in line]
    results.add("machine", "libraries that the program needs to start", "; ".join(missing) or "all there", holds=not missing)
    if shutil.which("nvidia-smi"):
        run(["nvidia-smi", "-q", "-d", "CLOCK,MEMORY"], 20, results.log, env)
    return program.resolve(), env


def card():
    """What it is called, and its driver."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return f"no card, {platform.processor() or platform.machine()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--program", type=Path, help="instead of unpacking diffuscope.xz")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--only", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--seconds", type=int, default=480, help="for everything; what has not begun then is left out")
    options = parser.parse_args()
    is_rehearsal, start = options.device == "cpu", time.monotonic()
    results = Results(options.results.resolve())
    results.forget("machine")
    about = f"{datetime.date.today()}, {card()}"
    work = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    making = None
    try:
        program, env = prepare(options, work, results)
        # While the kernels are compiled for the card, which takes one core.
        sized = work / "sd-v1-sized"
        make = [sys.executable, ROOT / "tests/parity/sd_v1_sized.py", "make", sized, "--threads", str(os.cpu_count())]
        if not is_rehearsal:
            making = subprocess.Popen(make, stdout=results.log, stderr=subprocess.STDOUT, env=env, start_new_session=True)
        for part in options.only:
            limit = PARTS[part] * (SLOWER if is_rehearsal else 1)
            left = options.seconds * (SLOWER if is_rehearsal else 1) - (time.monotonic() - start)
            results.forget(part)
            if left < 10:
                results.add(part, f"{part}: left out", "no time was left")
                continue
            print(f"{part} ({time.monotonic() - start:.0f} s)", flush=True)
            command = [sys.executable, ROOT / "tests/gpu/parts.py", part, "--results", results.folder, "--program", program]
            command += ["--device", options.device, "--work", work, "--sized", sized]
            if making and part in {"speed", "sized", "profile", "stress", "eager", "compiled"}:
                command += ["--wait-for", str(making.pid)]
            status = run(command, min(limit, left), results.log, env)
            if making and making.poll() not in (None, 0):
                results.add(part, "the checkpoint of SD v1's size", "could not be made: see log.txt", holds=False)
                making = None
            if status != 0:
                said = "took too long" if status is None else f"ended with {status}: see log.txt"
                results.add(part, f"{part}: the rest", said, holds=False)
            results.table(about)
    finally:
        if making and making.poll() is None:
            end(making)
        shutil.rmtree(work, ignore_errors=True)
    results.add("machine", "the whole check", f"{time.monotonic() - start:.0f} s")
    failed = results.table(about)
    print((results.folder / "table.md").read_text())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
