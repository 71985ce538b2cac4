"""Make the goldens of queries, keys, values, heads and self-attention: what diffusers computes, in f64 on the CPU.

    python tests/parity/attention.py lessons/little-world/checkpoint tests/parity/goldens/attention.json

Forward hooks on `to_q`, `to_k` and `to_v` of three transformer blocks keep what passes in the first step of one of the
goldens' cases, in both halves of guidance; the rest is worked out from that in f64, with numpy:

- the row of cross-attention of a place, for every head, and the row of self-attention;
- of every head: the mean share of each text position over all places, and the mean entropy of a place's row in bits;
- the principal components of the rows of self-attention: shares of the variance, and the places' coordinates.

The input is the same for everybody: the initial noise, drawn in f32. The networks run in f64; `floor` says how far PyTorch
in f32 is from that, by kind of value, as the largest distance: nobody has to be nearer.
"""

import argparse
import json
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import StableDiffusionPipeline

import make_goldens as goldens

BLOCKS = [
    "down_blocks.0.attentions.0.transformer_blocks.0",
    "mid_block.attentions.0.transformer_blocks.0",
    "up_blocks.2.attentions.1.transformer_blocks.0",
]
# Layers of 16x16, whose self-attention is averaged where no layer is chosen.
TOGETHER = [
    "down_blocks.0.attentions.0.transformer_blocks.0",
    "up_blocks.2.attentions.0.transformer_blocks.0",
    "up_blocks.2.attentions.1.transformer_blocks.0",
]
HALVES = {"uncond": 0, "prompt": 1}
CASE = "two-objects-euler"
TOKEN = 3  # apple
PLACE = (0.41, 0.55)  # across, down


def projections(pipe, case):
    """Outputs of all `to_q`, `to_k` and `to_v` in the first step, `(2, length, channels)`, by path."""
    modules = {p: m for p, m in pipe.unet.named_modules() if p.rsplit(".", 1)[-1] in ("to_q", "to_k", "to_v")}
    with goldens.outputs_of(modules, {}) as outputs:
        first_step(pipe, case)
    return {path: value.double().numpy() for path, value in outputs.items()}


def first_step(pipe, case):
    """One pass of the UNet, in the type that it has, from noise that was drawn in f32."""
    scheduler = goldens.with_scheduler(pipe, case.scheduler)
    scheduler.set_timesteps(case.steps)
    noise = torch.randn(case.noise_shape(pipe.unet), generator=torch.manual_seed(case.seed))
    latents = scheduler.scale_model_input(noise * scheduler.init_noise_sigma, scheduler.timesteps[0])
    text = torch.cat([goldens.encode(pipe, case.negative_prompt), goldens.encode(pipe, case.prompt)])
    both = torch.cat([latents] * 2).to(pipe.unet.dtype)
    return pipe.unet(both, scheduler.timesteps[0], encoder_hidden_states=text.to(pipe.unet.dtype)).sample


def heads_of(x, heads):
    """`(length, channels)` to `(heads, length, size)`."""
    return x.reshape(x.shape[0], heads, -1).transpose(1, 0, 2)


def attention(query, key, heads):
    """`(heads, queries, keys)`."""
    query, key = heads_of(query, heads), heads_of(key, heads)
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(query.shape[-1])
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True)


def entropy(probs):
    """Of each head: bits, the mean over places."""
    logs = np.log2(probs, where=probs > 0, out=np.zeros_like(probs))
    return -(probs * logs).sum(-1).mean(-1)


def components(probs):
    """Of the rows of `(places, places)`: shares of the variance and coordinates, the largest of each positive."""
    centred = probs - probs.mean(0, keepdims=True)
    u, s, _ = np.linalg.svd(centred)
    scores = (u * s)[:, :3].T
    signs = np.sign(scores[np.arange(3), np.abs(scores).argmax(1)])
    return s[:3] ** 2 / (s**2).sum(), scores * signs[:, None]


def place_of(places):
    side = int(np.sqrt(places))
    return int(PLACE[1] * side) * side + int(PLACE[0] * side)


def measure(pipe, case):
    """All values, as arrays by name."""
    heads, found, values = pipe.unet.config.attention_head_dim, projections(pipe, case), {}

    def of(block, layer, item):
        return [found[f"{block}.{layer}.{name}"][item] for name in ("to_q", "to_k", "to_v")]

    for half, item in HALVES.items():
        for block in BLOCKS:
            query, key, value = of(block, "attn2", item)
            place = place_of(len(query))
            probs = attention(query, key, heads)
            name = f"{half}/{block}"
            values[f"{name}/query"] = query[place]
            values[f"{name}/key"] = key[TOKEN]
            values[f"{name}/value"] = value[TOKEN]
            values[f"{name}/row"] = probs[:, place]
            values[f"{name}/shares"] = probs.mean(1)
            values[f"{name}/entropy"] = entropy(probs)
            query, key, _ = of(block, "attn1", item)
            values[f"{name}/own_row"] = attention(query, key, heads)[:, place]
    maps = [attention(*of(block, "attn1", 1)[:2], heads) for block in TOGETHER]
    both = {"mean": np.mean([probs.mean(0) for probs in maps], 0), "head": maps[0][2]}
    for name, probs in both.items():
        values[f"{name}/explained"], values[f"{name}/components"] = components(probs)
    return values


def main():
    parser = argparse.ArgumentParser(description="Make the goldens of tests/library/attention.rs with diffusers.")
    parser.add_argument("checkpoint", type=Path, help="a diffusers folder")
    parser.add_argument("out", type=Path, help="the file; what is there is replaced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.set_grad_enabled(False)
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    diffusers.logging.set_verbosity_error()

    case = next(case for case in goldens.CASES if case.name == CASE)
    pipe = StableDiffusionPipeline.from_pretrained(options.checkpoint, dtype=torch.float32)
    single = measure(pipe, case)
    truth = measure(pipe.to(dtype=torch.float64), case)
    floor = {}
    for name, value in truth.items():
        kind = name.rsplit("/", 1)[-1]
        floor[kind] = max(floor.get(kind, 0.0), float(np.abs(value - single[name]).max()))
    document = {
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
        "case": case.name,
        "token": TOKEN,
        "place": PLACE,
        "together": TOGETHER,
        "floor": floor,
        "values": {name: [float(f"{x:.9g}") for x in value.ravel()] for name, value in truth.items()},
    }
    options.out.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    for kind, distance in floor.items():
        print(f"{kind}: PyTorch in f32 is {distance:.2e} from f64")


if __name__ == "__main__":
    main()
