"""Make the goldens that tests/parity.rs compares the engine with: what diffusers computes, in f32 on the CPU.

    python tests/parity/make_goldens.py lessons/little-world/checkpoint tests/parity/goldens

Writes `goldens.json` (cases, versions, and how far two exact attention implementations of PyTorch are apart from
each other on the same cases: the noise floor), `goldens.safetensors` (tensors, f32 and i32) and one PNG a case.
Running it again gives the same bytes. It takes about a minute.

The denoising loop is written out here so that each step's values can be kept. That it is the loop of
`StableDiffusionPipeline.__call__` is not assumed: the images of every case must equal the pipeline's own, bit for bit.
"""

import argparse
import contextlib
import hashlib
import json
import shutil
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
)
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from PIL import Image
from safetensors.torch import save_file

SCHEDULERS = {
    "lms": (LMSDiscreteScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler-a": (EulerAncestralDiscreteScheduler, {}),
    "ddim": (DDIMScheduler, {}),
    "dpm++-2m": (DPMSolverMultistepScheduler, {}),
    "dpm++-2m-karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "pndm": (PNDMScheduler, {}),
}

ASTRONAUT = "a photograph of an astronaut riding a horse"
TWO_OBJECTS = "a red apple to the left of a blue house at night"
CHINESE = "苹果 in the snow"
OVER_LONG = ", ".join(["a small green tree and a yellow star above the river in the evening"] * 7)
NEGATIVE = "a blue house, snow, blurry"

UP = "up_blocks.2.attentions.0"

# Attention maps are kept for these text positions: the prompt's words, and some padding up to the last.
POSITIONS = [*range(12), 40, 76]
# Every head, and the unconditional half, are kept for layers of at most this many pixels.
SMALL_LAYER = 64

# How near the engine's noise predictions must be. Where two exact ways of computing attention in PyTorch itself are
# further apart than a third of it, the value is ill-conditioned (at a sigma of 0.03 the noise prediction is thirty times
# as sensitive as the latents). Such a tensor is listed under `ill_conditioned` with that distance, and the latents that
# it was computed from are kept, so that the network can be compared on equal input.
NOISE_BOUND = 1e-4


@dataclass
class Case:
    """One generation, and how much of it is kept."""

    name: str
    scheduler: str
    prompt: str
    seed: int
    guidance_scale: float
    steps: int = 8
    negative_prompt: str = ""
    # Steps whose noise predictions are kept; None keeps every step's.
    keep: list[int] | None = None
    # Steps whose head-averaged cross-attention (prompt's half) is kept.
    attention: list[int] = field(default_factory=list)
    # The step of which every head, of both halves, is kept.
    heads: int | None = None
    # Changes of the prompt's cross-attention, as `Request.interventions` has them, with positions.
    interventions: list[dict] = field(default_factory=list)
    # The steps with guidance, all where there are none, and how much of it is rescaled.
    guidance_steps: dict | None = None
    guidance_rescale: float = 0.0
    # Changes of modules' outputs, as `Request.patches` has them; a run that values are taken from is the case of its name.
    patches: list[dict] = field(default_factory=list)
    # Width and height of the picture in pixels, where they are not the model's own.
    size: tuple[int, int] | None = None

    def is_guided(self, index):
        steps = self.guidance_steps
        return self.guidance_scale > 1 and (steps is None or steps["first"] <= index <= steps["last"])

    def noise_shape(self, unet):
        """Of the latents; an autoencoder's pixel is 8 of the picture's."""
        width, height = (length // 8 for length in self.size) if self.size else 2 * [unet.config.sample_size]
        return (1, unet.config.in_channels, height, width)


CASES = [
    Case("astronaut-lms", "lms", ASTRONAUT, 42, 7.5, attention=[0, 7], heads=2),
    Case("two-objects-euler", "euler", TWO_OBJECTS, 0, 7.5),
    Case("chinese-euler-a", "euler-a", CHINESE, -1, 3.0),
    Case("over-long-ddim", "ddim", OVER_LONG, 2**32 + 7, 7.5),
    Case("negative-dpm", "dpm++-2m", TWO_OBJECTS, 42, 5.0, negative_prompt=NEGATIVE),
    Case("astronaut-dpm-karras", "dpm++-2m-karras", ASTRONAUT, 7, 7.5),
    Case("empty-pndm", "pndm", "", 0, 3.0),
    Case("unguided-lms", "lms", TWO_OBJECTS, 42, 1.0),
    Case("astronaut-lms-25", "lms", ASTRONAUT, 42, 7.5, steps=25, keep=[0, 12, 24]),
    Case("two-objects-pndm-20", "pndm", TWO_OBJECTS, 42, 7.5, steps=20, keep=[0, 1, 10, 20]),
    Case("astronaut-euler-a-25", "euler-a", ASTRONAUT, 42, 7.5, steps=25, keep=[24]),
    Case("one-step-dpm", "dpm++-2m", ASTRONAUT, 3, 7.5, steps=1, keep=[]),
    # Neither square nor evenly halved: 17x13 latents, then 9x7 and 5x4.
    Case("odd-size-euler", "euler", TWO_OBJECTS, 7, 5.0, steps=4, attention=[0], size=(136, 104)),
    Case(
        "interventions-euler",
        "euler",
        TWO_OBJECTS,
        42,
        7.5,
        steps=3,
        attention=[0, 2],
        interventions=[
            {"word": "apple", "positions": [3], "change": {"weight": 2.0}},
            {"word": "night", "positions": [12], "change": {"weight": 0.0}},
            {
                "word": "red",
                "positions": [2],
                "change": {"swap": {"word": "blue house", "positions": [9, 10]}},
                "steps": {"first": 1, "last": 2},
            },
        ],
    ),
    Case("early-guidance-euler", "euler", TWO_OBJECTS, 5, 7.5, steps=4, guidance_steps={"first": 0, "last": 1}),
    Case("middle-guidance-pndm", "pndm", ASTRONAUT, 5, 5.0, steps=4, guidance_steps={"first": 1, "last": 3}),
    Case("rescaled-dpm", "dpm++-2m", ASTRONAUT, 11, 7.5, steps=4, guidance_rescale=0.7),
    Case(
        "rescaled-late-lms",
        "lms",
        TWO_OBJECTS,
        11,
        12.0,
        steps=4,
        negative_prompt=NEGATIVE,
        guidance_steps={"first": 2, "last": 3},
        guidance_rescale=1.0,
    ),
    Case(
        "patched-euler",
        "euler",
        ASTRONAUT,
        21,
        7.5,
        steps=4,
        patches=[
            {"module": "mid_block.attentions.0", "change": "off", "steps": {"first": 1, "last": 2}},
            {"module": f"{UP}.transformer_blocks.0.attn2", "head": 1, "change": {"scale": 2.0}},
            {"module": "up_blocks.1.resnets.0.skip", "change": {"scale": 0.5}, "steps": {"first": 2, "last": 3}},
        ],
    ),
    Case(
        "taken-euler",
        "euler",
        ASTRONAUT,
        21,
        7.5,
        patches=[
            {
                "module": "mid_block.resnets.1",
                "change": {"take": {"run": "two-objects-euler"}},
                "steps": {"first": 0, "last": 4},
            },
            {
                "module": f"{UP}.transformer_blocks.0.attn1",
                "head": 3,
                "change": {"take": {"run": "two-objects-euler", "step": 3}},
                "steps": {"first": 4, "last": 7},
            },
            {"module": "down_blocks.0.resnets.0", "change": {"take": {"run": "two-objects-euler"}}, "steps": {"first": 2, "last": 2}},
        ],
    ),
]

# Changes of one module each, of which the first step of the first case is kept: every kind of site.
PATCHES = [
    {"module": "conv_in", "change": "off"},
    {"module": "conv_in", "change": {"scale": 0.5}},
    {"module": "time_embedding", "change": "off"},
    {"module": "time_embedding", "change": {"scale": 1.5}},
    {"module": "down_blocks.0.resnets.0", "change": "off"},
    {"module": "down_blocks.1.attentions.0", "change": "off"},
    {"module": "down_blocks.1.attentions.0", "change": {"scale": -1.0}},
    {"module": "down_blocks.0.downsamplers.0", "change": {"scale": 0.25}},
    {"module": "down_blocks.0.attentions.0.transformer_blocks.0.attn1", "change": "off"},
    {"module": "down_blocks.0.attentions.0.transformer_blocks.0.attn1", "head": 0, "change": "off"},
    {"module": "mid_block.attentions.0.transformer_blocks.0.attn2", "change": "off"},
    {"module": "mid_block.attentions.0.transformer_blocks.0.attn2", "head": 2, "change": "off"},
    {"module": "mid_block.attentions.0.transformer_blocks.0.attn2", "head": 3, "change": {"scale": 3.0}},
    {"module": "mid_block.attentions.0.transformer_blocks.0.ff", "change": "off"},
    {"module": "mid_block.attentions.0.transformer_blocks.0.ff", "change": {"scale": 2.0}},
    {"module": "mid_block.resnets.1", "change": "off"},
    {"module": "up_blocks.0.resnets.1.skip", "change": "off"},
    {"module": "up_blocks.2.resnets.0.skip", "change": {"scale": 1.5}},
    {"module": "up_blocks.1.attentions.1", "change": {"scale": 0.5}},
    {"module": "up_blocks.1.upsamplers.0", "change": "off"},
    {"module": "up_blocks.2.resnets.1", "change": "off"},
    {"module": "conv_out", "change": {"scale": 0.5}},
]

# Schedules alone, without a network, for these numbers of steps.
SCHEDULE_STEPS = [1, 2, 3, 7, 25, 50, 100]


class Tap:
    """Captures the cross-attention probabilities of chosen layers on the side; the output stays the processor's own."""

    def __init__(self, unet):
        self.probs = {}
        self.on = False
        self.interventions = []
        self.unet = unet
        self.plain = AttnProcessor2_0()
        self.use(self.plain)

    def use(self, processor):
        self.unet.set_attn_processor(
            {name: self._wrap(name.removesuffix(".processor"), processor) for name in self.unet.attn_processors}
        )

    def _wrap(self, path, processor):
        tap = self

        class Processor:
            def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
                if path.endswith("attn2") and (tap.on or tap.interventions):
                    probs = tap.probabilities(attn, hidden_states, encoder_hidden_states)
                    for intervention in tap.interventions:
                        probs[-1] = intervene(intervention, probs[-1])
                    if tap.on:
                        tap.probs[path] = probs
                    if tap.interventions:
                        return tap.attend(attn, probs, encoder_hidden_states)
                return processor(attn, hidden_states, encoder_hidden_states, attention_mask, temb)

        return Processor()

    @staticmethod
    def probabilities(attn, hidden_states, text):
        """`(batch, heads, queries, keys)`: an explicit softmax."""
        batch = hidden_states.shape[0]
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(text))
        return attn.get_attention_scores(query, key).unflatten(0, (batch, attn.heads))

    @staticmethod
    def attend(attn, probs, text):
        """What `AttnProcessor` makes of probabilities: `(batch, queries, channels)`."""
        value = attn.head_to_batch_dim(attn.to_v(text))
        out = attn.batch_to_head_dim(torch.bmm(probs.flatten(0, 1), value))
        return attn.to_out[1](attn.to_out[0](out))


def intervene(intervention, probs):
    """The probabilities `(heads, queries, keys)` of the prompt's half, changed."""
    probs, positions = probs.clone(), intervention["positions"]
    match intervention["change"]:
        case {"weight": factor}:
            probs[..., positions] *= factor
        case {"swap": {"positions": other}}:
            here, there = (probs[..., p].sum(-1, keepdim=True) for p in (positions, other))
            probs[..., positions] = there / len(positions)
            probs[..., other] = here / len(other)
    return probs


def acting(changes, index):
    """Those of a case's interventions or patches that act in step `index`."""
    return [
        change
        for change in changes
        if "steps" not in change or change["steps"]["first"] <= index <= change["steps"]["last"]
    ]


def skip_channels(unet):
    """Channels of the skip that each residual block of the way up takes: the last of its input."""
    skips = [unet.conv_in.out_channels]
    for block in unet.down_blocks:
        skips += [resnet.out_channels for resnet in block.resnets]
        skips += skips[-1:] if block.downsamplers else []
    return {
        f"up_blocks.{i}.resnets.{j}": skips.pop()
        for i, block in enumerate(unet.up_blocks)
        for j, _ in enumerate(block.resnets)
    }


@contextlib.contextmanager
def at_site(unet, path, head, act):
    """While the block runs, what passes at `path` becomes `act(value)` where that is a tensor.

    A module's output; what an attention layer's heads give, which is the input of its `to_out.0`; or a skip, which is the
    last part of the input of a residual block of the way up.
    """
    if head is not None or path.endswith(".heads"):
        attention = unet.get_submodule(path.removesuffix(".heads"))

        def on_heads(_module, inputs):
            value = inputs[0].clone()
            size = value.shape[-1] // attention.heads
            own = slice(None) if head is None else slice(head * size, (head + 1) * size)
            changed = act(value[..., own])
            if changed is not None:
                value[..., own] = changed
                return (value, *inputs[1:])

        handle = attention.to_out[0].register_forward_pre_hook(on_heads)
    elif path.endswith(".skip"):
        path = path.removesuffix(".skip")
        first = -skip_channels(unet)[path]

        def on_skip(_module, inputs):
            changed = act(inputs[0][:, first:])
            if changed is not None:
                return (torch.cat([inputs[0][:, :first], changed], 1), *inputs[1:])

        handle = unet.get_submodule(path).register_forward_pre_hook(on_skip)
    else:

        def on_output(_module, _inputs, output):
            if isinstance(output, tuple):
                changed = act(output[0])
                return None if changed is None else (changed, *output[1:])
            return act(output)

        handle = unet.get_submodule(path).register_forward_hook(on_output)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def patched(unet, patches, index=0, donors=None):
    """The patches that act in step `index`; `donors` has values by run, and in it by step and site."""

    def action(patch):
        match patch["change"]:
            case "off":
                return torch.zeros_like
            case {"scale": factor}:
                return lambda value: value * factor
            case {"take": {"run": run, **step}}:
                taken = donors[run][step.get("step", index)][patch["module"], patch.get("head")]
                return lambda value: taken[-value.shape[0] :]

    with contextlib.ExitStack() as stack:
        for patch in acting(patches, index):
            stack.enter_context(at_site(unet, patch["module"], patch.get("head"), action(patch)))
        yield


def donors_of(pipe, tap, case):
    """What the case's patches may take: values by run, and in it by step and site."""
    donors = {}
    for patch in case.patches:
        match patch["change"]:
            case {"take": {"run": run}}:
                site = (patch["module"], patch.get("head"))
                steps = donors.setdefault(run, [])
                passed = []
                with at_site(pipe.unet, *site, lambda value, passed=passed: passed.append(value.clone())):
                    generate(pipe, tap, next(case for case in CASES if case.name == run))
                steps += [{} for _ in passed[len(steps) :]]
                for step, value in zip(steps, passed, strict=True):
                    step[site] = value
    return donors


def with_scheduler(pipe, name):
    """The named scheduler in the place of the checkpoint's own, made from its configuration."""
    kind, options = SCHEDULERS[name]
    return kind.from_config(pipe.scheduler.config, **options)


def sigmas_of(scheduler):
    """Noise level before each step, and after the last, as f32.

    DDIM and PNDM have none of their own: theirs is sqrt((1 - a) / a) at each timestep, in f64 and rounded once.
    """
    if hasattr(scheduler, "sigmas"):
        return scheduler.sigmas.to(torch.float32)
    alphas = scheduler.alphas_cumprod[scheduler.timesteps.long()].double()
    alphas = torch.cat([alphas, scheduler.final_alpha_cumprod.double().reshape(1)])
    return ((1 - alphas) / alphas).sqrt().float()


def tokenize(pipe, text):
    return pipe.tokenizer(
        text, padding="max_length", max_length=pipe.tokenizer.model_max_length, truncation=True, return_tensors="pt"
    ).input_ids


@contextlib.contextmanager
def outputs_of(modules, into):
    """Keeps the output of each named module while the block runs."""

    def keep(name):
        def hook(_module, _inputs, output):
            output = output if isinstance(output, torch.Tensor) else output[0]
            if isinstance(output, torch.Tensor):
                into[name] = output.detach().clone()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield into
    finally:
        for handle in handles:
            handle.remove()


def text_modules(encoder):
    """Modules of the text encoder by the names that the trace gives them."""
    modules = {}
    for path, module in encoder.named_modules():
        tail = path.removeprefix("text_model.")
        if tail == "embeddings.token_embedding":
            modules["token_embedding"] = module
        elif tail == "embeddings.position_embedding":
            modules["position_embedding"] = module
        elif tail.startswith("encoder.layers.") and tail.count(".") == 2:
            modules[f"text_model.{tail}"] = module
    return modules


def encode(pipe, text, layers=None):
    """What the UNet gets, `(1, 77, hidden)`; each layer's output goes into `layers`."""
    modules = text_modules(pipe.text_encoder) if layers is not None else {}
    with outputs_of(modules, layers if layers is not None else {}):
        return pipe.encode_prompt(text, "cpu", 1, False)[0]


def generate(pipe, tap, case):
    """The pipeline's own loop, keeping what passes. Returns tensors by name and the image, `(height, width, 3)` u8."""
    kept, donors = {}, donors_of(pipe, tap, case)
    scheduler = with_scheduler(pipe, case.scheduler)
    prompt = encode(pipe, case.prompt)
    both = torch.cat([encode(pipe, case.negative_prompt), prompt])

    scheduler.set_timesteps(case.steps, device="cpu")
    kept["timesteps"] = scheduler.timesteps.to(torch.float32)
    kept["sigmas"] = sigmas_of(scheduler)
    kept["init_noise_sigma"] = torch.tensor(float(scheduler.init_noise_sigma))

    generator = torch.Generator("cpu").manual_seed(case.seed)
    noise = torch.randn(case.noise_shape(pipe.unet), generator=generator)
    kept["initial_noise"] = noise
    latents = noise * scheduler.init_noise_sigma
    extra = pipe.prepare_extra_step_kwargs.__func__(type("Holder", (), {"scheduler": scheduler})(), generator, 0.0)

    for index, timestep in enumerate(scheduler.timesteps):
        keep = case.keep is None or index in case.keep
        tap.on, tap.probs = index in case.attention or index == case.heads, {}
        tap.interventions = acting(case.interventions, index)
        guided = case.is_guided(index)
        text = both if guided else prompt
        model_input = torch.cat([latents] * 2) if guided else latents
        model_input = scheduler.scale_model_input(model_input, timestep)
        with patched(pipe.unet, case.patches, index, donors):
            noise = pipe.unet(model_input, timestep, encoder_hidden_states=text, return_dict=False)[0]
        if guided:
            noise_uncond, noise_text = noise.chunk(2)
            noise = noise_uncond + case.guidance_scale * (noise_text - noise_uncond)
            if case.guidance_rescale > 0:
                noise = rescale_noise_cfg(noise, noise_text, case.guidance_rescale)
            if keep:
                kept[f"steps/{index}/noise_uncond"] = noise_uncond
        else:
            noise_text = noise
        if keep:
            kept[f"steps/{index}/noise_text"] = noise_text
            kept[f"steps/{index}/latents"] = latents
        output = scheduler.step(noise, timestep, latents, **extra)
        latents = output.prev_sample
        if index == len(scheduler.timesteps) // 2:
            kept[f"steps/{index}/latents_next"] = latents
            if getattr(output, "pred_original_sample", None) is not None:
                kept[f"steps/{index}/x0"] = output.pred_original_sample
            elif case.scheduler.startswith("dpm++"):
                kept[f"steps/{index}/x0"] = scheduler.model_outputs[-1]  # DPM-Solver++ predicts x0
        for path, probs in tap.probs.items():
            # (halves, heads, queries, keys) -> (halves, heads, positions, queries)
            probs = probs[..., POSITIONS].transpose(-1, -2)
            if index in case.attention:
                kept[f"steps/{index}/attention/{path}"] = probs[-1].mean(0)
            if index == case.heads and probs.shape[-1] <= SMALL_LAYER:
                kept[f"steps/{index}/heads/{path}"] = probs[-1]
                kept[f"steps/{index}/uncond/{path}"] = probs[0].mean(0)
    tap.on, tap.interventions = False, []
    kept["latents"] = latents

    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]
    image = pipe.image_processor.postprocess(decoded, output_type="np", do_denormalize=[True])[0]
    kept = {name: tensor.detach().contiguous().clone() for name, tensor in kept.items()}
    return {name: t.squeeze(0) if t.ndim == 4 and t.shape[0] == 1 else t for name, t in kept.items()}, image


