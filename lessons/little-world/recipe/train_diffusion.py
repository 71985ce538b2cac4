"""Stage 4: train the text encoder and the UNet together.

Reads WORK/latents.npy and WORK/scenes.jsonl, writes WORK/text_encoder and WORK/unet (the moving averages of the
weights) and WORK/questions.pt. The loss is that of the predicted noise, weighted by signal-to-noise ratio; one caption
in ten is left out, for guidance. The learning rate warms up, stays, and decays over the last part of the steps.

Everything is saved every few minutes: WORK/diffusion.state for --resume, and the three results, so that what there is
can be looked at while the training goes on. A later stage goes on from the results alone (--init-from WORK).

    python train_diffusion.py --steps 6000                             # from scratch
    python train_diffusion.py --steps 6000 --init-from DIR --seed 1    # go on from the results in DIR
"""

import argparse
import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

import common
import parallel
from captions import OWN_PLACES, Captions
from listening import keeping, listening
from train_judge import COLOURS, QUESTIONS, UNASKED

WIDTH = 96  # of the text encoder, and so of what the UNet attends to
WARM_UP = 150
MOST_SNR, LEAST_SNR = 5.0, 0.1  # bounds of the weight of a picture's error, see `weights`
DROPPED_CAPTIONS = 0.1
HIGH_NOISE = 600  # of the timesteps, half are drawn from above this one
CAPTIONS_MORE = 96  # captions a step for the text encoder alone
LONGEST_CAPTION = 32  # positions of those: more than any caption and some padding need
QUESTIONS_WEIGHT = 0.01  # of the loss of the questions
PERTURBATION = 0.1  # of the input's noise, see `noised`
EMA = 0.999
NO_CAPTION = torch.tensor([[common.START] + [common.END] * (common.POSITIONS - 1)])


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
    """Asks the text encoder what the picture will show and where: linear answers.

    CLIP's text encoder has learned from pictures what a caption says before a diffusion model sees it. This one learns
    together with the UNet, and the noise tells it too little about where things go: at the noise levels that decide
    it, the picture can hardly be seen. So it is asked: after the caption for all that the judge is asked, and at each
    thing's own word for the thing's colour and for its place beside the thing before it. The answers are thrown away
    after training.
    """

    def __init__(self):
        super().__init__()
        self.answers = torch.nn.ModuleDict({name: torch.nn.Linear(WIDTH, n) for name, n in QUESTIONS.items()})
        self.own_colour = torch.nn.Linear(WIDTH, len(COLOURS))
        self.own_place = torch.nn.Linear(WIDTH, len(OWN_PLACES))

    def loss(self, hidden, captions, rows):
        """Cross-entropy of the answers; `hidden` is (rows, positions, WIDTH)."""
        ids, device = captions.ids[rows], hidden.device
        positions = hidden.shape[1]
        first_end = (ids == common.END).int().argmax(1)
        after = (first_end + torch.rand(len(ids)) * (positions - first_end)).long()
        row = torch.arange(len(ids))
        said, right = hidden[row, after], captions.right[rows].to(device)
        parts = [self._of(answer(said), right[:, i]) for i, answer in enumerate(self.answers.values())]
        own = hidden[row[:, None], captions.own_at[rows]]
        parts.append(self._of(self.own_colour(own).flatten(0, 1), captions.own_colour[rows].flatten().to(device)))
        parts.append(self._of(self.own_place(own[:, 1]), captions.own_place[rows].to(device)))
        return sum(parts) / len(ids)

    @staticmethod
    def _of(guess, right):
        return F.cross_entropy(guess, right, ignore_index=UNASKED, reduction="sum")


def load_models(options, device):
    questions = Questions()
    if options.init_from:
        text_encoder = CLIPTextModel.from_pretrained(options.init_from, subfolder="text_encoder", dtype=torch.float32)
        unet = UNet2DConditionModel.from_pretrained(options.init_from, subfolder="unet", torch_dtype=torch.float32)
        questions.load_state_dict(torch.load(Path(options.init_from) / "questions.pt"))
    else:
        text_encoder, unet = new_text_encoder(), new_unet()
    unet = listening(unet.to(device, memory_format=torch.channels_last))
    return text_encoder.to(device).train(), unet.train(), questions.to(device)


def narrow_vocabulary(text_encoder, words):
    """Leaves only the rows of `words` in the token embedding: the others would never learn anything.

    A row that is zero has never been seen and starts at random, as all do from scratch.
    """
    rows = text_encoder.get_input_embeddings().weight.detach()[words]
    unseen = rows.abs().amax(1) == 0
    rows[unseen] = 0.02 * torch.randn_like(rows[unseen])
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


def noised(latents, t, kept, random):
    """Latents at timesteps `t`, and the noise that is in them.

    The input has a little more noise than is asked for (input perturbation: Ning et al. 2023, arXiv 2301.11706), so
    that the model learns to live with inputs that are not quite right, as a sampler's are.
    """
    noise = torch.randn(latents.shape, generator=random)
    more = PERTURBATION * torch.randn(latents.shape, generator=random)
    a = kept[t][:, None, None, None]
    return a.sqrt() * latents + (1 - a).sqrt() * (noise + more), noise


