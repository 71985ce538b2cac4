"""Writes a checkpoint in diffusers' layout as a single file with the original (LDM) names, and has diffusers read it.

    python tests/parity/single_file.py convert FOLDER FILE.safetensors
    python tests/parity/single_file.py names tests/goldens/single_file.json

diffusers' own converter must find in the file exactly the tensors of the folder, or nothing is written. `names` does this
for the embedded model and for a narrow model of Stable Diffusion v1's structure, and writes down both names of every
tensor with its shape in the file. After `convert`

    diffuscope run -p "a cat" --model FILE.safetensors --guidance 3 --png one.png
    diffuscope run -p "a cat" --model FOLDER --guidance 3 --png two.png

must draw the same picture. Nothing is downloaded.
"""

import argparse
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: E402
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel  # noqa: E402

EMBEDDED = Path(__file__).parents[2] / "lessons/little-world/checkpoint"
PARTS = ["text_encoder", "unet", "vae"]

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_name(name: str, layers: int, has_attention) -> str:
    per_level = layers + 1
    fixed = {
        "conv_in": "input_blocks.0.0",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }
    for ours, original in fixed.items():
        if name.startswith(ours + "."):
            name = original + name[len(ours) :]
    if match := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name):
        way, level, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
        index = level * per_level + layer + (way == "down")
        blocks = "input_blocks" if way == "down" else "output_blocks"
        if kind == "downsamplers":
            name = f"input_blocks.{(level + 1) * per_level}.0.{rest.replace('conv', 'op')}"
        elif kind == "upsamplers":
            place = 2 if has_attention(level) else 1
            name = f"output_blocks.{level * per_level + layers}.{place}.{rest}"
        else:
            name = f"{blocks}.{index}.{int(kind == 'attentions')}.{rest}"
    for ours, original in RESNET.items():
        name = re.sub(rf"((?:put_blocks\.\d+\.0|middle_block\.[02]))\.{ours}\.", rf"\1.{original}.", name)
    return "model.diffusion_model." + name


def vae_name(name: str, levels: int) -> str:
    name = re.sub(r"^(encoder|decoder)\.conv_norm_out\.", r"\1.norm_out.", name)
    name = re.sub(r"\.mid_block\.resnets\.(\d)\.", lambda m: f".mid.block_{int(m[1]) + 1}.", name)
    for ours, original in VAE_ATTENTION.items():
        name = name.replace(f".mid_block.attentions.0.{ours}.", f".mid.attn_1.{original}.")
    name = re.sub(r"^encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.", r"encoder.down.\1.block.\2.", name)
    name = re.sub(r"^encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample.", name)
    turned = lambda level: levels - 1 - int(level)  # noqa: E731
    name = re.sub(
        r"^decoder\.up_blocks\.(\d+)\.resnets\.(\d+)\.", lambda m: f"decoder.up.{turned(m[1])}.block.{m[2]}.", name
    )
    name = re.sub(r"^decoder\.up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f"decoder.up.{turned(m[1])}.upsample.", name)
    return "first_stage_model." + name.replace("conv_shortcut", "nin_shortcut")


def original(folder: Path, unet_config, vae_config) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, tensor in load_file(folder / "text_encoder/model.safetensors").items():
        name = "text_model." + name.removeprefix("text_model.")
        tensors["cond_stage_model.transformer." + name] = tensor
    levels = unet_config["up_block_types"]
    for name, tensor in load_file(folder / "unet/diffusion_pytorch_model.safetensors").items():
        name = unet_name(name, unet_config["layers_per_block"], lambda level: "CrossAttn" in levels[level])
        tensors[name] = tensor
    for name, tensor in load_file(folder / "vae/diffusion_pytorch_model.safetensors").items():
        if ".attentions." in name and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]
        tensors[vae_name(name, len(vae_config["block_out_channels"]))] = tensor
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def convert(folder: Path, file: Path) -> dict[str, torch.Tensor]:
    """Writes the single file and makes sure that diffusers reads from it what is in the folder."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    tensors = original(folder, pipeline.unet.config, pipeline.vae.config)
    written = file.with_suffix(".new.safetensors")
    save_file(tensors, written)
    single = StableDiffusionPipeline.from_single_file(
        str(written), config=str(folder), torch_dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    for part in PARTS:
        expected, found = getattr(pipeline, part).state_dict(), getattr(single, part).state_dict()
        assert expected.keys() == found.keys(), (part, expected.keys() ^ found.keys())
        for name, tensor in expected.items():
            assert torch.equal(tensor, found[name]), (part, name)
        print(f"{part}: {len(expected)} tensors are equal")
    written.rename(file)
    return tensors


def make_narrow(folder: Path) -> None:
    """A random checkpoint of Stable Diffusion v1's structure, as narrow as its 32 groups and heads of 64 allow."""
    shutil.copytree(EMBEDDED, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    widths = [32, 64, 128, 128]
    unet = UNet2DConditionModel(sample_size=64, block_out_channels=widths, cross_attention_dim=64, attention_head_dim=8)
    vae = AutoencoderKL(
        block_out_channels=[32, 32, 64, 64],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2,
        sample_size=512,
    )
    text = CLIPTextConfig(hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=1)
    unet.half().save_pretrained(folder / "unet")
    vae.half().save_pretrained(folder / "vae")
    CLIPTextModel(text).half().save_pretrained(folder / "text_encoder")


def names(folder: Path, title: str, scratch: Path) -> dict:
    tensors = convert(folder, scratch / "single.safetensors")
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    unet, vae = pipeline.unet.config, pipeline.vae.config
    levels = unet["up_block_types"]
    own = {
        "text_encoder": lambda name: "cond_stage_model.transformer.text_model." + name.removeprefix("text_model."),
        "unet": lambda name: unet_name(name, unet["layers_per_block"], lambda level: "CrossAttn" in levels[level]),
        "vae": lambda name: vae_name(name, len(vae["block_out_channels"])),
    }
    parts = {}
    for part in PARTS:
        state = getattr(pipeline, part).state_dict()
        prefix = "text_model." if part == "text_encoder" else ""
        parts[part] = {
            prefix + name.removeprefix(prefix): [own[part](name), list(tensors[own[part](name)].shape)] for name in state
        }
    return {"title": title, "parts": parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("convert")
    command.add_argument("folder", type=Path)
    command.add_argument("file", type=Path)
    command = commands.add_parser("names")
    command.add_argument("file", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "convert":
        convert(arguments.folder, arguments.file)
        return
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        make_narrow(scratch / "narrow")
        document = [
            names(EMBEDDED, "Little World", scratch),
            names(scratch / "narrow", "Stable Diffusion v1, narrow", scratch),
        ]
    arguments.file.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
