"""The parts of the check on a card, each a process of its own: see check.py, which starts them.

How close is close enough: in f32 by fixed bounds, with PyTorch's TF32 switched off. In 16 bits a prediction may be twice as
far from PyTorch's f32 as PyTorch's own 16 bits are: two ways of rounding, each of that size.
"""

import argparse
import json
import os
import pty
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

from check import ROOT, Results, end

EMBEDDED = ROOT / "lessons/little-world/checkpoint"
PROMPT = "a photograph of an astronaut riding a horse"
SEED, GUIDANCE = 42, 5.0
# Largest differences in f32: prompt embedding, first noise prediction, final latents.
BOUNDS = {"prompt_embedding": 1e-4, "noise_text": 1e-3, "latents_next": 5e-3}
RECORDING = 1.03  # of a step's time without it
PLAIN = ["--tensors", "x0", "--attention", "none"]
MEAN = ["--tensors", "attention", "--attention", "mean"]
HEADS = ["--tensors", "attention", "--attention", "heads"]


RUNNING = []  # programs, each in a session of its own


def started(command, **options):
    """A program, which ends when this process is ended."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    RUNNING.append(process)
    return process


def end_all(*_):
    """A program that hangs would keep the card."""
    for process in RUNNING:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    os._exit(143)


class Failed(Exception):
    """Of a program: what it said."""


class Part:
    """What a part is given, and where its rows go."""

    def __init__(self, options):
        self.options, self.name = options, options.part
        self.results = Results(options.results)
        self.folder = options.work / options.part
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.is_gpu = options.device == "cuda"
        # A rehearsal takes the embedded model for the large one, and few steps.
        self.sized = options.sized if self.is_gpu else EMBEDDED
        self.count = 0

    def row(self, what, value, bound="", holds=None):
        self.results.add(self.name, what, value, bound, holds)

    def at_most(self, what, value, bound):
        self.row(what, f"{value:.2e}", f"{bound:.2e}", value <= bound)

    def tried(self, what, function, *arguments):
        """Something that may fail without what comes after it."""
        try:
            return function(*arguments)
        except Exception as error:
            traceback.print_exc()
            last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            self.row(what, f"failed: {last[0][:300]}", holds=False)
            return None

    def skip(self, what):
        self.row(what, "left out: no card")

    def wait_for_sized(self):
        """For the checkpoint that is made in the background."""
        while self.is_gpu and self.options.wait_for and not (self.sized / "model_index.json").exists():
            if not Path(f"/proc/{self.options.wait_for}").exists():
                raise Failed("the checkpoint of SD v1's size was not made")
            time.sleep(0.5)

    def program(self, *arguments, env=(), before=(), seconds=120):
        """Runs Diffuscope; what it said, both ways. On failure once more, with errors where they arise."""
        command = [*before, self.options.program, *arguments]
        command = [str(part) for part in command]
        print("$", *command, flush=True)
        done = self.once(command, seconds, dict(env))
        if done.returncode in (0, 3):
            return done
        print(done.stdout, done.stderr, flush=True)
        if self.is_gpu and not before:
            again = self.once(command, seconds, {**dict(env), "CUDA_LAUNCH_BLOCKING": "1"})
            print("with CUDA_LAUNCH_BLOCKING=1:", again.returncode, again.stdout, again.stderr, flush=True)
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["nothing"]
        raise Failed(f"exit status {done.returncode}: {said[0]}")

    @staticmethod
    def once(command, seconds, env):
        pipe = subprocess.PIPE
        process = started(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **env})
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            end(process)
            raise Failed(f"took more than {seconds} s: {' '.join(command)}") from None
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def arguments(self, model, steps, dtype, more):
        arguments = ["run", "-p", PROMPT, "--seed", SEED, "--steps", steps, "--guidance", GUIDANCE, "--scheduler", "lms"]
        return [*arguments, "--model", model, "--device", self.options.device, "--dtype", dtype, *more]

    def ours(self, model, steps, dtype, *more):
        """A run: its document, its picture's file, and how to read one of its tensors."""
        self.count += 1
        to = self.folder / str(self.count)
        done = self.program(*self.arguments(model, steps, dtype, ["--json", to, "--png", f"{to}.png", *more]))
        if "candle's kernels" in done.stderr or "without cuDNN" in done.stderr:
            self.row("Diffuscope said", done.stderr.strip().splitlines()[0][:300], holds=False)
        run = json.loads((to / "run.json").read_text())
        return Run(run, to, Path(f"{to}.png"))


