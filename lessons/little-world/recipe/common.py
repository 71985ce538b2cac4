"""What the stages share: the working folder, devices, the vocabulary, the noise schedule, progress and safe files."""

import gzip
import json
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

SCALING_FACTOR = 0.18215  # of SD v1: latents times this have unit variance
VOCABULARY = 49408
START, END = 49406, 49407
POSITIONS = 77

# The keys of SD v1.5's own file: without `timestep_spacing`, every scheduler keeps its own default.
SCHEDULER_CONFIG = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}


def add_work_option(parser):
    default = Path(__file__).parent / "build"
    parser.add_argument("--work", default=str(default), help="working folder (default: build beside the recipe)")


def add_device_options(parser):
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default, help=f"cpu or cuda (default here: {default})")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: PyTorch's own choice)")


def prepare(options, seed=0):
    """Sets threads and seeds; returns the working folder and the device."""
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(seed)
    return Path(options.work), torch.device(options.device)


def load_pictures(folder):
    return np.load(folder / "pictures.npy", mmap_mode="r")


def load_scenes(folder):
    """The scenes of a folder of pictures, as dictionaries."""
    with open(folder / "scenes.jsonl") as file:
        return [json.loads(line) for line in file]


def to_tensor(pictures, device="cpu"):
    """Bytes of shape (n, height, width, 3) to floats from -1 to 1 of shape (n, 3, height, width)."""
    x = torch.from_numpy(np.array(pictures)).to(device).permute(0, 3, 1, 2)
    return (x.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def to_bytes(x):
    """The inverse of `to_tensor`, rounded as diffusers does."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def alphas_cumprod():
    """SD v1's noise schedule: the share of the picture's variance that is left at each of the 1000 timesteps."""
    c = SCHEDULER_CONFIG
    betas = torch.linspace(c["beta_start"] ** 0.5, c["beta_end"] ** 0.5, c["num_train_timesteps"]) ** 2
    return torch.cumprod(1 - betas, 0)


def write_tokenizer(folder):
    """CLIP's vocabulary, from the file that the open_clip package carries, in the layout of SD v1."""
    import open_clip
    from open_clip.tokenizer import bytes_to_unicode

    source = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    single = list(bytes_to_unicode().values())
    merges = gzip.decompress(source.read_bytes()).decode().split("\n")[1 : VOCABULARY - 2 - 2 * len(single) + 1]
    pieces = single + [piece + "</w>" for piece in single] + ["".join(merge.split()) for merge in merges]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    config = {
        "bos_token": "<|startoftext|>",
        "do_lower_case": True,
        "eos_token": "<|endoftext|>",
        "errors": "replace",
        "model_max_length": POSITIONS,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_tokenizer(work):
    from transformers import CLIPTokenizer

    folder = work / "tokenizer"
    if not folder.exists():
        write_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder)


def token_ids(tokenizer, captions):
    """Ids of shape (captions, 77), padded with the end token as in SD v1."""
    return tokenizer(
        list(captions), padding="max_length", max_length=POSITIONS, truncation=True, return_tensors="pt"
    ).input_ids


@contextmanager
def replacing(path):
    """Gives a path beside `path` to write to, and renames it into place when all went well."""
    partial = path.with_name(path.name + ".partial")
    yield partial
    partial.rename(path)


def add_steps_option(parser):
    parser.add_argument("--steps", type=int, required=True, help="end after so many steps")


def save_state(path, state):
    with replacing(path) as partial:
        torch.save(state, partial)


class Budget:
    """Ends a stage after `steps` steps; tells how far along it is. Steps count, not time: a stage may be paused."""

    def __init__(self, steps, step=0, seconds=0.0):
        self.steps, self.step = steps, step
        self.earlier, self.started = seconds, time.monotonic()

    @property
    def seconds(self):
        """Time spent, earlier runs of a resumed stage and pauses included."""
        return self.earlier + time.monotonic() - self.started

    @property
    def fraction(self):
        return self.step / self.steps

    def line(self):
        left = self.seconds * (self.steps - self.step) / max(self.step, 1)
        return f"step {self.step} of {self.steps}, {self.seconds:.0f} s, {left / 60:.1f} min left"


class Progress:
    """Prints how far a loop of known length is."""

    def __init__(self, total, every):
        self.total, self.every, self.started = total, every, time.monotonic()

    def step(self, done):
        if done % self.every and done != self.total:
            return
        seconds = time.monotonic() - self.started
        left = seconds * (self.total - done) / max(done, 1)
        print(f"{done} of {self.total}, {seconds:.0f} s, {left:.0f} s left", flush=True)
