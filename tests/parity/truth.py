"""How far everybody is from the truth: diffusers in f64 against diffusers in f32 and against Diffuscope in f32.

    cargo build --release
    python tests/parity/truth.py measure truth.jsonl            # the goldens' cases and 100 random requests: half an hour
    python tests/parity/truth.py report truth.jsonl             # Markdown tables

Where a run is ill-conditioned, two programs that are both right drift apart, and their distance says nothing of either.
What is fair is the distance of each from the truth, for the same input:

- **the truth** is diffusers with every network, and every step of the sampler, in f64. Its input is the same: the
  initial noise (drawn in f32), the noise of ancestral steps, the schedule's f32 numbers and the sines of the time
  embedding, which diffusers takes in f32 in any case;
- **fused** and **explicit** are diffusers in f32, with torch's fused attention and with an explicit softmax;
- **avx512**, **avx2** and **portable** are Diffuscope with the vector instructions of that name
  (`DIFFUSCOPE_VECTORS`), as far as this processor has them.

Every tensor of every step is compared; picture values are levels of 255, all of them after rounding to 8 bits. A line of JSON is
written for each request, so that a run that was interrupted goes on where it stopped.

Of three sets of errors that are equally large, each is the largest in a third of the tensors. So a larger error in one
tensor shows nothing. What shows something is, kind by kind, the ratio of the errors' root mean squares, taken as a
geometric mean over the requests, with the interval that 95 % of bootstrap samples of the requests fall into: an
implementation that is worse has its whole interval above 1. `report` prints that, how often each is the worst of
three, and how often each is more than twice as far away as both others.
"""

import argparse
import contextlib
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import make_goldens as goldens  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "lessons/little-world/checkpoint"
VECTORS = ["avx512", "avx2", "portable"]
NAMES = "layers,prompt_embedding,negative_prompt_embedding,initial_noise,noise_uncond,noise_text,latents_next,x0"
KINDS = ["prompt embedding", "text layers", "noise, without prompt", "noise, with prompt", "latents", "x0", "picture"]


class Double:
    """The module `torch`, in which f32 is f64: schedulers take their arithmetic to f32 by its name."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@contextlib.contextmanager
def in_double(scheduler):
    """The scheduler's steps in f64. Its numbers are those that it has in f32, and the noise it draws is the same."""
    for name, value in vars(scheduler).items():
        if isinstance(value, torch.Tensor) and value.dtype == torch.float32 and name != "timesteps":
            setattr(scheduler, name, value.double())
    module = sys.modules[type(scheduler).__module__]
    draw = getattr(module, "randn_tensor", None)

    def in_single(shape, generator=None, device=None, dtype=None, layout=None):
        return draw(shape, generator=generator, device=device, dtype=torch.float32, layout=layout).to(dtype)

    module.torch = Double()
    if draw:
        module.randn_tensor = in_single
    try:
        yield
    finally:
        module.torch = torch
        if draw:
            module.randn_tensor = draw


def requests(count, seed=0):
    """The goldens' cases, but for those that change attention, and then random ones."""
    for case in goldens.CASES:
        if not case.interventions and not case.patches:
            yield {
                "prompt": case.prompt,
                "negative_prompt": case.negative_prompt,
                "seed": case.seed,
                "steps": case.steps,
                "guidance": case.guidance_scale,
                "guidance_steps": case.guidance_steps,
                "guidance_rescale": case.guidance_rescale,
                "scheduler": case.scheduler,
                "size": list(case.size or (128, 128)),
            }
    draw = random.Random(seed)
    colours = "red green blue yellow white black purple orange".split()
    things = "apple house tree cat dog horse astronaut star boat moon fish bird car flower mountain".split()
    places = ["on the beach", "in the snow", "at night", "on the grass", "in a city", "under water", "in space"]
    others = ["苹果", "一只红色的猫在雪地里", "星空下的房子 and a boat", "", "naïve café, Ωmega!", "🍎🍏", "??? ### ...", "a, b; c: d"]
    for _ in range(count):
        kind = draw.random()
        if kind < 0.15:
            prompt = draw.choice(others)
        elif kind < 0.25:
            prompt = " ".join(draw.choice(colours + things) for _ in range(90))  # more than 77 tokens
        else:
            prompt = f"a {draw.choice(colours)} {draw.choice(things)} and a {draw.choice(colours)} {draw.choice(things)} {draw.choice(places)}"
        yield {
            "prompt": prompt,
            "negative_prompt": draw.choice(["", "", "", "snow, blurry", "a dog", "模糊"]),
            "seed": draw.choice([draw.randrange(100), draw.randrange(2**32), -draw.randrange(2**31), draw.randrange(2**63)]),
            "steps": draw.choice([1, 2, 3, 5, 8, 11, 15, 20]),
            "guidance": draw.choice([0.0, 1.0, 1.5, 2.5, 5.0, 7.5, 8.0, 12.0, 20.0]),
            "scheduler": draw.choice(list(goldens.SCHEDULERS)),
            "size": draw.choice([[128, 128], [64, 64], [64, 96], [104, 72], [136, 104], [64, 64]]),
        }