def first_step(pipe, case):
    """What the UNet predicts in the first step, `(2, channels, height, width)`."""
    scheduler = with_scheduler(pipe, case.scheduler)
    scheduler.set_timesteps(case.steps)
    noise = torch.randn(case.noise_shape(pipe.unet), generator=torch.manual_seed(case.seed))
    model_input = scheduler.scale_model_input(noise * scheduler.init_noise_sigma, scheduler.timesteps[0])
    text = torch.cat([encode(pipe, case.negative_prompt), encode(pipe, case.prompt)])
    return pipe.unet(torch.cat([model_input] * 2), scheduler.timesteps[0], encoder_hidden_states=text).sample


def module_outputs(pipe, case):
    """Number of values, norm and mean of what passes in the first step, by the path of the module or of the site."""
    modules = {path: module for path, module in pipe.unet.named_modules() if path}
    sites = [f"{path}.heads" for path in modules if path.endswith(("attn1", "attn2"))]
    sites += [f"{path}.skip" for path in skip_channels(pipe.unet)]
    with contextlib.ExitStack() as stack:
        outputs = stack.enter_context(outputs_of(modules, {}))
        for site in sites:

            def keep(value, site=site):
                outputs[site] = value.clone()

            stack.enter_context(at_site(pipe.unet, site, None, keep))
        first_step(pipe, case)
    return {
        path: [output.numel(), output.double().norm().item(), output.double().mean().item()]
        for path, output in outputs.items()
    }


