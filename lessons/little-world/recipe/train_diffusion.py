"""Stage 4: train the text encoder and the UNet together.

Reads WORK/latents.npy and WORK/scenes.jsonl, writes WORK/text_encoder and WORK/unet: the moving averages of the
weights. The loss is that of the predicted noise, weighted by signal-to-noise ratio; one caption in ten is left out, for guidance.
The learning rate warms up, stays, and decays over the last part. WORK/diffusion.state is saved every few minutes,
for --resume. On a CPU that other work shares, several workers of one thread each (--workers) get further than one
process with several threads: they wait for each other once a step instead of at every operation.

    python train_diffusion.py --minutes 130                            # from scratch
    python train_diffusion.py --minutes 68 --init-from CHECKPOINT      # go on from a diffusers folder
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

import common
from train_judge import QUESTIONS, UNASKED, answers

WIDTH = 96  # of the text encoder, and so of what the UNet attends to
WARM_UP = 150
MOST_SNR, LEAST_SNR = 5.0, 0.1  # bounds of the weight of a picture's error, see `weights`
DROPPED_CAPTIONS = 0.1
HIGH_NOISE = 600  # of the timesteps, half are drawn from above this one
CAPTIONS_MORE = 96  # captions a step for the text encoder alone
QUESTIONS_WEIGHT = 0.01  # of the loss of the questions
EMA = 0.999


def new_text_encoder():
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=common.VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=common.POSITIONS,
            hidden_act="quick_gelu",
            projection_dim=WIDTH,
            bos_token_id=common.START,
            eos_token_id=common.END,
        )
    )


def new_unet():
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(64, 96, 128),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # the number of heads, as in SD v1's configuration
        norm_num_groups=16,
    )


class Questions(torch.nn.Module):
    """Asks the text encoder what the picture will show and where: linear answers to the judge's questions.

    CLIP's text encoder has learned from pictures what a caption says before a diffusion model sees it. This one learns
    together with the UNet, and the noise tells it too little about where things go: at the noise levels that decide
    it, the picture can hardly be seen. So it is asked. The answers are thrown away after training.
    """

    def __init__(self):
        super().__init__()
        self.answers = torch.nn.ModuleDict({name: torch.nn.Linear(WIDTH, n) for name, n in QUESTIONS.items()})

    def loss(self, hidden, ids, right):
        """Cross-entropy of the answers, which are read at one position of each caption's end and padding.

        `hidden` is (captions, 77, WIDTH), `ids` (captions, 77), `right` (captions, questions).
        """
        first_end = (ids == common.END).int().argmax(1)
        chance = torch.rand(len(ids), device=ids.device)
        position = (first_end + chance * (common.POSITIONS - first_end)).long()
        said = hidden[torch.arange(len(ids)), position]
        parts = [
            F.cross_entropy(answer(said), right[:, i], ignore_index=UNASKED, reduction="sum") / len(ids)
            for i, answer in enumerate(self.answers.values())
        ]
        return sum(parts)


def load_models(options, device):
    if options.init_from:
        text_encoder = CLIPTextModel.from_pretrained(options.init_from, subfolder="text_encoder", dtype=torch.float32)
        unet = UNet2DConditionModel.from_pretrained(options.init_from, subfolder="unet", torch_dtype=torch.float32)
    else:
        text_encoder, unet = new_text_encoder(), new_unet()
    return text_encoder.to(device).train(), unet.to(device, memory_format=torch.channels_last).train()


def narrow_vocabulary(text_encoder, words):
    """Leaves only the rows of `words` in the token embedding: the others would never learn anything."""
    rows = text_encoder.get_input_embeddings().weight.detach()[words]
    text_encoder.set_input_embeddings(torch.nn.Embedding.from_pretrained(rows, freeze=False))


def widen_vocabulary(text_encoder, words):
    """Puts the rows back where they belong; all others are zero."""
    rows = text_encoder.get_input_embeddings().weight.detach()
    full = torch.zeros(common.VOCABULARY, rows.shape[1], device=rows.device)
    full[words] = rows
    text_encoder.set_input_embeddings(torch.nn.Embedding.from_pretrained(full))


def learning_rate(highest, step, done, decay_from):
    """`done` is the share of the budget that is spent."""
    decay = 1.0
    if done > decay_from:
        decay = 0.5 * (1 + math.cos(math.pi * (done - decay_from) / (1 - decay_from)))
    return highest * min(1, (step + 1) / WARM_UP) * max(decay, 0.01)


def weights(snr):
    """What the squared error of the predicted noise counts for, by signal-to-noise ratio.

    An error in the noise is an error in the picture times the square root of the ratio, so a plain loss weighs the
    picture by the ratio itself. Min-SNR (Hang et al. 2023, arXiv 2303.09556) bounds that weight from above: easy
    timesteps do not crowd out the others. Here it is bounded from below as well, because at the highest noise levels
    (timesteps above 700) it is decided where things go, and there a plain loss hardly notices.
    """
    return snr.clamp(LEAST_SNR, MOST_SNR) / snr


class Average:
    """The moving average of the parameters; young averages move faster."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.values = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self, step):
        decay = min(EMA, (step + 1) / (step + 20))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1 - decay)

    @torch.no_grad()
    def apply(self):
        torch._foreach_copy_(self.parameters, self.values)


def share_gradients(parameters, loss):
    """Averages gradients over the workers; returns the average loss."""
    parts = [p.grad.flatten() for p in parameters]
    flat = torch.cat([*parts, loss.detach().reshape(1)])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for p, part in zip(parameters, flat[:-1].split([part.numel() for part in parts])):
        p.grad.copy_(part.view_as(p))
    return flat[-1]


