"""Diffuscope and diffusers side by side: the same checkpoint, prompt, seed, steps and number of threads.

    cargo build --release
    python tests/bench/compare.py lessons/little-world/checkpoint
    python tests/bench/compare.py PATH --steps 2 --rounds 3 --model PATH
    python tests/bench/compare.py --operations target/release/deps/step-...   # what `cargo bench --no-run` built

Two figures, each the median of paired runs that take turns (so that a machine that slows down slows both):
the whole process (`diffuscope run` against a script that imports diffusers, loads, generates and writes the PNG), and
a step once it runs steadily (medians of one process's steps, the first left out). A ratio above 1 is how many times
faster Diffuscope is. That both give the same picture is checked first.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What a Python user would write; it reports each step's seconds.
SCRIPT = """
import json, sys, time
checkpoint, prompt, seed, steps, guidance, threads, png = sys.argv[1:]
import torch
torch.set_num_threads(int(threads))
from diffusers import LMSDiscreteScheduler, StableDiffusionPipeline
pipe = StableDiffusionPipeline.from_pretrained(checkpoint, dtype=torch.float32)
pipe.scheduler = LMSDiscreteScheduler.from_config(pipe.scheduler.config)
pipe.set_progress_bar_config(disable=True)
marks = []
def mark(pipe, step, timestep, values):
    marks.append(time.perf_counter())
    return {}
image = pipe(prompt, num_inference_steps=int(steps), guidance_scale=float(guidance),
             generator=torch.Generator("cpu").manual_seed(int(seed)), callback_on_step_end=mark).images[0]
image.save(png)
print(json.dumps([b - a for a, b in zip(marks, marks[1:])]))
"""


def timed(command, threads):
    """Standard output and wall-clock seconds of a process."""
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr}")
    return done.stdout, seconds


def diffuscope(options, folder, export):
    """Whole seconds; with `export`, each step's seconds instead, from the exported run."""
    command = [options.program, "run", "-p", options.prompt, "--seed", options.seed, "--steps", options.steps]
    command += ["--guidance", options.guidance, "--scheduler", "lms", "--device", "cpu"]
    command += ["--png", folder / "ours.png"] + (["--model", options.model] if options.model else [])
    if export:
        command += ["--json", folder / "run", "--force", "--tensors", "x0", "--attention", "none"]
    _, seconds = timed([str(part) for part in command], options.threads)
    if not export:
        return seconds
    run = json.loads((folder / "run" / "run.json").read_text())
    return [step["seconds"] for step in run["steps"]][1:]


def diffusers(options, folder):
    """Whole seconds, and each step's."""
    command = [sys.executable, "-c", SCRIPT, options.checkpoint, options.prompt, options.seed, options.steps]
    command += [options.guidance, options.threads, folder / "theirs.png"]
    output, seconds = timed([str(part) for part in command], options.threads)
    return seconds, json.loads(output.splitlines()[-1])


def operations(program, threads, rounds):
    """Single operations at Stable Diffusion v1's sizes, in turns with `cargo bench --bench step -- --operations`."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    picture, pixels = torch.randn(2, 320, 64, 64), torch.randn(2, 8, 4096, 40)
    weight, channels = torch.randn(320, 320, 3, 3), torch.randn(320)
    linear = lambda rows, inputs, outputs: (torch.randn(rows, inputs), torch.randn(outputs, inputs))
    first, second = linear(4096, 2880, 320), linear(8192, 320, 2560)
    theirs = {
        "matmul 4096x2880x320": lambda: F.linear(*first),
        "matmul 8192x320x2560": lambda: F.linear(*second),
        "3x3 convolution 320 on 64x64": lambda: F.conv2d(picture, weight, channels, padding=1),
        "group norm, SiLU": lambda: F.silu(F.group_norm(picture, 32, channels, channels)),
        "attention 8x4096x4096x40": lambda: F.scaled_dot_product_attention(pixels, pixels, pixels),
    }
    pairs = {name: ([], []) for name in theirs}
    with torch.inference_mode():
        for _ in range(rounds):
            output, _ = timed([program, "--operations", "--rounds", "5"], threads)
            for line in output.splitlines():
                name, value, _ = line.rsplit(maxsplit=2)
                pairs[name.strip()][0].append(float(value))
            for name, run in theirs.items():
                times = []
                for _ in range(6):
                    start = time.perf_counter()
                    run()
                    times.append(1e3 * (time.perf_counter() - start))
                pairs[name][1].append(statistics.median(times[1:]))
    print("| | Diffuscope | PyTorch | times faster (median of pairs, smallest to largest) |\n|---|---|---|---|")
    for name, (ours, torch_times) in pairs.items():
        ratios = [b / a for a, b in zip(ours, torch_times)]
        print(f"| {name} | {statistics.median(ours):.2f} ms | {statistics.median(torch_times):.2f} ms ", end="")
        print(f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |")


def largest_difference(a, b):
    """In levels of 255."""
    import numpy as np
    from PIL import Image

    return int(np.abs(np.asarray(Image.open(a), dtype=int) - np.asarray(Image.open(b), dtype=int)).max())


def main():
    parser = argparse.ArgumentParser(description="Time Diffuscope and diffusers side by side.")
    parser.add_argument("checkpoint", type=Path, nargs="?", help="the diffusers folder that both run")
    parser.add_argument("--operations", type=Path, help="time single operations with this bench program instead")
    parser.add_argument("--model", type=Path, help="what to pass as --model; without it, the embedded model is run")
    parser.add_argument("--program", default="target/release/diffuscope")
    parser.add_argument("--prompt", default="a photograph of an astronaut riding a horse")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if options.operations:
        return operations(options.operations, options.threads, options.rounds)
    if not options.checkpoint:
        parser.error("the checkpoint's folder is missing")
    if options.steps < 2:
        parser.error("--steps must be at least 2: the first step is left out of the steady figure")

    whole, steady, pairs = ([], []), ([], []), []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # Warm the file cache, and see that both draw the same.
        diffuscope(options, folder, export=False), diffusers(options, folder)
        levels = largest_difference(folder / "ours.png", folder / "theirs.png")
        if levels > 1:
            raise SystemExit(f"the pictures differ by up to {levels} levels: not the same work")
        for _ in range(options.rounds):
            ours, (theirs, their_steps) = diffuscope(options, folder, export=False), diffusers(options, folder)
            our_steps = diffuscope(options, folder, export=True)
            whole[0].append(ours), whole[1].append(theirs)
            steady[0].append(statistics.median(our_steps)), steady[1].append(statistics.median(their_steps))
            pairs.append((theirs / ours, steady[1][-1] / steady[0][-1]))

    print(f"{options.steps} steps of LMS, guidance {options.guidance:g}, {options.threads} threads, {options.rounds} rounds; ", end="")
    print(f"pictures within {levels} of 255\n")
    print("| | Diffuscope | diffusers | times faster (median of pairs, smallest to largest) |")
    print("|---|---|---|---|")
    for name, (ours, theirs), index in (("whole process", whole, 0), ("a step", steady, 1)):
        ratios = [pair[index] for pair in pairs]
        print(f"| {name} | {statistics.median(ours):.3f} s | {statistics.median(theirs):.3f} s ", end="")
        print(f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |")


if __name__ == "__main__":
    main()