class Run:
    """What a run exported."""

    def __init__(self, document, folder, picture):
        self.document, self.folder, self.picture = document, folder, picture

    def tensor(self, name):
        """The prompt's embedding, the first noise prediction, the last latents."""
        import torch

        steps = self.document["steps"]
        place = {"noise_text": steps[0], "latents_next": steps[-1]}.get(name, self.document)
        document = json.loads((self.folder / place["tensors"][name]["file"]).read_text())
        return torch.tensor(document["data"], dtype=torch.float64).reshape(document["shape"])

    def pixels(self):
        import numpy as np
        from PIL import Image

        return np.asarray(Image.open(self.picture), dtype=int)

    def seconds(self):
        """Of a step, as the device measured it, after the first two."""
        steps = self.document["steps"]
        return statistics.median(step["seconds"] for step in steps[2:] or steps)


class Theirs:
    """diffusers on the same device."""

    def __init__(self, part, model, dtype):
        import diffusers
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        diffusers.logging.set_verbosity_error()
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.torch, self.device, self.dtype = torch, part.options.device, getattr(torch, dtype)
        pipe = diffusers.StableDiffusionPipeline.from_pretrained(model, torch_dtype=self.dtype, safety_checker=None)
        self.pipe = pipe.to(self.device)
        self.pipe.set_progress_bar_config(disable=True)
        self.pipe.scheduler = diffusers.LMSDiscreteScheduler.from_config(pipe.scheduler.config)

    def run(self, steps):
        """The prompt's embedding, the first noise prediction of its half, the final latents, the picture, seconds a step."""
        import numpy as np

        torch, size = self.torch, self.pipe.unet.config.sample_size
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
        with torch.no_grad():
            image = self.pipe(
                PROMPT,
                num_inference_steps=steps,
                guidance_scale=GUIDANCE,
                latents=noise.to(self.device, self.dtype),
                callback_on_step_end=mark,
            ).images[0]
            handle.remove()
            embedding = self.pipe.encode_prompt(PROMPT, self.device, 1, False)[0]
        kept["prompt_embedding"] = embedding[0].double().cpu()
        return kept, np.asarray(image, dtype=int), [b - a for a, b in zip(marks, marks[1:])]


def relative(a, b):
    return float((a - b).norm() / b.norm())


def parity(part, name, model, steps, types):
    """f32 by fixed bounds; 16 bits by PyTorch's own distance from f32; beside f64 where `types` has it."""
    exact, picture, _ = Theirs(part, model, "float32").run(steps)

    def f32():
        run = part.ours(model, steps, "f32")
        for what, bound in BOUNDS.items():
            largest = float((run.tensor(what) - exact[what]).abs().max())
            part.at_most(f"{name}, f32: {what}, largest difference", largest, bound)
        largest = abs(run.pixels() - picture).max()
        part.row(f"{name}, f32: pixels, levels of 255", int(largest), "2", bool(largest <= 2))
        return run

    run = part.tried(f"{name}, f32", f32)
    if "f64" in types and run:
        truth = Theirs(part, model, "float64").run(steps)[0]
        for what in BOUNDS:
            ratio = relative(run.tensor(what), truth[what]) / relative(exact[what], truth[what])
            part.row(f"{name}, f32: {what}, distance from f64 over PyTorch's", f"{ratio:.2f}")
    for short, long in {"f16": "float16", "bf16": "bfloat16"}.items():
        if short in types:
            part.tried(f"{name}, {short}", sixteen, part, name, model, steps, short, long, exact)


