"""Everything that needs a GPU, in one command of at most eight minutes: parity, 16 bits, recording, speed and memory.

    cargo build --release --features cudnn
    python tests/parity/sd_v1_sized.py make /tmp/sd-v1-sized          # a random checkpoint of SD v1's size, 2.1 GB
    python tests/gpu/check.py --sd-v1 /tmp/sd-v1-sized

Both programs run on the same card, from the same checkpoint, prompt and noise. Prints one table in Markdown with the
date and the card, and exits with 1 when a check fails. Python needs PyTorch for CUDA and what tests/requirements.txt
names. `--device cpu` goes through the checks of the embedded model without a GPU, to see that this script itself works;
with a program built with `--features cuda-emulated` it is our CUDA kernels that compute f16 there, on an emulated GPU.

How close is close enough: in f32 by fixed bounds, with PyTorch's TF32 switched off. In f16 a prediction may be twice as
far from PyTorch's f32 as PyTorch's own f16 is: two ways of rounding, each of that size.
"""

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "lessons/little-world/checkpoint"
PROMPT = "a photograph of an astronaut riding a horse"
SEED, GUIDANCE = 42, 5.0
# Largest differences in f32: prompt embedding, first noise prediction, final latents; then of pixels, in levels of 255.
BOUNDS = {"prompt_embedding": 1e-4, "noise_text": 1e-3, "latents_next": 5e-3}
DTYPES = {"f32": torch.float32, "f16": torch.float16}
RECORDING = 1.03  # of a step's time without it
FALLEN_BACK = []  # what Diffuscope said where it did not use its own kernels


class Table:
    """The rows so far, and whether all of them hold."""

    def __init__(self):
        self.rows, self.failed = [], 0

    def add(self, what, value, bound=None, holds=True):
        self.failed += not holds
        self.rows.append((what, value, bound or "", "" if holds else "**fails**"))
        print(f"{'ok  ' if holds else 'FAIL'} {what}: {value}{f' (bound {bound})' if bound else ''}", flush=True)

    def at_most(self, what, value, bound):
        self.add(what, f"{value:.2e}", f"{bound:.2e}", value <= bound)

    def print(self, about):
        print(f"\n{about}\n\n| what | measured | bound | |\n|---|---|---|---|")
        for row in self.rows:
            print("| " + " | ".join(row) + " |")


def ours(options, model, steps, folder, dtype, *more):
    """Runs Diffuscope; returns the exported document and a function that reads one of its tensors."""
    command = [options.program, "run", "-p", PROMPT, "--seed", SEED, "--steps", steps, "--guidance", GUIDANCE]
    command += ["--scheduler", "lms", "--model", model, "--device", options.device, "--dtype", dtype]
    command += ["--json", folder, "--png", f"{folder}.png", "--force", *more]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    if "candle's kernels" in done.stderr:
        FALLEN_BACK.append(done.stderr.strip())
    run = json.loads((Path(folder) / "run.json").read_text())

    def tensor(name, step=None):
        entry = (run if step is None else run["steps"][step])["tensors"][name]
        document = json.loads((Path(folder) / entry["file"]).read_text())
        return torch.tensor(document["data"], dtype=torch.float64).reshape(document["shape"])

    return run, tensor


class Theirs:
    """diffusers on the same device."""

    def __init__(self, options, model, dtype):
        self.device = options.device
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(model, torch_dtype=dtype, safety_checker=None)
        self.pipe = pipe.to(self.device)
        self.pipe.set_progress_bar_config(disable=True)
        self.pipe.scheduler = diffusers.LMSDiscreteScheduler.from_config(pipe.scheduler.config)
        self.dtype = dtype

    def run(self, steps):
        """The prompt's embedding, the first noise prediction of its half, the final latents, the picture, seconds a step."""
        size = self.pipe.unet.config.sample_size
        noise = torch.randn((1, 4, size, size), generator=torch.Generator("cpu").manual_seed(SEED))
        kept, marks = {}, []

        def first(_module, _inputs, output):
            kept.setdefault("noise_text", output[0][-1].double().cpu())

        def mark(_pipe, _step, _timestep, values):
            if self.device == "cuda":
                torch.cuda.synchronize()
            marks.append(time.perf_counter())
            kept["latents_next"] = values["latents"][0].double().cpu()
            return {}

        handle = self.pipe.unet.register_forward_hook(first)
        image = self.pipe(
            PROMPT,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            latents=noise.to(self.device, self.dtype),
            callback_on_step_end=mark,
        ).images[0]
        handle.remove()
        kept["prompt_embedding"] = self.pipe.encode_prompt(PROMPT, self.device, 1, False)[0][0].double().cpu()
        return kept, np.asarray(image, dtype=int), [b - a for a, b in zip(marks, marks[1:])]


def relative(a, b):
    return float((a - b).norm() / b.norm())


