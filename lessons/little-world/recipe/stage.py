"""Keep what a stage has made in a small file, and lay it out again, on this machine or another.

`stages/autoencoder.safetensors` and `stages/diffusion.safetensors` (text encoder, UNet and question heads) hold the
weights in f16, with the configurations as metadata; of the vocabulary, only the rows that are not zero. The optimiser
is not kept: a later stage starts with a fresh one, and warms up.

    python stage.py keep autoencoder diffusion      # from WORK to stages/
    python stage.py restore autoencoder diffusion   # from stages/ to WORK
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import common

STAGES = Path(__file__).parent / "stages"
WEIGHTS = {
    "autoencoder": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
}
FOLDERS = {"autoencoder": ["autoencoder"], "diffusion": ["text_encoder", "unet"]}
QUESTIONS = "questions.pt"


def keep(name, work):
    tensors, configs = {}, {}
    for folder in FOLDERS[name]:
        configs[folder] = (work / folder / "config.json").read_text()
        for key, tensor in load_file(work / folder / WEIGHTS[folder]).items():
            if len(tensor) == common.VOCABULARY:
                rows = tensor.abs().amax(1).nonzero()[:, 0]
                tensors[f"{folder}/{key}/rows"], tensor = rows.int(), tensor[rows]
            tensors[f"{folder}/{key}"] = tensor.half().contiguous()
    if name == "diffusion":
        heads = torch.load(work / QUESTIONS, map_location="cpu")
        tensors |= {f"questions/{key}": tensor.half().contiguous() for key, tensor in heads.items()}
    STAGES.mkdir(exist_ok=True)
    path = STAGES / f"{name}.safetensors"
    with common.replacing(path) as partial:
        save_file(tensors, partial, metadata={"configs": json.dumps(configs)})
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def restore(name, work):
    path = STAGES / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        configs = json.loads(file.metadata()["configs"])
    kept = load_file(path)
    for folder, config in configs.items():
        tensors = {}
        for key, tensor in kept.items():
            if not key.startswith(f"{folder}/") or key.endswith("/rows"):
                continue
            if (rows := kept.get(f"{key}/rows")) is not None:
                full = torch.zeros(common.VOCABULARY, tensor.shape[1])
                full[rows.long()] = tensor.float()
                tensor = full
            tensors[key.removeprefix(f"{folder}/")] = tensor.float()
        (work / folder).mkdir(parents=True, exist_ok=True)
        (work / folder / "config.json").write_text(config)
        save_file(tensors, work / folder / WEIGHTS[folder], metadata={"format": "pt"})
    if name == "diffusion":
        prefix = "questions/"
        heads = {key.removeprefix(prefix): t.float() for key, t in kept.items() if key.startswith(prefix)}
        common.save_state(work / QUESTIONS, heads)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    parser.add_argument("what", choices=["keep", "restore"])
    parser.add_argument("names", nargs="+", choices=list(FOLDERS))
    options = parser.parse_args()
    for name in options.names:
        (keep if options.what == "keep" else restore)(name, Path(options.work))


if __name__ == "__main__":
    main()
