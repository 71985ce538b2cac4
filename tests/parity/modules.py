"""What passes inside of the networks: diffusers' and transformers' own values, in f64, for `tests/library/probe.rs`.

    python tests/parity/modules.py lessons/little-world/checkpoint tests/parity/goldens/modules.json

Forward hooks keep the outputs of modules of every kind, and pre-hooks what goes into some: of the text encoder, of the
first step of a guided run (the half with the prompt), and of the decoder. A few dozen values a site are written down, evenly
spaced among all of them, from a pass in f64; beside them how far the same pass in f32 is from it, in all values: the root
mean square of the distances and the largest one. That is the bound for ours.

Principal components are written down, too: numpy's `eigh` of the covariance of one site's features, in f64, along which
the features of that site lie.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

PROMPT, SEED, STEPS = "a red apple on a table", 42, 5
SAMPLES = 40
RESNETS = ["down_blocks.0.resnets.0", "down_blocks.1.resnets.0", "up_blocks.1.resnets.0"]
TRANSFORMER = "mid_block.attentions.0"
LAYER = "text_model.encoder.layers.1"


def keep(into, name):
    def hook(_module, _inputs, output):
        output = output[0] if isinstance(output, tuple) else output
        into[name] = getattr(output, "sample", output).detach()

    return hook


def keep_input(into, name):
    def hook(_module, inputs):
        into[name] = inputs[0].detach()

    return hook


def watch(network, names, inputs, prefix=""):
    """Keeps the outputs of the modules `names`, and what goes into the modules `inputs`, under the names given there."""
    kept = {}
    modules = dict(network.named_modules())
    handles = [modules[name].register_forward_hook(keep(kept, prefix + name)) for name in names]
    handles += [modules[name].register_forward_pre_hook(keep_input(kept, prefix + site)) for site, name in inputs.items()]
    return kept, handles


def of_text(pipe):
    # Whichever way this version of transformers names them.
    encoder = pipe.text_encoder
    modules = dict(encoder.named_modules())
    root = "text_model." if any(name.startswith("text_model.") for name in modules) else ""
    layer = root + LAYER.removeprefix("text_model.")
    parts = ["layer_norm1", "self_attn", "layer_norm2", "mlp.fc1", "mlp.activation_fn", "mlp"]
    kept, handles = watch(encoder, [layer] + [f"{layer}.{part}" for part in parts], {f"{layer}.self_attn.sum": f"{layer}.layer_norm2", f"{layer}.input": f"{layer}.layer_norm1"})
    ids = pipe.tokenizer(PROMPT, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    embedding = encoder(ids)[0]
    negative = encoder(pipe.tokenizer("", padding="max_length", max_length=77, return_tensors="pt").input_ids)[0]
    # The second pass has overwritten what the first one left: once more for the prompt.
    encoder(ids)
    for handle in handles:
        handle.remove()
    named = {LAYER + name[len(layer):]: value[0] for name, value in kept.items()}
    return named, torch.cat([negative, embedding])


def of_unet(pipe, both, dtype):
    unet = pipe.unet
    names, inputs = ["conv_in", "conv_out", "down_blocks.0.downsamplers.0", "up_blocks.0.upsamplers.0"], {}
    for resnet in RESNETS:
        parts = ["norm1", "conv1", "time_emb_proj", "norm2", "conv2"]
        names += [resnet] + [f"{resnet}.{part}" for part in parts]
        inputs |= {f"{resnet}.input": f"{resnet}.norm1", f"{resnet}.norm1.silu": f"{resnet}.conv1"}
        inputs |= {f"{resnet}.conv1.sum": f"{resnet}.norm2", f"{resnet}.norm2.silu": f"{resnet}.conv2"}
        if getattr(unet.get_submodule(resnet), "conv_shortcut", None) is not None:
            names.append(f"{resnet}.conv_shortcut")
    block = f"{TRANSFORMER}.transformer_blocks.0"
    parts = ["norm1", "attn1", "norm2", "attn2", "norm3", "ff.net.0", "ff"]
    names += [TRANSFORMER] + [f"{TRANSFORMER}.{part}" for part in ["norm", "proj_in", "proj_out"]]
    names += [block] + [f"{block}.{part}" for part in parts]
    inputs |= {f"{TRANSFORMER}.input": f"{TRANSFORMER}.norm", f"{block}.input": f"{block}.norm1"}
    inputs |= {f"{block}.attn1.sum": f"{block}.norm2", f"{block}.attn2.sum": f"{block}.norm3"}
    kept, handles = watch(unet, names, inputs)
    scheduler = pipe.scheduler
    scheduler.set_timesteps(STEPS)
    noise = torch.randn((1, 4, 16, 16), generator=torch.Generator("cpu").manual_seed(SEED))
    latents = scheduler.scale_model_input(noise * scheduler.init_noise_sigma, scheduler.timesteps[0]).float().to(dtype)
    unet(torch.cat([latents, latents]), scheduler.timesteps[0], encoder_hidden_states=both)
    for handle in handles:
        handle.remove()
    # The name that the value has here: what is added to, whichever way it came about.
    renamed = {}
    for name, value in kept.items():
        # The sample with the prompt; the time has one for both.
        renamed[name.replace(".conv_shortcut", ".shortcut")] = value[-1]
    renamed[f"{block}.ff.sum"] = renamed.pop(block)
    return renamed, noise


def of_decoder(pipe, noise, dtype):
    vae = pipe.vae
    names = ["decoder.conv_in", "decoder.mid_block.resnets.0", "decoder.mid_block.attentions.0", "decoder.conv_norm_out"]
    names += ["decoder.up_blocks.0.upsamplers.0", "decoder.up_blocks.2.resnets.0", "decoder.conv_out"]
    kept, handles = watch(vae, names, {})
    vae.decode(noise.to(dtype) / vae.config.scaling_factor)
    for handle in handles:
        handle.remove()
    return {name: value[0] for name, value in kept.items()}


def everything(pipe, dtype):
    with torch.no_grad():
        text, both = of_text(pipe)
        unet, noise = of_unet(pipe, both, dtype)
        return text, unet, of_decoder(pipe, noise, dtype)


def site(truth, single):
    truth, single = truth.double().numpy(), single.double().numpy()
    apart = np.abs(truth - single)
    values = truth.reshape(-1)
    at = np.linspace(0, values.size - 1, min(SAMPLES, values.size)).astype(int)
    return {
        "shape": list(truth.shape),
        "at": at.tolist(),
        "values": [float(f"{value:.9g}") for value in values[at]],
        "rms": float(f"{np.sqrt((apart**2).mean()):.4g}"),
        "largest": float(f"{apart.max():.4g}"),
    }


def components(value):
    """Of `(channels, height, width)`: where each place lies along the first three, in standard deviations."""
    features = value.double().numpy().reshape(value.shape[0], -1)
    features = features - features.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(features @ features.T / features.shape[1])
    shares, along = values[::-1][:3] / values.sum(), []
    for index in range(3):
        vector = vectors[:, -1 - index]
        vector = vector * np.sign(vector[np.abs(vector).argmax()])
        along.append((vector @ features / np.sqrt(values[::-1][index])).round(9).tolist())
    return {"shares": shares.round(12).tolist(), "along": along}


def main():
    checkpoint, out = sys.argv[1:]

    def load():
        return StableDiffusionPipeline.from_pretrained(checkpoint, torch_dtype=torch.float32, safety_checker=None)

    single, double = everything(load(), torch.float32), everything(load().to(torch.float64), torch.float64)
    networks = {}
    for name, one, two in zip(["text_encoder", "unet", "vae"], single, double):
        networks[name] = {path: site(two[path], one[path]) for path in sorted(two)}
    # Of values in f32, so that both are given the same.
    given = single[1]["mid_block.attentions.0"]
    document = {
        "prompt": PROMPT,
        "seed": SEED,
        "steps": STEPS,
        "scheduler": "default",
        "networks": networks,
        "components": {"shape": list(given.shape), "given": [float(f"{x:.9g}") for x in given.reshape(-1)], **components(given)},
    }
    Path(out).write_text(json.dumps(document, separators=(",", ":")) + "\n")
    print(len(networks["unet"]), "sites of the UNet;", Path(out).stat().st_size, "bytes")


if __name__ == "__main__":
    main()
