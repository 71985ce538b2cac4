"""Stage 6: the checkpoint, a folder that StableDiffusionPipeline.from_pretrained opens.

Reads WORK/autoencoder, WORK/text_encoder, WORK/unet and WORK/pictures.npy. Weights are stored as f16; each
matrix is rounded to multiples of a power of two, 2**-BITS of its root mean square, so that the folder compresses well.
diffuscope.json tells the program which guidance and sampler suit the model and how to preview latents without the autoencoder.
Everything is built in WORK/export; then each file is renamed into place.

    python export.py --out ../checkpoint --guidance 3
"""

import argparse
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

import common


def rounded(tensor, bits):
    """Multiples of a power of two near 2**-bits of the root mean square of the values that are not zero."""
    step = 2.0 ** round(float(tensor[tensor != 0].pow(2).mean().sqrt().log2()) - bits)
    return (tensor / step).round() * step


def round_weights(folder, bits):
    """Rounds matrices and kernels; biases and normalisations are few, and stay as they are."""
    for path in sorted(folder.glob("*/*.safetensors")):
        tensors = {
            name: (rounded(tensor.float(), bits) if tensor.ndim > 1 else tensor).half().contiguous()
            for name, tensor in load_file(path).items()
        }
        save_file(tensors, path, metadata={"format": "pt"})


def clean_configs(folder):
    """Takes out of the configurations where the weights lay on the machine that trained them."""
    for path in folder.glob("**/*.json"):
        if path.parent.name != "tokenizer":
            config = json.loads(path.read_text())
            config.pop("_name_or_path", None)
            path.write_text(json.dumps(config, indent=2) + "\n")


@torch.no_grad()
def preview_map(vae, pictures):
    """The linear map from a latent's 4 channels, scaled as the UNet sees them, to RGB from 0 to 1: least squares."""
    latents, colours = [], []
    for i in range(0, len(pictures), 50):
        x = common.to_tensor(pictures[i : i + 50])
        latents.append((vae.encode(x).latent_dist.mean * common.SCALING_FACTOR).permute(0, 2, 3, 1).reshape(-1, 4))
        colours.append(F.avg_pool2d((x + 1) / 2, 8).permute(0, 2, 3, 1).reshape(-1, 3))
    z, rgb = torch.cat(latents).double().numpy(), torch.cat(colours).double().numpy()
    z = np.concatenate([z, np.ones((len(z), 1))], 1)
    solution, *_ = np.linalg.lstsq(z, rgb, rcond=None)
    error = np.sqrt(((z @ solution - rgb) ** 2).mean())
    print(f"preview map: root mean square error {error:.3f} of 1")
    return {"weight": solution[:4].round(5).tolist(), "bias": solution[4].round(5).tolist()}


def compressed_size(folder, archive):
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname="checkpoint")
    return archive.stat().st_size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    default = Path(__file__).parent.parent / "checkpoint"
    parser.add_argument("--out", default=str(default), help="the checkpoint's folder (default: beside the recipe)")
    parser.add_argument("--bits", type=int, default=6, help="bits kept below a matrix's root mean square (default 6)")
    parser.add_argument("--guidance", type=float, required=True, help="the guidance that suits the model")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: PyTorch's own choice)")
    options = parser.parse_args()
    options.device = "cpu"
    work, _ = common.prepare(options)
    built, out = work / "export", Path(options.out)
    shutil.rmtree(built, ignore_errors=True)
    vae = AutoencoderKL.from_pretrained(work / "autoencoder").eval()
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel.from_pretrained(work / "text_encoder"),
        tokenizer=common.load_tokenizer(work),
        unet=UNet2DConditionModel.from_pretrained(work / "unet"),
        scheduler=PNDMScheduler.from_config(common.SCHEDULER_CONFIG),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    preview = preview_map(vae, common.load_pictures(work)[:400])
    pipeline.to(torch.float16).save_pretrained(built)
    round_weights(built, options.bits)
    clean_configs(built)
    shutil.rmtree(built / "tokenizer")
    common.write_tokenizer(built / "tokenizer")
    scheduler = json.dumps(common.SCHEDULER_CONFIG, indent=2)
    (built / "scheduler" / "scheduler_config.json").write_text(scheduler)
    ours = {"default_guidance": options.guidance, "default_scheduler": "lms", "latent_rgb": preview}
    (built / "diffuscope.json").write_text(json.dumps(ours, indent=2) + "\n")
    files = sorted(path.relative_to(built) for path in built.glob("**/*") if path.is_file())
    for file in files:
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        with common.replacing(out / file) as partial:
            shutil.copyfile(built / file, partial)
    size = sum((built / file).stat().st_size for file in files)
    packed = compressed_size(built, work / "checkpoint.tar.gz")
    print(f"{len(files)} files, {size / 1e6:.2f} MB, compressed {packed / 1e6:.2f} MB: {out}")


if __name__ == "__main__":
    main()