def check_against_pipeline(pipe, tap, case, image):
    """The loop above is the pipeline's, or the goldens are worth nothing.

    The pipeline has no guidance by steps, but guidance may be changed between its steps; the first of them is guided.
    """
    if case.guidance_steps and case.guidance_steps["first"] > 0:
        return
    own = pipe.scheduler
    prompt = encode(pipe, case.prompt)
    both = torch.cat([encode(pipe, case.negative_prompt), prompt])
    donors, patches = donors_of(pipe, tap, case), contextlib.ExitStack()

    def patch_step(index):
        patches.close()
        patches.enter_context(patched(pipe.unet, case.patches, index, donors))
        tap.interventions = acting(case.interventions, index)

    def begin_step(pipe, index, _timestep, _tensors):
        patch_step(min(index + 1, case.steps - 1))
        if case.guidance_steps is None:
            return {}
        guided = case.is_guided(index + 1)
        pipe._guidance_scale = case.guidance_scale if guided else 1.0
        return {"prompt_embeds": both if guided else prompt}

    pipe.scheduler = with_scheduler(pipe, case.scheduler)
    patch_step(0)
    expected = pipe(
        case.prompt,
        negative_prompt=case.negative_prompt or None,
        num_inference_steps=case.steps,
        guidance_scale=case.guidance_scale,
        guidance_rescale=case.guidance_rescale,
        width=case.size and case.size[0],
        height=case.size and case.size[1],
        generator=torch.Generator("cpu").manual_seed(case.seed),
        output_type="np",
        callback_on_step_end=begin_step,
    ).images[0]
    pipe.scheduler = own
    patches.close()
    tap.interventions = []
    if not np.array_equal(image, expected):
        raise SystemExit(f"{case.name}: differs from the pipeline by up to {np.abs(image - expected).max():.3g}")