def sixteen(part, name, model, steps, short, long, exact):
    half = Theirs(part, model, long).run(steps)[0]
    run = part.ours(model, steps, short)
    for what in ("prompt_embedding", "noise_text"):
        bound = 2 * relative(half[what], exact[what])
        part.at_most(f"{name}, {short}: {what}, relative to f32", relative(run.tensor(what), exact[what]), bound)


# ---- The parts, in the order in which they run ----


def kernels(part):
    """Compiles the kernels for the card, and asks each how far it is from candle's."""
    start = time.monotonic()
    env = {"DIFFUSCOPE_CHECK_KERNELS": "1"}
    done = part.program(*part.arguments(EMBEDDED, 1, "f16" if part.is_gpu else "f32", ["--png", part.folder / "x.png"]), env=env)
    print(done.stderr)
    part.row("the first run, its kernels compiled for the card", f"{time.monotonic() - start:.1f} s")
    found = re.findall(r"^ {2}(.*?): (\S+), bound (\S+)$", done.stderr, re.MULTILINE)
    for what, distance, bound in found:
        part.row(f"kernels: {what}", distance, bound, float(distance) <= float(bound))
    for line in done.stderr.splitlines():
        if line.startswith("  ") and ("failed:" in line or "not on" in line):
            part.row("kernels", line.strip()[:300], holds="failed:" not in line)
    if part.is_gpu and not found:
        part.row("kernels: the check", "said nothing", holds=False)
    notes = [line for line in done.stderr.splitlines() if line.startswith("note:") and "distance" not in line]
    part.row("Diffuscope said", "; ".join(notes)[:300] or "nothing")


def embedded(part):
    """The embedded model: parity, and that recording changes no bit."""
    types = ["f64", "f16", "bf16"] if part.is_gpu else ["f16"]
    part.tried("embedded", parity, part, "embedded", EMBEDDED, 8 if part.is_gpu else 3, types)
    for dtype in ["f16", "f32"]:
        part.tried(f"embedded, {dtype}: recording", recording, part, "embedded", EMBEDDED, dtype)


def recording(part, name, model, dtype):
    plain = part.ours(model, 3, dtype, *PLAIN)
    everything = part.ours(model, 3, dtype, "--attention", "heads", "--modules")
    same = bool((plain.pixels() == everything.pixels()).all())
    part.row(f"{name}, {dtype}: the picture with everything recorded", "bit-identical" if same else "differs", holds=same)


def sanitizer(part):
    """Addresses and races, which an emulator cannot tell."""
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not part.is_gpu or not Path(tool).exists():
        return part.skip("compute-sanitizer")
    # Races are looked for in the kernels that share memory; where this version of the tool takes no such filter, in all.
    some = ["--kernel-regex", "kns=(attention|probabilities|moments|group_norm)"]
    for kind, filters in {"memcheck": [[]], "racecheck": [some, []]}.items():
        what = f"compute-sanitizer {kind}, embedded, one step"
        run = part.arguments(EMBEDDED, 1, "f16", ["--json", part.folder / kind, "--attention", "heads", "--force"])
        for more in filters:
            before, start = [tool, "--tool", kind, *more, "--print-limit", "20"], time.monotonic()
            try:
                done = part.program(*run, before=before, seconds=34)
            except Failed as error:
                is_refused = more and time.monotonic() - start < 3
                if not is_refused:
                    part.row(what, f"failed: {error}"[:300], holds=False)
                    break
                continue
            said = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", done.stdout + done.stderr)
            print(done.stdout[-4000:])
            part.row(what, said[-1] if said else "no summary", "0 errors", bool(said) and said[-1].startswith("0 "))
            break


