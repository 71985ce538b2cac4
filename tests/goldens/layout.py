"""Writes layout.json: the tensors that diffusers' and transformers' networks have, for several configurations.

    python tests/goldens/layout.py

Needs diffusers (0.42.1 was used) and transformers (5.23.0). Nothing is downloaded, and no weights are made.
"""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

HERE = Path(__file__).resolve().parent

ENCODER, DECODER = "DownEncoderBlock2D", "UpDecoderBlock2D"
CROSS_DOWN, DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, UP = "CrossAttnUpBlock2D", "UpBlock2D"

# Small, but with the structure of what they are named after.
CONFIGURATIONS = {
    "Stable Diffusion v1": {
        "text_encoder": dict(
            vocab_size=64, hidden_size=24, intermediate_size=96, num_attention_heads=3, num_hidden_layers=2
        ),
        "unet": dict(
            sample_size=16, block_out_channels=[8, 16, 32, 32], norm_num_groups=8, cross_attention_dim=24
        ),
        "vae": dict(
            block_out_channels=[4, 8, 16, 16],
            down_block_types=[ENCODER] * 4,
            up_block_types=[DECODER] * 4,
            layers_per_block=2,
            norm_num_groups=4,
            sample_size=128,
        ),
    },
    "Stable Diffusion v2": {
        "text_encoder": dict(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=128,
            num_attention_heads=4,
            num_hidden_layers=1,
            hidden_act="gelu",
        ),
        "unet": dict(
            sample_size=16,
            block_out_channels=[20, 40, 80, 80],
            norm_num_groups=20,
            cross_attention_dim=32,
            attention_head_dim=[5, 10, 20, 20],
            use_linear_projection=True,
        ),
        "vae": dict(
            block_out_channels=[4, 8],
            down_block_types=[ENCODER] * 2,
            up_block_types=[DECODER] * 2,
            norm_num_groups=4,
            sample_size=32,
        ),
    },
    "an unusual one": {
        "text_encoder": dict(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=20,
            num_attention_heads=2,
            num_hidden_layers=3,
            max_position_embeddings=20,
        ),
        "unet": dict(
            sample_size=32,
            block_out_channels=[16, 8, 32, 24],
            down_block_types=[DOWN, CROSS_DOWN, DOWN, CROSS_DOWN],
            up_block_types=[UP, CROSS_UP, CROSS_UP, UP],
            layers_per_block=3,
            norm_num_groups=4,
            cross_attention_dim=16,
            attention_head_dim=4,
        ),
        "vae": dict(
            block_out_channels=[8, 24, 16],
            down_block_types=[ENCODER] * 3,
            up_block_types=[DECODER] * 3,
            layers_per_block=3,
            norm_num_groups=8,
            sample_size=128,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ),
    },
}


def tensors(network: torch.nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in network.state_dict().items()}


def main() -> None:
    document = []
    for title, configurations in CONFIGURATIONS.items():
        with torch.device("meta"):
            networks = {
                "text_encoder": CLIPTextModel(CLIPTextConfig(**configurations["text_encoder"])),
                "unet": UNet2DConditionModel(**configurations["unet"]),
                "vae": AutoencoderKL(**configurations["vae"]),
            }
        parts = {
            part: {"config": configurations[part], "tensors": tensors(network)} for part, network in networks.items()
        }
        document.append({"title": title, "parts": parts})
    (HERE / "layout.json").write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