def generate(pipe, request, double):
    """The pipeline's loop (`make_goldens.py` holds it to the pipeline): tensors by kind and step, and the picture."""
    dtype = torch.float64 if double else torch.float32
    kept, layers = {}, {}
    prompt = goldens.encode(pipe, request["prompt"], layers)
    negative = goldens.encode(pipe, request["negative_prompt"])
    kept["prompt embedding", 0] = prompt
    kept["prompt embedding", 1] = negative
    for index, name in enumerate(sorted(layers)):
        kept["text layers", index] = layers[name]
    both = torch.cat([negative, prompt])
    steps = request.get("guidance_steps") or {"first": 0, "last": math.inf}
    scheduler = goldens.with_scheduler(pipe, request["scheduler"])
    scheduler.set_timesteps(request["steps"], device="cpu")
    width, height = request["size"]
    generator = torch.Generator("cpu").manual_seed(request["seed"])
    noise = torch.randn((1, 4, height // 8, width // 8), generator=generator)
    facts = {"noise": noise, "timesteps": scheduler.timesteps.float(), "layers": sorted(layers)}
    latents = noise.to(dtype) * float(scheduler.init_noise_sigma)
    holder = type("Holder", (), {"scheduler": scheduler})()
    extra = pipe.prepare_extra_step_kwargs.__func__(holder, generator, 0.0)
    with in_double(scheduler) if double else contextlib.nullcontext():
        for index, timestep in enumerate(scheduler.timesteps):
            guided = request["guidance"] > 1 and steps["first"] <= index <= steps["last"]
            text = both if guided else prompt
            model_input = torch.cat([latents] * 2) if guided else latents
            model_input = scheduler.scale_model_input(model_input, timestep).to(dtype)
            noise = pipe.unet(model_input, timestep, encoder_hidden_states=text, return_dict=False)[0]
            if guided:
                uncond, cond = noise.chunk(2)
                noise = uncond + request["guidance"] * (cond - uncond)
                if request.get("guidance_rescale"):
                    noise = goldens.rescale_noise_cfg(noise, cond, request["guidance_rescale"])
                kept["noise, without prompt", index] = uncond
            else:
                cond = noise
            kept["noise, with prompt", index] = cond
            output = scheduler.step(noise, timestep, latents, **extra)
            latents = output.prev_sample
            kept["latents", index] = latents
            if getattr(output, "pred_original_sample", None) is not None:
                kept["x0", index] = output.pred_original_sample
            elif request["scheduler"].startswith("dpm++"):
                kept["x0", index] = scheduler.model_outputs[-1]
    assert latents.dtype == dtype, (request["scheduler"], latents.dtype)
    picture = pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]
    picture = (picture / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).double().numpy() * 255
    kept = {key: value.double().numpy().reshape(-1) for key, value in kept.items()}
    kept["picture", 0] = picture.round().reshape(-1)
    return kept, facts


def ours(program, request, vectors, facts):
    """The same from Diffuscope's export, and the seconds that it took."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        width, height = request["size"]
        command = [program, "run", "-p", "-", f"--negative={request['negative_prompt']}", f"--seed={request['seed']}"]
        command += ["--steps", str(request["steps"]), "--guidance", str(request["guidance"])]
        if steps := request.get("guidance_steps"):
            command += ["--guidance-steps", f"{steps['first'] + 1}..{steps['last'] + 1}"]
        command += ["--guidance-rescale", str(request.get("guidance_rescale", 0))]
        command += ["--scheduler", request["scheduler"], "--size", f"{width}x{height}", "--device", "cpu"]
        command += ["--json", str(out), "--attention", "none", "--tensors", NAMES]
        environment = os.environ | {"DIFFUSCOPE_VECTORS": vectors, "RAYON_NUM_THREADS": "1"}
        subprocess.run(command, input=request["prompt"].encode(), env=environment, check=True, capture_output=True)
        document = json.loads((out / "run.json").read_text())

        def values(entry):
            data = json.loads((out / entry["file"]).read_text())["data"]
            # The shortest digits that are this f32 again.
            return np.array([float(value) for value in data], np.float32).astype(np.float64)

        # The input must be the same, or nothing is shown.
        tensors = document["tensors"]
        assert np.array_equal(values(tensors["initial_noise"]), facts["noise"].double().numpy().reshape(-1))
        assert np.array_equal(np.float32(document["schedule"]["timesteps"]), facts["timesteps"].numpy())
        kept = {("prompt embedding", 0): values(tensors["prompt_embedding"])}
        kept["prompt embedding", 1] = values(tensors["negative_prompt_embedding"])
        for index, name in enumerate(facts["layers"]):
            if name in tensors:
                kept["text layers", index] = values(tensors[name])
        names = {
            "noise_uncond": "noise, without prompt",
            "noise_text": "noise, with prompt",
            "latents_next": "latents",
            "x0": "x0",
        }
        for step in document["steps"]:
            for name, kind in names.items():
                if name in step["tensors"]:
                    kept[kind, step["index"]] = values(step["tensors"][name])
        kept["picture", 0] = np.asarray(Image.open(out / "image.png"), dtype=np.float64).reshape(-1)
        return kept


def errors(kept, truth):
    """Root mean square and maximum of the distance from the truth, by kind and step."""
    found = {}
    for (kind, index), value in truth.items():
        if (kind, index) in kept:
            distance = kept[kind, index] - value
            scale = float(np.sqrt(np.mean(value**2)))
            found.setdefault(kind, {})[index] = [float(np.sqrt(np.mean(distance**2))), float(np.abs(distance).max()), scale]
    return found


def available(vectors):
    """Does this processor have these instructions?"""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return vectors == "portable" or {"avx512": " avx512f ", "avx2": " avx2 "}[vectors] in flags


def pipelines():
    """The same weights three times."""
    load = lambda: StableDiffusionPipeline.from_pretrained(CHECKPOINT, dtype=torch.float32)  # noqa: E731
    truth, fused, explicit = load().to(torch.float64), load(), load()
    for pipe in (truth, fused, explicit):
        pipe.set_progress_bar_config(disable=True)
    for pipe in (truth, fused):
        pipe.unet.set_attn_processor(AttnProcessor2_0())
        pipe.vae.set_attn_processor(AttnProcessor2_0())
    explicit.unet.set_attn_processor(AttnProcessor())
    explicit.vae.set_attn_processor(AttnProcessor())
    explicit.text_encoder.set_attn_implementation("eager")
    return truth, fused, explicit


@torch.no_grad()
def measure(options):
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    diffusers.logging.set_verbosity_error()
    done = len(options.results.read_text().splitlines()) if options.results.exists() else 0
    truth_pipe, fused_pipe, explicit_pipe = pipelines()
    started = time.monotonic()
    for index, request in enumerate(requests(options.count)):
        if index < done:
            continue
        try:
            truth, facts = generate(truth_pipe, request, True)
        except (IndexError, ValueError) as error:
            line = {"request": request, "refused": f"{type(error).__name__}: {error}"}
        else:
            line = {"request": request, "errors": {}}
            for name, pipe in (("fused", fused_pipe), ("explicit", explicit_pipe)):
                line["errors"][name] = errors(generate(pipe, request, False)[0], truth)
            for vectors in filter(available, VECTORS):
                line["errors"][vectors] = errors(ours(options.program, request, vectors, facts), truth)
        with options.results.open("a") as out:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
        print(f"{index + 1}: {time.monotonic() - started:.0f} s, {request['scheduler']}, {request['steps']} steps", flush=True)


def ratio(lines, kind, ours, theirs, draw):
    """Geometric mean over requests of the ratio of root mean square errors, and its 95 % interval by bootstrap."""
    logs = []
    for line in lines:
        both = [list(line["errors"][name].get(kind, {}).values()) for name in (ours, theirs)]
        squares = [sum(error[0] ** 2 for error in side) for side in both]
        if all(square > 0 for square in squares):
            logs.append(0.5 * math.log(squares[0] / squares[1]))
    if not logs:
        return None
    means = sorted(sum(draw.choices(logs, k=len(logs))) / len(logs) for _ in range(2000))
    return [math.exp(value) for value in (sum(logs) / len(logs), means[50], means[1949])]


def tensors_of(line, kind, names):
    """The errors of one kind in each tensor, for each of `names`."""
    for index in line["errors"][names[0]].get(kind, {}):
        found = [line["errors"][name].get(kind, {}).get(index) for name in names]
        if all(found):
            yield index, found


def report(options):
    lines = [json.loads(line) for line in options.results.read_text().splitlines()]
    refused = [line for line in lines if "refused" in line]
    lines = [line for line in lines if "errors" in line]
    paths = [name for name in VECTORS if name in lines[0]["errors"]]
    draw = random.Random(0)
    print(f"{len(lines)} requests ({len(refused)} that diffusers refuses left out)\n")
    print("| | largest error: " + ", ".join(["fused", "explicit", *paths]) + " | " + " | ".join(f"{p} / fused | {p} / explicit" for p in paths) + " |")
    print("|---" * (2 + 2 * len(paths)) + "|")
    for kind in KINDS:
        largest = [max((e[1] for line in lines for e in line["errors"][name].get(kind, {}).values()), default=0) for name in ["fused", "explicit", *paths]]
        cells = []
        for path in paths:
            for other in ("fused", "explicit"):
                found = ratio(lines, kind, path, other, draw)
                cells.append("{:.2f} ({:.2f} to {:.2f})".format(*found) if found else "")
        print(f"| {kind} | " + ", ".join(f"{value:.2g}" for value in largest) + " | " + " | ".join(cells) + " |")
    print("\nfused / explicit, for scale: " + "; ".join(f"{kind} {ratio(lines, kind, 'fused', 'explicit', draw)[0]:.2f}" for kind in KINDS))
    for path in paths:
        worst_of_three(lines, [path, "fused", "explicit"])
    if options.systematic:
        systematic(lines, paths)


def worst_of_three(lines, names):
    """How often each is the furthest from the truth, and how often by more than twice; by root mean square."""
    print(f"\n{names[0]}: in how many tensors of a kind each of the three is the worst, ties shared")
    outliers = {name: [] for name in names}
    for kind in KINDS:
        worst, total = dict.fromkeys(names, 0.0), 0
        for number, line in enumerate(lines):
            for index, found in tensors_of(line, kind, names):
                square = [error[0] for error in found]
                if max(square) == 0:
                    continue
                total += 1
                for name, value in zip(names, square, strict=True):
                    worst[name] += (value == max(square)) / square.count(max(square))
                    others = max(other for other in square if other != value) if len(set(square)) > 1 else value
                    # Of pictures few values differ by a level at all: none and one are far apart, and mean nothing.
                    if kind != "picture" and value > 2 * others:
                        outliers[name].append((value / others, kind, index, number, square))
        print(f"  {kind}: {total} tensors; " + ", ".join(f"{name} {100 * count / max(total, 1):.0f} %" for name, count in worst.items()))
    for name, found in outliers.items():
        print(f"  {name} more than twice as far as both others: {len(found)} tensors of {len({one[3] for one in found})} requests")
    for factor, kind, index, number, square in sorted(outliers[names[0]], reverse=True)[:5]:
        print(f"    {factor:.1f} times: {kind} {index} of {lines[number]['request']}: {square}")


def systematic(lines, paths):
    """Ratios by scheduler, and by the place of the step in the run: where a loss would show."""
    for path in paths:
        print(f"\n{path}: ratio to the worse of fused and explicit, by scheduler")
        for scheduler in goldens.SCHEDULERS:
            own = [line for line in lines if line["request"]["scheduler"] == scheduler]
            cells = []
            for kind in KINDS:
                logs = [
                    math.log(found[0][0] / max(found[1][0], found[2][0]))
                    for line in own
                    for _, found in tensors_of(line, kind, [path, "fused", "explicit"])
                    if found[0][0] > 0 and max(found[1][0], found[2][0]) > 0
                ]
                cells.append(f"{kind} {math.exp(sum(logs) / len(logs)):.2f}" if logs else f"{kind} -")
            print(f"  {scheduler} ({len(own)}): " + ", ".join(cells))


def main():
    parser = argparse.ArgumentParser(description="Errors of Diffuscope and of diffusers in f32, against diffusers in f64.")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("measure")
    one.add_argument("results", type=Path, help="one line of JSON a request; what is there is kept")
    one.add_argument("--count", type=int, default=100, help="random requests after the goldens' [100]")
    one.add_argument("--program", default=str(ROOT / "target/release/diffuscope"))
    one.set_defaults(run=measure)
    two = commands.add_parser("report")
    two.add_argument("results", type=Path)
    two.add_argument("--systematic", action="store_true", help="by scheduler, too")
    two.set_defaults(run=report)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
