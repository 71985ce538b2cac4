"""How far PyTorch's 16-bit networks are from its own f32: the measure for ours (tests/precision.rs).

    python tests/parity/sixteen_bits.py lessons/little-world/checkpoint

Prints the distance (root mean square of the differences over that of the f32 values) of the prompt's embedding and of
the first noise prediction of the prompt's half, for the same noise, in float16 and bfloat16 on the CPU; and the mean and
the largest difference, in levels of 255, of the picture that the autoencoder makes of that noise.
"""

import sys
from pathlib import Path

import torch
from diffusers import LMSDiscreteScheduler, StableDiffusionPipeline

sys.path.insert(0, str(Path(__file__).parent))
import make_goldens as goldens  # noqa: E402

# Of changes of modules the distance is printed, too (tests/library/patches.rs).
PATCHES = [
    {"module": "mid_block.attentions.0", "change": "off"},
    {"module": "down_blocks.0.attentions.0.transformer_blocks.0.attn1", "head": 2, "change": "off"},
    {"module": "up_blocks.1.resnets.0.skip", "change": {"scale": 0.5}},
    {"module": "time_embedding", "change": {"scale": 1.5}},
]
PROMPT = "a photograph of an astronaut riding a horse"


def first_step(folder, dtype):
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=dtype, safety_checker=None)
    ids = pipeline.tokenizer(PROMPT, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        text = pipeline.text_encoder(ids)[0]
        scheduler = LMSDiscreteScheduler.from_config(pipeline.scheduler.config)
        scheduler.set_timesteps(4)
        size = pipeline.unet.config.sample_size
        noise = torch.randn((1, 4, size, size), generator=torch.Generator().manual_seed(42))
        t = scheduler.timesteps[0]
        latents = scheduler.scale_model_input(noise * scheduler.init_noise_sigma, t)
        predicted = pipeline.unet(latents.to(dtype), t, text).sample
        changed = []
        for patch in PATCHES:
            with goldens.patched(pipeline.unet, [patch]):
                changed.append(pipeline.unet(latents.to(dtype), t, text).sample.double())
        decoded = pipeline.vae.decode((noise / pipeline.vae.config.scaling_factor).to(dtype)).sample
        picture = ((decoded.double() / 2 + 0.5).clamp(0, 1) * 255).round()
    return text.double(), predicted.double(), picture, changed


def distance(a, b):
    return float((a - b).norm() / b.norm())


def main():
    exact = first_step(sys.argv[1], torch.float32)
    for dtype in (torch.float16, torch.bfloat16):
        text, noise, picture, changed = first_step(sys.argv[1], dtype)
        apart = (picture - exact[2]).abs()
        print(
            f"{dtype}: prompt embedding {distance(text, exact[0]):.2e}, noise prediction {distance(noise, exact[1]):.2e}, "
            f"picture {apart.mean():.3f} on average, at most {apart.max():.0f}"
        )
        for patch, ours, wide in zip(PATCHES, changed, exact[3], strict=True):
            print(f"  {patch}: noise prediction {distance(ours, wide):.2e}")


if __name__ == "__main__":
    main()
