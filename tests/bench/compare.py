"""Diffuscope and diffusers side by side: the same checkpoint, prompt, seed, steps and number of threads.

    python tests/bench/compare.py                                        # the embedded model
    python tests/bench/compare.py --model PATH --steps 3 --rounds 3      # another diffusers folder
    python tests/bench/compare.py --model PATH --steps 3 --rounds 2 --pixels 256 512 768 --threads 1 2
    python tests/bench/compare.py --openvino FOLDER                      # OpenVINO beside them (pip install openvino)

It builds what it runs, sees that both draw the same picture, and prints Markdown tables, every figure the median of
rounds in which both take turns (so that a machine that slows down slows both). A ratio above 1 is how many times faster
Diffuscope is; the smallest and largest of the rounds stand in brackets.

- The whole process: `diffuscope run` against a script that imports diffusers, loads, generates and writes the PNG.
- A step once it runs steadily, of the same processes: the median of their steps, the first left out.
- Peak memory of these processes, as the system counts it (mapped files are in it).
- Each network alone, at the picture sizes and numbers of threads that are asked for; with `--openvino`, by OpenVINO, too,
  in f32 and with static shapes. Its models are kept in FOLDER: at Stable Diffusion v1's size making them takes minutes
  and 10 GB of memory, once a size.
- Single operations at Stable Diffusion v1's sizes.

`--only` leaves some of these out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = ROOT / "lessons/little-world/checkpoint"

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


class Turns:
    """Named measurements of Diffuscope and of others, which took turns."""

    def __init__(self, *others):
        self.others = others
        self.values = {}

    def add(self, name, unit, ours, *theirs):
        self.values.setdefault((name, unit), []).append((ours, *theirs))

    def print(self, title):
        print(f"\n| {title} | Diffuscope |", *(f" {other} | ratio |" for other in self.others), sep="")
        print("|---|---|", "---|---|" * len(self.others), sep="")
        for (name, unit), turns in self.values.items():
            ours, *others = zip(*turns)
            print(f"| {name} | {statistics.median(ours):.3f} {unit} |", end="")
            for theirs in others:
                ratios = [b / a for a, b in zip(ours, theirs)]
                between = f"({min(ratios):.2f} to {max(ratios):.2f})"
                print(f" {statistics.median(theirs):.3f} {unit} | {statistics.median(ratios):.2f} {between} |", end="")
            print(flush=True)


def measured(command, threads):
    """Standard output, wall-clock seconds and peak memory in GB of a process."""
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], env=environment, stdout=output, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0), errors.seek(0)
        if process.returncode != 0:
            raise SystemExit(f"{command[0]} failed:\n{errors.read().decode()}")
        return output.read().decode(), seconds, usage.ru_maxrss * 1024 / 1e9


def diffuscope(options, folder, threads):
    """Seconds and peak memory of the whole process."""
    command = [options.program, "run", "-p", options.prompt, "--seed", options.seed, "--steps", options.steps]
    command += ["--guidance", options.guidance, "--scheduler", "lms", "--device", "cpu", "--png", folder / "ours.png"]
    return measured(command + options.model_arguments, threads)[1:]


def our_steps(options, folder, threads):
    """Each step's seconds but the first's, from an exported run."""
    command = [options.program, "run", "-p", options.prompt, "--seed", options.seed, "--steps", options.steps]
    command += ["--guidance", options.guidance, "--scheduler", "lms", "--device", "cpu", "--json", folder / "run"]
    command += ["--force", "--tensors", "x0", "--attention", "none"]
    measured(command + options.model_arguments, threads)
    run = json.loads((folder / "run" / "run.json").read_text())
    return [step["seconds"] for step in run["steps"]][1:]


def diffusers(options, folder, threads):
    """Seconds and peak memory of the whole process, and each step's seconds but the first's."""
    command = [sys.executable, "-c", SCRIPT, options.checkpoint, options.prompt, options.seed, options.steps]
    command += [options.guidance, threads, folder / "theirs.png"]
    output, seconds, memory = measured(command, threads)
    return seconds, memory, json.loads(output.splitlines()[-1])


def processes(options, threads):
    """Both programs as a whole."""
    turns = Turns("PyTorch")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # Warm the file cache, and see that both draw the same.
        diffuscope(options, folder, threads), diffusers(options, folder, threads)
        levels = largest_difference(folder / "ours.png", folder / "theirs.png")
        if levels > 1:
            raise SystemExit(f"the pictures differ by up to {levels} levels: not the same work")
        for _ in range(options.rounds):
            ours, theirs = diffuscope(options, folder, threads), diffusers(options, folder, threads)
            turns.add("whole process", "s", ours[0], theirs[0])
            steps = statistics.median(our_steps(options, folder, threads)), statistics.median(theirs[2])
            turns.add("a step, guidance on", "s", *steps)
            turns.add("peak memory", "GB", ours[1], theirs[1])
    title = f"{options.steps} steps of LMS, {threads} threads, pictures within {levels} of 255"
    turns.print(title)


def networks(options, bench, pixels, threads):
    """Each network alone, in this process and in the bench program."""
    import torch
    from diffusers import StableDiffusionPipeline

    torch.set_num_threads(threads)
    pipe = StableDiffusionPipeline.from_pretrained(options.checkpoint, dtype=torch.float32)
    side = pixels or pipe.unet.config.sample_size * pipe.vae_scale_factor
    tokens = pipe.tokenizer(options.prompt, padding="max_length", return_tensors="pt").input_ids
    latents = torch.randn(1, 4, side // pipe.vae_scale_factor, side // pipe.vae_scale_factor)
    with torch.no_grad():
        text = pipe.text_encoder(tokens)[0]
    time_ = torch.tensor(500.0)
    calls = {
        "text encoder": (pipe.text_encoder, lambda tokens: pipe.text_encoder(tokens)[0], (tokens,)),
        "UNet, batch 1": (pipe.unet, lambda *inputs: pipe.unet(*inputs)[0], (latents, time_, text)),
        "UNet, batch 2 (guidance)": (
            pipe.unet,
            lambda *inputs: pipe.unet(*inputs)[0],
            (latents.repeat(2, 1, 1, 1), time_, text.repeat(2, 1, 1)),
        ),
        "VAE decode": (
            pipe.vae,
            lambda latents: pipe.vae.decode(latents)[0],
            (latents / pipe.vae.config.scaling_factor,),
        ),
    }
    others = {"PyTorch": {name: partial(call, *inputs) for name, (_, call, inputs) in calls.items()}}
    if options.openvino:
        others["OpenVINO"] = {
            name: openvino(options.openvino / f"{name} {side}.xml", *parts, threads) for name, parts in calls.items()
        }
    command = [bench, "--measure", "parts", "--rounds", options.repeats, "--pixels", side]
    in_turns(others, command + options.model_arguments, options, threads, f"{side}x{side}, {threads} threads")


def openvino(path, network, call, inputs, threads):
    """The call on these inputs by OpenVINO, from the model at `path`, which is made of `network` where there is none."""
    import openvino as ov
    import torch

    class Called(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, *inputs):
            return call(*inputs)

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shapes = [ov.PartialShape(list(value.shape)) for value in inputs]
        with torch.no_grad():
            ov.save_model(ov.convert_model(Called(), example_input=inputs, input=shapes), path, compress_to_fp16=False)
    core = ov.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads})
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(path, "CPU", hints).create_infer_request()
    given = [value.numpy() for value in inputs]
    with torch.no_grad():
        ours, theirs = torch.from_numpy(request.infer(given)[0]), call(*inputs)
    if (ours - theirs).abs().max() > 1e-3 * theirs.abs().max():
        raise SystemExit(f"{path} is of another checkpoint; give --openvino another folder")
    return lambda: request.infer(given)


def operations(options, bench, threads):
    """Single operations at Stable Diffusion v1's sizes."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    picture, pixels = torch.randn(2, 320, 64, 64), torch.randn(2, 8, 4096, 40)
    weight, channels = torch.randn(320, 320, 3, 3), torch.randn(320)
    linear = lambda rows, inputs, outputs: (torch.randn(rows, inputs), torch.randn(outputs, inputs))
    first, second = linear(4096, 2880, 320), linear(8192, 320, 2560)
    pytorch = {
        "matmul 4096x2880x320": lambda: F.linear(*first),
        "matmul 8192x320x2560": lambda: F.linear(*second),
        "3x3 convolution 320 on 64x64": lambda: F.conv2d(picture, weight, channels, padding=1),
        "group norm, SiLU": lambda: F.silu(F.group_norm(picture, 32, channels, channels)),
        "attention 8x4096x4096x40": lambda: F.scaled_dot_product_attention(pixels, pixels, pixels),
    }
    command = [bench, "--measure", "operations", "--rounds", options.repeats]
    in_turns({"PyTorch": pytorch}, command, options, threads, f"operations, {threads} threads")