def make_schedules(pipe, tensors):
    """Timesteps and sigmas of every scheduler; and the linear schedule that textbooks show."""
    for name in SCHEDULERS:
        for steps in SCHEDULE_STEPS:
            scheduler = with_scheduler(pipe, name)
            try:
                scheduler.set_timesteps(steps)
            except (IndexError, ValueError) as error:
                print(f"  diffusers has no {name} schedule of {steps} steps: {error}")
                continue
            store_schedule(tensors, f"schedules/checkpoint/{name}/{steps}", scheduler)
    linear = LMSDiscreteScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
    linear.set_timesteps(100)
    store_schedule(tensors, "schedules/linear/lms/100", linear)


def store_schedule(tensors, prefix, scheduler):
    tensors[f"{prefix}/timesteps"] = scheduler.timesteps.to(torch.float32)
    tensors[f"{prefix}/sigmas"] = sigmas_of(scheduler)
    tensors[f"{prefix}/init_noise_sigma"] = torch.tensor(float(scheduler.init_noise_sigma))


def kind_of(name):
    """The row of the table of bounds that a tensor belongs to."""
    if name.startswith("steps/") and name.endswith("/latents"):
        return None  # the same as the step before's latents_next
    last = name.rsplit("/", 1)[-1]
    if "/attention/" in name or "/heads/" in name or "/uncond/" in name:
        return "attention probabilities"
    if last.startswith("noise_"):
        return "noise predictions"
    return {"latents": "final latents", "latents_next": "latents of a step", "x0": "x0 of a step"}.get(last)


