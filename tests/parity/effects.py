"""Make the goldens of what is left out of a prompt, of the text encoder's layers, and of the two charts of a run.

    python tests/parity/effects.py lessons/little-world/checkpoint tests/goldens

Writes `effects.json` and `effects.safetensors`, which tests/library/effects.rs compares the engine with. Each case is one
call of `StableDiffusionPipeline` whose `prompt_embeds` were changed as the case says, by transformers' own text encoder; the
embeddings are those of the text encoder in f64 (the truth), and how far PyTorch's own f32 is from them is written beside.
The charts are numpy's, in f64, of the first case's latents and predictions: principal components by a singular value
decomposition, and lengths and angles of the two predictions. Running it again gives the same bytes.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent))
import make_goldens as goldens  # noqa: E402

# `input` and `reads` are positions that are left out of the text encoder's input, and of what the UNet reads; `layers` is
# how many of the text encoder's layers the prompt passes.
CASES = [
    {"prompt": goldens.ASTRONAUT, "input": [8]},
    {"prompt": goldens.ASTRONAUT, "reads": [8]},
    {"prompt": goldens.TWO_OBJECTS, "input": [2, 3], "reads": [10], "negative_prompt": goldens.NEGATIVE},
    {"prompt": goldens.CHINESE, "reads": [1, 2, 3, 4, 5, 6]},
    {"prompt": goldens.ASTRONAUT, "layers": 0},
    {"prompt": goldens.ASTRONAUT, "layers": 1, "negative_prompt": goldens.NEGATIVE},
    {"prompt": goldens.ASTRONAUT, "layers": 2, "reads": [5], "input": [2]},
    {"prompt": goldens.ASTRONAUT, "layers": 3},
]
SEED, STEPS, GUIDANCE, SCHEDULER = 42, 4, 7.5, "euler"


def embed(pipe, case):
    """What the UNet gets for the prompt, `(1, 77, hidden)`."""
    encoder, tokenizer = pipe.text_encoder, pipe.tokenizer

    def states(ids):
        hidden = encoder(torch.tensor([ids]), output_hidden_states=True).hidden_states
        layers = case.get("layers", len(hidden) - 1)
        text_model = getattr(encoder, "text_model", encoder)
        return text_model.final_layer_norm(hidden[layers])

    ids = goldens.tokenize(pipe, case["prompt"])[0].tolist()
    pad = tokenizer.pad_token_id
    text = states([pad if at in case.get("input", []) else id for at, id in enumerate(ids)])
    clean = states([ids[0]] + [pad] * (len(ids) - 1))
    for position in case.get("reads", []):
        text[:, position] = clean[:, position]
    return text


def run(pipe, case):
    """One call of the pipeline; its picture, its latents from the first on, and both predictions of every step."""
    latents, predictions = [], []

    def keep_predictions(_module, inputs, output):
        predictions.append(output[0] if isinstance(output, tuple) else output.sample)

    def keep_latents(_pipe, _index, _timestep, tensors):
        latents.append(tensors["latents"].clone())
        return {}

    pipe.scheduler = goldens.with_scheduler(pipe, SCHEDULER)
    handle = pipe.unet.register_forward_hook(keep_predictions)
    picture = pipe(
        prompt_embeds=embed(pipe, case),
        negative_prompt_embeds=goldens.encode(pipe, case.get("negative_prompt", "")),
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="np",
        callback_on_step_end=keep_latents,
    ).images[0]
    handle.remove()
    size = pipe.unet.config.sample_size
    noise = torch.randn((1, 4, size, size), generator=torch.Generator("cpu").manual_seed(SEED))
    first = noise * pipe.scheduler.init_noise_sigma
    return goldens.to_u8(picture), torch.cat([first, *latents]), torch.stack(predictions), pipe.scheduler.sigmas


def path(latents, sigmas):
    """Two principal components of the latents `(steps + 1, values)`, each divided by sqrt(sigma^2 + 1) as the UNet gets it."""
    points = latents.double().flatten(1).numpy() / np.sqrt(sigmas.double().numpy() ** 2 + 1)[:, None]
    left, singular, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    places = left[:, :2] * singular[:2]
    # A component has no sign of its own: the last point is not left of, and not below, the first.
    places *= np.where(places[-1] < places[0], -1, 1)
    return {"places": places.tolist(), "shares": (singular**2 / (singular**2).sum())[:2].tolist()}


def arrows(predictions):
    """Of every step: root mean squares of both predictions and of their difference, and angles between them in degrees."""
    rows = []
    for uncond, text in predictions.double().flatten(2).numpy():
        rms = [float(np.sqrt((a**2).mean())) for a in (uncond, text, text - uncond)]

        def angle(a, b):
            return float(np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))))

        rows.append({"rms": rms, "angle": angle(uncond, text), "turn": angle(uncond, text - uncond)})
    return rows


@torch.no_grad()
def main():
    checkpoint, out = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    load = StableDiffusionPipeline.from_pretrained
    pipe, exact = (load(checkpoint, dtype=dtype) for dtype in (torch.float32, torch.float64))
    pipe.set_progress_bar_config(disable=True)
    tensors, cases, charts = {}, [], None
    for index, case in enumerate(CASES):
        picture, latents, predictions, sigmas = run(pipe, case)
        truth = embed(exact, case)
        apart = (embed(pipe, case).double() - truth).abs().max().item()
        cases.append(case | {"torch_f32": apart})
        tensors[f"{index}/prompt_embedding"] = truth[0].float()
        tensors[f"{index}/latents"] = latents[-1]
        if charts is None:
            charts = {"path": path(latents, sigmas), "arrows": arrows(predictions)}
            tensors["path/latents"] = latents
            tensors["arrows/predictions"] = predictions
        Image.fromarray(picture).save(out / f"effects-{index}.png", optimize=True)
        print(f"  {case}: mean {picture.mean():.3f}, embedding {apart:.2g} from f64")
    document = {
        "made_by": "tests/parity/effects.py",
        "weights_sha256": goldens.digest(checkpoint),
        "seed": SEED,
        "steps": STEPS,
        "guidance": GUIDANCE,
        "scheduler": SCHEDULER,
        "cases": cases,
        "charts": charts,
    }
    (out / "effects.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, out / "effects.safetensors")
    (out / "effects.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