def speed(part):
    """A step of 512x512 in f16, with guidance: by the clock, and by the device's own; what recording costs; memory."""
    dtype, many, few = ("f16", 45, 15) if part.is_gpu else ("f32", 8, 4)
    part.wait_for_sized()

    def whole(steps):
        start = time.monotonic()
        part.program(*part.arguments(part.sized, steps, dtype, ["--png", part.folder / "x.png"]))
        return time.monotonic() - start

    whole(1)  # Reads the files once.
    step = part.tried("by the clock", lambda: (whole(many) - whole(few)) / (many - few))
    if step is not None:
        part.row(f"a step, by the clock: ({many} steps - {few} steps) / {many - few}", f"{1000 * step:.1f} ms")
    runs = {}
    for label, more in {"nothing": PLAIN, "averaged attention": MEAN, "every head": HEADS}.items():
        what = f"a step, {label} recorded, by the device"
        runs[label] = part.tried(what, lambda: watched(part, what, few, dtype, more))
    for label in ("averaged attention", "every head"):
        if runs["nothing"] and runs[label]:
            ratio = runs[label] / runs["nothing"]
            holds = ratio <= RECORDING if label == "averaged attention" and part.is_gpu else None
            part.row(f"recording {label}, times as long", f"{ratio:.3f}", str(RECORDING) if holds is not None else "", holds)


def watched(part, what, steps, dtype, more):
    memory = Memory(part.is_gpu)
    seconds = part.ours(part.sized, steps, dtype, *more).seconds()
    part.row(what, f"{1000 * seconds:.2f} ms, {memory.peak()} of the card's memory")
    return seconds


class Memory(threading.Thread):
    """The card's memory in use beyond what was in use before, sampled while something runs."""

    def __init__(self, is_gpu):
        super().__init__(daemon=True)
        self.torch = None
        if is_gpu:
            import torch

            torch.cuda.init()
            torch.zeros(1, device="cuda")
            self.torch, self.running = torch, True
            self.before = self.most = self.used()
            self.start()

    def used(self):
        free, total = self.torch.cuda.mem_get_info()
        return total - free

    def run(self):
        while self.running:
            self.most = max(self.most, self.used())
            time.sleep(0.02)

    def peak(self):
        if not self.torch:
            return "none"
        self.running = False
        self.join()
        return f"{(self.most - self.before) / 1e9:.2f} GB"


def sized(part):
    """Parity at the size of Stable Diffusion v1."""
    part.wait_for_sized()
    parity(part, "SD v1-sized" if part.is_gpu else "rehearsal", part.sized, 2, ["f16"])
    part.tried("SD v1-sized, f16: recording", recording, part, "SD v1-sized", part.sized, "f16" if part.is_gpu else "f32")


def profile(part):
    """Which kernels take the time of a step: RESULTS/profile.csv."""
    tool = shutil.which("ncu")
    if not part.is_gpu or not tool:
        return part.skip("a profile by ncu")
    part.wait_for_sized()
    metrics = ["gpu__time_duration.sum", "sm__throughput.avg.pct_of_peak_sustained_elapsed"]
    metrics.append("dram__throughput.avg.pct_of_peak_sustained_elapsed")
    before = [tool, "--clock-control", "none", "--csv", "--metrics", ",".join(metrics)]
    before += ["--launch-skip", "2000", "--launch-count", "800"]
    run = part.arguments(part.sized, 6, "f16", ["--png", part.folder / "x.png"])
    done = part.program(*run, before=before, seconds=50)
    lines = done.stdout.splitlines()
    first = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if first is None:
        print(done.stdout[-2000:])
        raise Failed("ncu gave no table")
    (part.results.folder / "profile.csv").write_text("\n".join(lines[first:]) + "\n")
    part.row("a profile by ncu", f"{len(lines) - first} lines in profile.csv")


