"""Stage 3: encode the pictures once.

Reads WORK/pictures.npy and WORK/autoencoder, writes WORK/latents.npy: what the UNet is trained on, scaled to unit
variance (n x 4 x 16 x 16, f16).

    python encode.py
"""

import argparse

import numpy as np
import torch
from diffusers import AutoencoderKL

import common


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    common.add_device_options(parser)
    parser.add_argument("--count", type=int, help="encode only the first so many pictures")
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    work, device = common.prepare(options)
    vae = AutoencoderKL.from_pretrained(work / "autoencoder").eval().to(device, memory_format=torch.channels_last)
    pictures = common.load_pictures(work)[: options.count]
    latents = np.zeros((len(pictures), 4, 16, 16), np.float16)
    progress = common.Progress(len(pictures), every=100 * options.batch)
    for i in range(0, len(pictures), options.batch):
        part = vae.encode(common.to_tensor(pictures[i : i + options.batch], device)).latent_dist.mean
        latents[i : i + options.batch] = (part * common.SCALING_FACTOR).cpu().numpy()
        progress.step(min(i + options.batch, len(pictures)))
    with common.replacing(work / "latents.npy") as partial, open(partial, "wb") as file:
        np.save(file, latents)


if __name__ == "__main__":
    main()