def noise_floor(pipe, tap, results):
    """PyTorch against PyTorch: the same cases with an explicit softmax instead of the fused attention.

    Returns the maxima of each kind, and the noise predictions that are further apart than a third of their bound.
    """
    floor, ill_conditioned = text_floor(pipe), {}
    tap.use(AttnProcessor())
    for case, (kept, image) in zip(CASES, results, strict=True):
        other, other_image = generate(pipe, tap, case)
        for name, tensor in kept.items():
            if kind := kind_of(name):
                distance = (tensor - other[name]).abs().max().item()
                if kind == "noise predictions" and distance > NOISE_BOUND / 3:
                    ill_conditioned[f"cases/{case.name}/{name}"] = distance
                    kind = "noise, ill-conditioned"
                floor[kind] = max(floor.get(kind, 0.0), distance)
        levels = np.abs(to_u8(image).astype(int) - to_u8(other_image)).max()
        floor["pixels"] = max(floor.get("pixels", 0), int(levels))
    tap.use(tap.plain)
    return floor, ill_conditioned


def text_floor(pipe):
    """The same for the text encoder."""
    maxima, layers = [], []
    for text in dict.fromkeys(text for case in CASES for text in (case.prompt, case.negative_prompt)):
        fused, explicit = {}, {}
        pipe.text_encoder.set_attn_implementation("eager")
        other = encode(pipe, text, explicit)
        pipe.text_encoder.set_attn_implementation("sdpa")
        maxima.append((encode(pipe, text, fused) - other).abs().max().item())
        # Values of the residual stream reach 70: distances are relative to those above 1.
        for name, one in fused.items():
            layers.append(((one - explicit[name]).abs() / one.abs().clamp(min=1)).max().item())
    return {"prompt embedding": max(maxima), "every layer": max(layers)}