def stress(part):
    """Rewinding and branching (the lessons), large pictures, and ending in the middle of the work."""
    part.wait_for_sized()
    if part.is_gpu:
        part.tried("every lesson, f32: rewinding, branching, claims", lessons, part)
        size = ["--size", "1792x1792", "--png", part.folder / "large.png"]
        start = time.monotonic()
        large = lambda: part.program(*part.arguments(part.sized, 2, "f16", size), seconds=60)  # noqa: E731
        if part.tried("1792x1792, two steps", large):
            part.row("1792x1792, two steps", f"{time.monotonic() - start:.1f} s", holds=True)
    part.tried("interrupting a run", interrupted, part)
    part.tried("leaving the inspector", left, part)


def lessons(part):
    done = part.program("lesson", "check", "--device", part.options.device, "--dtype", "f32", seconds=60)
    part.row("every lesson, f32: rewinding, branching, claims", (done.stdout.strip().splitlines() or ["held"])[-1][:200], holds=True)


def ended(part, what, process, number):
    """`process` is sent a signal in the middle of its work."""
    time.sleep(8 if part.is_gpu else 3)
    if process.poll() is not None:
        raise Failed(f"it had ended with {process.returncode}")
    start = time.monotonic()
    process.send_signal(number)
    try:
        status = process.wait(20)
    except subprocess.TimeoutExpired:
        end(process)
        raise Failed("did not end within 20 s") from None
    seconds = time.monotonic() - start
    part.row(what, f"exit status {status} after {seconds:.2f} s", f"{128 + number}", status == 128 + number)


def interrupted(part):
    arguments = part.arguments(part.sized, 1000, "f16" if part.is_gpu else "f32", ["--png", part.folder / "x.png"])
    command = [str(word) for word in [part.options.program, *arguments]]
    process = started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ended(part, "a run that is interrupted", process, signal.SIGINT)


def left(part):
    master, slave = pty.openpty()
    arguments = ["-p", PROMPT, "--model", part.sized, "--device", part.options.device, "--steps", 1000]
    command = [str(word) for word in [part.options.program, *arguments]]
    env = {**os.environ, "TERM": "xterm-256color"}
    process = started(command, stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    threading.Thread(target=drain, args=(master,), daemon=True).start()
    ended(part, "the inspector, left while it computes", process, signal.SIGTERM)


def drain(master):
    """So that nobody waits for a terminal that nobody reads."""
    try:
        while os.read(master, 1 << 16):
            pass
    except OSError:
        pass


def eager(part):
    """diffusers, as it is."""
    part.wait_for_sized()
    theirs_speed(part, Theirs(part, part.sized, "float16" if part.is_gpu else "float32"), "diffusers eager")


def compiled(part):
    """diffusers with torch.compile, which takes long to begin."""
    if not part.is_gpu:
        return part.skip("diffusers with torch.compile")
    part.wait_for_sized()
    theirs = Theirs(part, part.sized, "float16")
    theirs.pipe.unet = theirs.torch.compile(theirs.pipe.unet)
    theirs.run(3)
    theirs_speed(part, theirs, "diffusers with torch.compile")


def theirs_speed(part, theirs, name):
    memory = Memory(part.is_gpu)
    seconds = statistics.median(theirs.run(15 if part.is_gpu else 3)[2])
    part.row(f"a step, {name}", f"{1000 * seconds:.1f} ms, {memory.peak()} more of the card's memory than before")
    if part.is_gpu:
        part.row(f"memory, {name}, PyTorch's own count", f"{theirs.torch.cuda.max_memory_allocated() / 1e9:.2f} GB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS])
    for name in ("results", "program", "work", "sized"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--wait-for", type=int, help="the process that makes the checkpoint `sized`")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, end_all)
    # A shell has what it starts in the background ignore it, and what is started from there would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    part = Part(options)
    try:
        PARTS[options.part](part)
    except Exception as error:
        traceback.print_exc()
        part.row(options.part, f"failed: {error}"[:300], holds=False)
        sys.exit(1)


PARTS = {
    part.__name__: part for part in (kernels, embedded, sanitizer, speed, sized, profile, stress, eager, compiled)
}

if __name__ == "__main__":
    main()