def in_turns(others, command, options, threads, title):
    """The bench program against the functions of the same names that each of the others has."""
    import torch

    turns = Turns(*others)
    with torch.inference_mode():
        for _ in range(options.rounds):
            output, *_ = measured(command, threads)
            # A line is a name, a number and "ms".
            lines = (line.rsplit(maxsplit=2) for line in output.splitlines() if line.endswith(" ms"))
            ours = {name.strip(): float(value) for name, value, _ in lines}
            for name in next(iter(others.values())):
                turns.add(name, "ms", ours[name], *(milliseconds(runs[name], options.repeats) for runs in others.values()))
    turns.print(title)


def milliseconds(run, repeats):
    """Of one run, the median of several, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def largest_difference(a, b):
    """In levels of 255."""
    import numpy as np
    from PIL import Image

    return int(np.abs(np.asarray(Image.open(a), dtype=int) - np.asarray(Image.open(b), dtype=int)).max())


def built():
    """The paths of the program and of its bench program, by name, built for release."""
    command = ["cargo", "bench", "--no-run", "--bench", "step", "--message-format", "json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}


def main():
    parser = argparse.ArgumentParser(description="Time Diffuscope and diffusers side by side.")
    parser.add_argument("--model", type=Path, help="a diffusers folder; without it, the embedded model")
    parser.add_argument("--prompt", default="a photograph of an astronaut riding a horse")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=7.5)
    parser.add_argument("--threads", type=int, nargs="+", default=[2], help="numbers of threads, the last for the whole")
    parser.add_argument("--pixels", type=int, nargs="+", default=[None], help="sizes for the networks; else the model's")
    parser.add_argument("--rounds", type=int, default=7, help="how often both take turns")
    parser.add_argument("--repeats", type=int, default=3, help="how often a network runs in a turn")
    parser.add_argument("--openvino", type=Path, metavar="FOLDER", help="OpenVINO too, its models kept in FOLDER")
    parser.add_argument("--only", nargs="+", choices=["whole", "networks", "operations"], default=["whole", "networks", "operations"])
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps must be at least 2: the first step is left out of the steady figure")
    options.checkpoint = options.model or EMBEDDED
    options.model_arguments = ["--model", options.model] if options.model else []
    programs = built()
    options.program, bench = programs["diffuscope"], programs["step"]
    if "whole" in options.only:
        processes(options, options.threads[-1])
    if "networks" in options.only:
        for pixels in options.pixels:
            for threads in options.threads:
                networks(options, bench, pixels, threads)
    if "operations" in options.only:
        for threads in options.threads:
            operations(options, bench, threads)


if __name__ == "__main__":
    main()