def agreed(fraction):
    """The first worker's opinion of how far the training is."""
    value = torch.tensor(fraction)
    dist.broadcast(value, 0)
    return float(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    common.add_device_options(parser)
    parser.add_argument("--minutes", type=float, help="end after so many minutes")
    parser.add_argument("--steps", type=int, help="end after so many steps")
    parser.add_argument("--init-from", metavar="DIR", help="go on from the weights of a diffusers folder")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run was last saved")
    parser.add_argument("--batch", type=int, default=32, help="pictures a step, all workers together (default 32)")
    parser.add_argument("--workers", type=int, default=1, help="processes that share each step (CPU; default 1)")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate (default 0.001)")
    parser.add_argument("--decay-from", type=float, default=0.7, help="share of the budget before the rate decays")
    parser.add_argument("--save-minutes", type=float, default=4, help="time between saved states (default 4)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    common.load_tokenizer(Path(options.work))  # written before several workers look for it
    (Path(options.work) / "workers").unlink(missing_ok=True)  # where an interrupted run's workers met
    torch.multiprocessing.spawn(train, (options,), options.workers)


def train(worker, options):
    work, device = common.prepare(options, options.seed)
    meeting = f"file://{(work / 'workers').absolute()}"
    dist.init_process_group("gloo", meeting, rank=worker, world_size=options.workers)

    latents = torch.from_numpy(np.load(work / "latents.npy"))
    scenes = common.load_scenes(work)[: len(latents)]
    captions = [scene["caption"] for scene in scenes]
    right = torch.tensor([list(answers(scene).values()) for scene in scenes])
    tokenizer = common.load_tokenizer(work)
    words, ids = common.token_ids(tokenizer, [*captions, ""]).unique(return_inverse=True)
    ids, no_caption = ids[:-1], ids[-1]

    text_encoder, unet = load_models(options, device)
    narrow_vocabulary(text_encoder, words.to(device))
    questions = Questions().to(device)
    parts = [[*text_encoder.parameters(), *questions.parameters()], [*unet.parameters()]]
    parameters = sum(parts, [])
    optimiser = torch.optim.AdamW(parameters, options.lr, weight_decay=1e-3, betas=(0.9, 0.99))
    average = Average(parameters)
    budget = common.Budget(options.minutes, options.steps)
    state_file = work / "diffusion.state"
    if options.resume:
        state = torch.load(state_file, map_location=device)
        text_encoder.load_state_dict(state["text_encoder"])
        unet.load_state_dict(state["unet"])
        questions.load_state_dict(state["questions"])
        optimiser.load_state_dict(state["optimiser"])
        average.values = state["average"]
        budget = common.Budget(options.minutes, options.steps, state["step"], state["seconds"])

    kept = common.alphas_cumprod().to(device)
    snr = kept / (1 - kept)
    share = options.batch // options.workers
    random = torch.Generator().manual_seed(options.seed + 1_000_003 * budget.step + 7_919 * worker)
    saved, total, count, total_asked = time.monotonic(), 0.0, 0, 0.0
    while (done := agreed(budget.fraction)) < 1:
        rate = learning_rate(options.lr, budget.step, done, options.decay_from)
        for group in optimiser.param_groups:
            group["lr"] = rate
        rows = torch.randint(len(latents), (share,), generator=random)
        captions = ids[rows]
        captions[torch.rand(share, generator=random) < DROPPED_CAPTIONS] = no_caption
        noise = torch.randn(latents[rows].shape, generator=random).to(device)
        t = torch.randint(len(kept), (share,), generator=random)
        t[::2] = torch.randint(HIGH_NOISE, len(kept), t[::2].shape, generator=random)
        t = t.to(device)
        a = kept[t][:, None, None, None]
        noisy = a.sqrt() * latents[rows].to(device).float() + (1 - a).sqrt() * noise
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        more = torch.randint(len(latents), (CAPTIONS_MORE // options.workers,), generator=random)
        hidden = text_encoder(torch.cat([captions, ids[more]]).to(device)).last_hidden_state
        error = unet(noisy, t, hidden[:share]).sample - noise
        loss = (error.pow(2).mean((1, 2, 3)) * weights(snr[t])).mean()
        asked = questions.loss(hidden[share:], ids[more].to(device), right[more].to(device))
        loss = loss + QUESTIONS_WEIGHT * asked
        optimiser.zero_grad()
        loss.backward()
        loss = share_gradients(parameters, loss)
        for part in parts:
            torch.nn.utils.clip_grad_norm_(part, 1.0)
        optimiser.step()
        average.update(budget.step)
        budget.step += 1
        total, count, total_asked = total + float(loss), count + 1, total_asked + float(asked)
        if worker:
            continue
        if budget.step % 50 == 0:
            print(f"{budget.line()}; loss {total / count:.4f}, questions {total_asked / count:.3f}, rate {rate:.1e}", flush=True)
            total, count, total_asked = 0.0, 0, 0.0
        if time.monotonic() - saved > 60 * options.save_minutes:
            state = {"text_encoder": text_encoder.state_dict(), "unet": unet.state_dict(), "average": average.values}
            state |= {"questions": questions.state_dict()}
            state |= {"optimiser": optimiser.state_dict(), "step": budget.step, "seconds": budget.seconds}
            common.save_state(state_file, state)
            saved = time.monotonic()
    if worker == 0:
        average.apply()
        widen_vocabulary(text_encoder, words.to(device))
        text_encoder.save_pretrained(work / "text_encoder")
        unet.save_pretrained(work / "unet")
        print(f"done: {budget.step} steps, {budget.seconds / 60:.1f} minutes")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
