"""Parity at the size of Stable Diffusion v1, measured by hand: a random checkpoint of its very structure, and one step.

    python tests/parity/sd_v1_sized.py make FOLDER            an 860 million parameter UNet and the rest, f16: 2.1 GB
    python tests/parity/sd_v1_sized.py reference FOLDER       one step of 512x512 with diffusers, f32
    cargo build --release
    target/release/diffuscope run -p "a photograph of an astronaut riding a horse" --model FOLDER --device cpu \\
        --steps 1 --scheduler ddim --json FOLDER/export --png FOLDER/ours.png
    python tests/parity/sd_v1_sized.py compare FOLDER FOLDER/export

The weights are random, so the pictures mean nothing; but every layer, shape, activation and name is that of SD v1, and
values stay of the order of 1 as in a trained network: layers keep the variance of what they are given, and
what is added to a residual stream is small.
The tokenizer is that of the embedded model, which has CLIP's own vocabulary. Needs about 10 GB of memory.
"""

import argparse
import json
import math
import shutil
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file

PROMPT = "a photograph of an astronaut riding a horse"
SEED, GUIDANCE = 42, 7.5
TOKENIZER = Path(__file__).parents[2] / "lessons/little-world/checkpoint/tokenizer"
# What is compared, with its bound.
BOUNDS = {
    "prompt_embedding": 1e-5,
    "negative_prompt_embedding": 1e-5,
    "initial_noise": 0.0,
    "noise_uncond": 1e-4,
    "noise_text": 1e-4,
    "latents_next": 1e-3,
    "attention": 1e-5,
}


def initialise(module, seed):
    """Random weights that neither blow values up nor let them vanish."""
    generator = torch.Generator().manual_seed(seed)
    for path, parameter in module.named_parameters():
        if parameter.ndim == 1:
            value = torch.ones_like(parameter) if "norm" in path and path.endswith("weight") else None
            noise = torch.randn(parameter.shape, generator=generator) * 0.02
            parameter.copy_(noise if value is None else value + noise)
            continue
        inputs = parameter[0].numel() if "embedding" not in path else parameter.shape[1]
        gain = 1.0 / math.sqrt(inputs)
        # The last layer of every residual branch.
        if path.endswith(("conv2.weight", "to_out.0.weight", "net.2.weight", "proj_out.weight", "fc2.weight", "out_proj.weight")):
            gain *= 0.3
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * gain)


def make(folder):
    """The three networks by SD v1's configurations, saved as f16."""
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    print(f"UNet: {sum(p.numel() for p in unet.parameters()) / 1e6:.0f} million parameters")
    initialise(unet, 1)
    unet.half().save_pretrained(folder / "unet")
    del unet
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=49408,
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            hidden_act="quick_gelu",
            max_position_embeddings=77,
            projection_dim=768,
            bos_token_id=49406,
            eos_token_id=49407,
        )
    )
    initialise(text, 2)
    text.half().save_pretrained(folder / "text_encoder")
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[128, 256, 512, 512],
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
        scaling_factor=0.18215,
    )
    initialise(vae, 3)
    vae.half().save_pretrained(folder / "vae")
    PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    ).save_pretrained(folder / "scheduler")
    shutil.copytree(TOKENIZER, folder / "tokenizer", dirs_exist_ok=True)
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "PNDMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    # Last: who waits for the checkpoint waits for this file.
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def reference(folder):
    """One step with diffusers; what it gives goes to FOLDER/reference.safetensors and FOLDER/reference.png."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(1)
    kept, maps = {}, {}

    def encode(text):
        return pipe.encode_prompt(text, "cpu", 1, False)[0]

    prompt, negative = encode(PROMPT), encode("")
    kept["prompt_embedding"], kept["negative_prompt_embedding"] = prompt[0], negative[0]
    noise = torch.randn((1, 4, 64, 64), generator=torch.Generator("cpu").manual_seed(SEED))
    kept["initial_noise"] = noise[0]

    def watch(path, attention):
        """The head-averaged probabilities of the prompt's half, (77, height, width), of one layer."""

        def hook(_module, inputs, options):
            hidden = inputs[0][1:]
            query = attention.head_to_batch_dim(attention.to_q(hidden))
            key = attention.head_to_batch_dim(attention.to_k(options["encoder_hidden_states"][1:]))
            probs = attention.get_attention_scores(query, key).mean(0).T
            size = math.isqrt(probs.shape[1])
            maps[f"attention/{path}"] = probs.reshape(77, size, size).clone().contiguous()

        return attention.register_forward_pre_hook(hook, with_kwargs=True)

    handles = [watch(path, module) for path, module in pipe.unet.named_modules() if path.endswith("attn2")]
    timestep = scheduler.timesteps[0]
    latents = noise * scheduler.init_noise_sigma
    output = pipe.unet(torch.cat([latents] * 2), timestep, encoder_hidden_states=torch.cat([negative, prompt]))[0]
    for handle in handles:
        handle.remove()
    kept["noise_uncond"], kept["noise_text"] = output[0], output[1]
    guided = output[:1] + GUIDANCE * (output[1:] - output[:1])
    latents = scheduler.step(guided, timestep, latents).prev_sample
    kept["latents_next"] = latents[0]
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor)[0]
    pipe.image_processor.postprocess(decoded, output_type="pil")[0].save(folder / "reference.png")
    kept |= maps
    for name, tensor in kept.items():
        if not name.startswith("attention/"):
            print(f"  {name}: mean {tensor.mean():.3g}, std {tensor.std():.3g}, largest {tensor.abs().max():.3g}")
        if not tensor.isfinite().all():
            raise SystemExit(f"{name} is not finite: the initialisation is wrong")
    save_file({name: tensor.contiguous() for name, tensor in kept.items()}, folder / "reference.safetensors")


def compare(folder, export):
    """The largest distances between the reference and an exported run."""
    run = json.loads((export / "run.json").read_text())
    entries = run["tensors"] | run["steps"][0]["tensors"]
    expected, maxima = load_file(folder / "reference.safetensors"), {}
    for name, theirs in expected.items():
        document = json.loads((export / entries[name]["file"]).read_text())
        ours = torch.tensor(document["data"], dtype=torch.float32).reshape(document["shape"])
        if ours.shape != theirs.shape:
            raise SystemExit(f"{name}: shape {tuple(ours.shape)}, not {tuple(theirs.shape)}")
        kind = name.split("/")[0]
        maxima[kind] = max(maxima.get(kind, 0.0), (ours - theirs).abs().max().item())
    print("| values | bound | largest |\n|---|---|---|")
    for kind, largest in maxima.items():
        print(f"| {kind} | {BOUNDS[kind]:g} | {largest:.1e} |{' beyond the bound' * (largest > BOUNDS[kind])}")
    pictures = [np.asarray(Image.open(path), dtype=int) for path in (folder / "reference.png", folder / "ours.png")]
    distance = np.abs(pictures[0] - pictures[1])
    print(f"| pixels | 1 of 255 | {distance.max()} |  ({(distance > 0).mean():.3%} differ)")


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description="Parity at the size of Stable Diffusion v1.")
    parser.add_argument("what", choices=["make", "reference", "compare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("export", type=Path, nargs="?", help="what `diffuscope run --json` wrote (compare)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    diffusers.logging.set_verbosity_error()
    if options.what == "make":
        options.folder.mkdir(parents=True, exist_ok=True)
        make(options.folder)
    elif options.what == "reference":
        reference(options.folder)
    elif options.export is None:
        parser.error("compare needs the export's folder")
    else:
        compare(options.folder, options.export)


if __name__ == "__main__":
    main()