def to_u8(image):
    """As `VaeImageProcessor.numpy_to_pil` rounds."""
    return (image * 255).round().astype("uint8")


def compact(document):
    """JSON with a line for each entry of the second level."""
    lines = []
    for key, value in document.items():
        if isinstance(value, dict):
            entries = [f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items()]
        elif isinstance(value, list) and isinstance(value[0], dict):
            entries = [f"  {json.dumps(v, ensure_ascii=False)}" for v in value]
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
            continue
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        lines.append(f" {json.dumps(key)}: {opening}\n" + ",\n".join(entries) + f"\n {closing}")
    return "{\n" + ",\n".join(lines) + "\n}"


def digest(checkpoint):
    """SHA-256 of each weights file, so that a test can tell stale goldens from a wrong engine."""
    return {
        str(path.relative_to(checkpoint)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(checkpoint.glob("*/*.safetensors"))
    }


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description="Make the goldens of tests/parity.rs with diffusers.")
    parser.add_argument("checkpoint", type=Path, help="a diffusers folder")
    parser.add_argument("out", type=Path, help="where the goldens go; what is there is replaced")
    options = parser.parse_args()

    torch.set_num_threads(1)  # the number of threads decides how sums are split
    torch.use_deterministic_algorithms(True)
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    diffusers.logging.set_verbosity_error()

    pipe = StableDiffusionPipeline.from_pretrained(options.checkpoint, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    tap = Tap(pipe.unet)

    tensors, texts = {}, []
    for case in CASES:
        texts += [text for text in (case.prompt, case.negative_prompt) if text not in texts]
    for index, text in enumerate(texts):
        tensors[f"texts/{index}/ids"] = tokenize(pipe, text)[0].to(torch.int32)
        tensors[f"texts/{index}/prompt_embedding"] = encode(pipe, text)[0].clone()
    layers = {}
    encode(pipe, ASTRONAUT, layers)
    for name, tensor in layers.items():
        tensors[f"layers/{name}"] = tensor.reshape(tensor.shape[-2:]).contiguous()
    make_schedules(pipe, tensors)

    results, images = [], {}
    for case in CASES:
        kept, image = generate(pipe, tap, case)
        check_against_pipeline(pipe, tap, case, image)
        results.append((kept, image))
        images[case.name] = to_u8(image)
        tensors |= {f"cases/{case.name}/{name}": tensor for name, tensor in kept.items()}
        print(f"  {case.name}: mean {image.mean():.3f}, std {image.std():.3f}")
    for index, patch in enumerate(PATCHES):
        with patched(pipe.unet, [patch]):
            tensors[f"patches/{index}"] = first_step(pipe, CASES[0]).clone()
    floor, ill_conditioned = noise_floor(pipe, tap, results)
    wanted = {name.rsplit("/", 1)[0] for name in ill_conditioned}
    for name in [name for name in tensors if "/steps/" in name and name.endswith("/latents")]:
        if name.removesuffix("/latents") not in wanted:
            del tensors[name]
    for kind, value in (floor | ill_conditioned).items():
        print(f"  PyTorch against itself, {kind}: {value:.3g}")

    document = {
        "made_by": "tests/parity/make_goldens.py",
        "versions": {m.__name__: m.__version__ for m in (torch, diffusers, transformers)},
        "weights_sha256": digest(options.checkpoint),
        "layers_of": ASTRONAUT,
        "attention_positions": POSITIONS,
        "noise_floor": floor,
        "ill_conditioned": ill_conditioned,
        "modules_of": CASES[0].name,
        "modules": module_outputs(pipe, CASES[0]),
        "patches": PATCHES,
        "texts": texts,
        "lengths": [len(pipe.tokenizer(text).input_ids) for text in texts],
        "cases": [asdict(case) for case in CASES],
    }
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    (options.out / "goldens.json").write_text(compact(document) + "\n")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, options.out / "goldens.safetensors")
    (options.out / "goldens.safetensors").chmod(0o644)
    for name, image in images.items():
        Image.fromarray(image).save(options.out / f"{name}.png", optimize=True)
    size = sum(path.stat().st_size for path in options.out.iterdir())
    print(f"{options.out}: {len(CASES)} cases, {len(tensors)} tensors, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