def publish(work, text_encoder, unet, questions, words, average):
    """Writes the averaged models as they will be used."""
    raw = [p.detach().clone() for p in average.parameters]
    average.apply()
    widened = copy.deepcopy(text_encoder)
    widen_vocabulary(widened, words)
    widened.save_pretrained(work / "text_encoder")
    unet.save_pretrained(work / "unet")
    common.save_state(work / "questions.pt", questions.state_dict())
    with torch.no_grad():
        torch._foreach_copy_(average.parameters, raw)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    common.add_device_options(parser)
    common.add_steps_option(parser)
    parallel.add_workers_option(parser)
    parser.add_argument("--init-from", metavar="DIR", help="go on from a folder with text_encoder, unet, questions.pt")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run was last saved")
    parser.add_argument("--batch", type=int, default=32, help="pictures a step, all workers together (default 32)")
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate (default 0.001)")
    parser.add_argument("--decay-from", type=float, default=0.7, help="share of the steps before the rate decays")
    parser.add_argument("--save-minutes", type=float, default=4, help="time between saved states (default 4)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    common.load_tokenizer(Path(options.work))  # written before several workers look for it
    parallel.spawn(train, options)


def train(worker, options):
    work, device = common.prepare(options, options.seed)
    latents = torch.from_numpy(np.load(work / "latents.npy"))
    captions = Captions.of(common.load_scenes(work)[: len(latents)], common.load_tokenizer(work))
    words, narrow = torch.cat([captions.ids, NO_CAPTION]).unique(return_inverse=True)
    narrow, no_caption = narrow[:-1], narrow[-1]  # tokens as rows of the narrowed vocabulary
    keep = keeping(len(latents), captions.silenced)

    text_encoder, unet, questions = load_models(options, device)
    narrow_vocabulary(text_encoder, words.to(device))
    parts = [[*text_encoder.parameters(), *questions.parameters()], [*unet.parameters()]]
    parameters = sum(parts, [])
    optimiser = torch.optim.AdamW(parameters, options.lr, weight_decay=1e-3, betas=(0.9, 0.99), fused=True)
    average = Average(parameters)
    budget = common.Budget(options.steps)
    state_file = work / "diffusion.state"
    if options.resume:
        state = torch.load(state_file, map_location=device)
        text_encoder.load_state_dict(state["text_encoder"])
        unet.load_state_dict(state["unet"])
        questions.load_state_dict(state["questions"])
        optimiser.load_state_dict(state["optimiser"])
        average.values = state["average"]
        budget = common.Budget(options.steps, state["step"], state["seconds"])

    kept = common.alphas_cumprod()
    snr = (kept / (1 - kept)).to(device)
    share, asked_share = options.batch // options.workers, CAPTIONS_MORE // options.workers
    random = torch.Generator().manual_seed(options.seed + 1_000_003 * budget.step + 7_919 * worker)
    saved, totals = time.monotonic(), np.zeros(2)
    while budget.step < options.steps:
        rate = learning_rate(options.lr, budget.step, budget.fraction, options.decay_from)
        for group in optimiser.param_groups:
            group["lr"] = rate
        rows = torch.randint(len(latents), (share,), generator=random)
        ids, listened = narrow[rows], keep[rows]
        dropped = torch.rand(share, generator=random) < DROPPED_CAPTIONS
        ids[dropped], listened[dropped] = no_caption, 1.0
        t = torch.randint(len(kept), (share,), generator=random)
        t[::2] = torch.randint(HIGH_NOISE, len(kept), t[::2].shape, generator=random)
        noisy, noise = noised(latents[rows].float(), t, kept, random)
        noisy, noise = (x.to(device, memory_format=torch.channels_last) for x in (noisy, noise))
        hidden = text_encoder(ids.to(device)).last_hidden_state
        told = {"keep": listened.to(device)}
        error = unet(noisy, t.to(device), hidden, cross_attention_kwargs=told).sample - noise
        loss = (error.pow(2).mean((1, 2, 3)) * weights(snr[t])).mean()
        asked = questions.loss(hidden[~dropped], captions, rows[~dropped])
        more = torch.randint(len(latents), (asked_share,), generator=random)
        hidden = text_encoder(narrow[more, :LONGEST_CAPTION].to(device)).last_hidden_state
        asked = (asked + 2 * questions.loss(hidden, captions, more)) / 3
        optimiser.zero_grad()
        (loss + QUESTIONS_WEIGHT * asked).backward()
        totals += parallel.share_gradients(parameters, torch.stack([loss, asked])).tolist()
        for part in parts:
            torch.nn.utils.clip_grad_norm_(part, 1.0)
        optimiser.step()
        average.update(budget.step)
        budget.step += 1
        if worker:
            continue
        if budget.step % 50 == 0:
            noise_loss, asked_loss = totals / 50
            totals[:] = 0
            print(f"{budget.line()}; loss {noise_loss:.4f}, questions {asked_loss:.3f}, rate {rate:.1e}", flush=True)
        if time.monotonic() - saved > 60 * options.save_minutes or budget.step == options.steps:
            state = {"text_encoder": text_encoder.state_dict(), "unet": unet.state_dict(), "average": average.values}
            state |= {"questions": questions.state_dict()}
            state |= {"optimiser": optimiser.state_dict(), "step": budget.step, "seconds": budget.seconds}
            common.save_state(state_file, state)
            publish(work, text_encoder, unet, questions, words, average)
            saved = time.monotonic()
    if worker == 0:
        print(f"done: {budget.step} steps, {budget.seconds / 60:.1f} minutes")


if __name__ == "__main__":
    main()