def parity(options, table, name, model, steps, folder):
    """f32 by fixed bounds, f16 by PyTorch's own distance from f32."""
    exact, picture, _ = Theirs(options, model, torch.float32).run(steps)
    run, tensor = ours(options, model, steps, folder / f"{name}-f32", "f32")
    read = {
        "prompt_embedding": lambda tensor: tensor("prompt_embedding"),
        "noise_text": lambda tensor: tensor("noise_text", 0),
        "latents_next": lambda tensor: tensor("latents_next", len(run["steps"]) - 1),
    }
    for what, bound in BOUNDS.items():
        largest = float((read[what](tensor) - exact[what]).abs().max())
        table.at_most(f"{name}, f32: {what}, largest difference", largest, bound)
    image = np.asarray(Image.open(folder / f"{name}-f32.png"), dtype=int)
    table.at_most(f"{name}, f32: pixels, levels of 255", float(np.abs(image - picture).max()), 2)
    half, _, _ = Theirs(options, model, torch.float16).run(steps)
    _, tensor = ours(options, model, steps, folder / f"{name}-f16", "f16")
    for what in ("prompt_embedding", "noise_text"):
        bound = 2 * relative(half[what], exact[what])
        table.at_most(f"{name}, f16: {what}, relative to f32", relative(read[what](tensor), exact[what]), bound)


def recording(options, table, name, model, folder):
    """Recording everything leaves the picture bit-identical."""
    pictures = []
    for label, more in [("none", ["--tensors", "x0", "--attention", "none"]), ("all", ["--attention", "heads", "--modules"])]:
        ours(options, model, 3, folder / f"{name}-{label}", "f16", *more)
        pictures.append(np.asarray(Image.open(folder / f"{name}-{label}.png")))
    same = np.array_equal(*pictures)
    table.add(f"{name}, f16: recording everything leaves the picture as it is", "bit-identical" if same else "differs", "", same)


def seconds_a_step(run):
    return statistics.median(step["seconds"] for step in run["steps"][1:])


class MemoryWatch(threading.Thread):
    """The card's memory in use, sampled while something runs, in MiB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.running = 0, True
        self.before = self.used()

    @staticmethod
    def used():
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        return int(subprocess.run(query, capture_output=True, text=True).stdout.split()[0])

    def run(self):
        while self.running:
            self.peak = max(self.peak, self.used() - self.before)
            time.sleep(0.05)


def speed(options, table, model, folder):
    """A step of 512x512 in f16, with guidance: ours, diffusers eager and compiled; recording's cost; memory."""
    none = ["--tensors", "x0", "--attention", "none"]
    plain, recorded = [], []
    for _ in range(3):
        plain.append(seconds_a_step(ours(options, model, 15, folder / "speed", "f16", *none)[0]))
        recorded.append(seconds_a_step(ours(options, model, 15, folder / "speed", "f16", "--attention", "mean", "--tensors", "attention")[0]))
    step = statistics.median(plain)
    table.add("a step of 512x512, f16, guidance: ours", f"{1000 * step:.1f} ms")
    ratio = statistics.median(recorded) / step
    table.add("recording averaged attention, times as long", f"{ratio:.3f}", str(RECORDING), ratio <= RECORDING)
    for label, more in [("nothing recorded", none), ("averaged attention recorded", ["--attention", "mean"])]:
        watch = MemoryWatch()
        watch.start()
        ours(options, model, 3, folder / "memory", "f16", *more)
        watch.running = False
        watch.join()
        table.add(f"memory of the card, ours, {label}", f"{watch.peak} MiB")
    torch.cuda.reset_peak_memory_stats()
    theirs = Theirs(options, model, torch.float16)
    eager = statistics.median(theirs.run(15)[2])
    table.add("the same, diffusers eager", f"{1000 * eager:.1f} ms, {eager / step:.2f} times ours")
    table.add("memory, diffusers", f"{torch.cuda.max_memory_allocated() >> 20} MiB")
    theirs.pipe.unet = torch.compile(theirs.pipe.unet)
    theirs.run(3)
    compiled = statistics.median(theirs.run(15)[2])
    table.add("the same, diffusers with torch.compile", f"{1000 * compiled:.1f} ms, {compiled / step:.2f} times ours")


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/diffuscope")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--sd-v1", type=Path, help="a checkpoint of SD v1's size; without it only the embedded one is checked")
    options = parser.parse_args()
    if not options.program.exists():
        raise SystemExit(f"{options.program} is not there: cargo build --release --features cudnn, or name it with --program")
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    diffusers.logging.set_verbosity_error()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    is_gpu = options.device == "cuda"
    card = torch.cuda.get_device_name() if is_gpu else "no GPU: the script alone was tried"
    table, start = Table(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        parity(options, table, "embedded", EMBEDDED, 8, folder)
        recording(options, table, "embedded", EMBEDDED, folder)
        if options.sd_v1 and is_gpu:
            parity(options, table, "SD v1-sized", options.sd_v1, 2, folder)
            speed(options, table, options.sd_v1, folder)
    if is_gpu:
        table.add("kernels", FALLEN_BACK[0] if FALLEN_BACK else "our own", "", not FALLEN_BACK)
    minutes = (time.perf_counter() - start) / 60
    table.add("the whole check", f"{minutes:.1f} minutes", "8", minutes <= 8)
    about = f"{datetime.date.today()}, {card}, PyTorch {torch.__version__}, diffusers {diffusers.__version__}"
    table.print(about)
    sys.exit(1 if table.failed else 0)


if __name__ == "__main__":
    main()
