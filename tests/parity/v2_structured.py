"""Writes ../goldens/v2.json: what diffusers computes with a miniature of Stable Diffusion v2's structure.

    python tests/parity/v2_structured.py tests/goldens/v2.json
    python tests/parity/v2_structured.py --deep tests/goldens/deep.json

What v2 does otherwise than v1: the text encoder is OpenCLIP's (GELU with the error function, `!` as padding, and the last
layer left out, as diffusers stores it), heads are given level by level, the transformers' projections are linear layers,
and the UNet predicts the velocity. The weights are a formula of each tensor's name (see `weight`), so that they need not
be stored. Nothing is downloaded.

With --deep it is what published models of that structure do not have and diffusers computes all the same: several
transformer blocks in a transformer, other numbers of them on the way up, and latents that are no square and cannot be
halved evenly.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from diffusers import (  # noqa: E402
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LMSDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer  # noqa: E402

EMBEDDED = Path(__file__).parents[2] / "lessons/little-world/checkpoint"
PROMPT, NEGATIVE, SEED, GUIDANCE, STEPS = "a castle in the snow", "a dog", 42, 5.0, 4

CONFIGS = {
    "text_encoder": dict(
        vocab_size=49408,
        hidden_size=16,
        intermediate_size=64,
        num_attention_heads=2,
        num_hidden_layers=3,
        hidden_act="gelu",
        model_type="clip_text_model",
    ),
    "unet": dict(
        sample_size=8,
        block_out_channels=[16, 32],
        down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=16,
        attention_head_dim=[2, 4],
        use_linear_projection=True,
    ),
    "vae": dict(
        block_out_channels=[4, 8, 8, 8],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        norm_num_groups=4,
        sample_size=64,
    ),
    "scheduler": dict(
        _class_name="DDIMScheduler",
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    ),
    "tokenizer": dict(pad_token="!", model_max_length=77),
}

DEEP = dict(
    sample_size=[9, 12],
    down_block_types=["CrossAttnDownBlock2D"] * 2,
    up_block_types=["CrossAttnUpBlock2D"] * 2,
    transformer_layers_per_block=[1, 3],
    reverse_transformer_layers_per_block=[1, 2],
)

# What --scheduler calls them.
SCHEDULERS = {
    "lms": (LMSDiscreteScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "ddim": (DDIMScheduler, {}),
    "dpm++-2m-karras": (DPMSolverMultistepScheduler, dict(use_karras_sigmas=True)),
}


def uniform(name: str, count: int) -> np.ndarray:
    """Numbers from -1 to 1 with 23 bits, by a hash of their place and of the tensor's name."""
    seed = np.uint32(2166136261)
    with np.errstate(over="ignore"):
        for byte in name.encode():  # FNV-1a
            seed = (seed ^ np.uint32(byte)) * np.uint32(16777619)
        x = np.arange(count, dtype=np.uint32) + seed
        for _ in range(2):
            x = (x ^ (x >> np.uint32(16))) * np.uint32(0x45D9F3B)
        x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)


def weight(name: str, shape: list[int]) -> torch.Tensor:
    values = uniform(name, int(np.prod(shape)))
    if len(shape) == 1:
        is_norm = "norm" in name and name.endswith("weight")
        values = np.float32(1.0) + values * np.float32(0.125) if is_norm else values * np.float32(0.0625)
    else:
        inputs, halvings = int(np.prod(shape[1:])), 0
        while 4**halvings < inputs:
            halvings += 1
        values = values * np.float32(2.0**-halvings)
    return torch.from_numpy(values).reshape(shape)


def numbers(tensor: torch.Tensor) -> list[float]:
    """The values, with as few digits as tell f32 values apart."""
    return [float(str(value)) for value in tensor.float().flatten().numpy()]


def fill(network: torch.nn.Module) -> dict[str, list[int]]:
    state = network.state_dict()
    shapes = {name.removeprefix("text_model."): list(tensor.shape) for name, tensor in state.items()}
    network.load_state_dict({name: weight(name.removeprefix("text_model."), list(state[name].shape)) for name in state})
    return shapes


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--deep", action="store_true")
    arguments = parser.parse_args()
    schedulers = SCHEDULERS
    if arguments.deep:
        CONFIGS["unet"] |= DEEP
        schedulers = {"ddim": SCHEDULERS["ddim"]}
    torch.set_num_threads(1)
    text = CLIPTextModel(CLIPTextConfig(**CONFIGS["text_encoder"])).eval()
    unet = UNet2DConditionModel(**CONFIGS["unet"]).eval()
    vae = AutoencoderKL(**CONFIGS["vae"]).eval()
    tensors = {"text_encoder": fill(text), "unet": fill(unet), "vae": fill(vae)}
    with tempfile.TemporaryDirectory() as folder:
        for name in ["vocab.json", "merges.txt"]:
            (Path(folder) / name).write_bytes((EMBEDDED / "tokenizer" / name).read_bytes())
        tokenizer = CLIPTokenizer.from_pretrained(folder, **CONFIGS["tokenizer"])
    pipe = StableDiffusionPipeline(
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        vae=vae,
        scheduler=DDIMScheduler.from_config(CONFIGS["scheduler"]),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    ids = tokenizer(PROMPT, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    document = {
        "configs": CONFIGS,
        "tensors": tensors,
        "some_weights": {
            "conv_in.weight": numbers(weight("conv_in.weight", tensors["unet"]["conv_in.weight"]))[:8],
            "conv_norm_out.weight": numbers(weight("conv_norm_out.weight", [16])),
        },
        "request": {
            "prompt": PROMPT, "negative": NEGATIVE, "seed": SEED, "guidance": GUIDANCE, "steps": STEPS,
        },
        "ids": ids[0].tolist(),
        "prompt_embedding": numbers(text(ids).last_hidden_state),
        "cases": [],
    }
    for name, (kind, options) in schedulers.items():
        pipe.scheduler = kind.from_config(DDIMScheduler.from_config(CONFIGS["scheduler"]).config, **options)
        steps, outputs = [], []
        forward = unet.forward

        def recorded(*args, **kwargs):
            result = forward(*args, **kwargs)
            outputs.append(result[0].clone())
            return result

        unet.forward = recorded

        def keep(_pipe, _index, _timestep, kept):
            steps.append(kept["latents"].clone())
            return kept

        image = pipe(
            PROMPT,
            negative_prompt=NEGATIVE,
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=torch.Generator("cpu").manual_seed(SEED),
            callback_on_step_end=keep,
            callback_on_step_end_tensor_inputs=["latents"],
        ).images[0]
        unet.forward = forward
        document["cases"].append(
            {
                "scheduler": name,
                "outputs_of_step_0": [numbers(half) for half in outputs[0]],
                "latents_after": [numbers(latents) for latents in (steps[0], steps[-1])],
                "image": np.asarray(image).flatten().tolist() if name == "ddim" else None,
            }
        )
        spread = np.asarray(image).reshape(-1, 3).std(axis=0)
        print(name, "latents", float(steps[-1].std()), "image", spread)
    arguments.file.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
