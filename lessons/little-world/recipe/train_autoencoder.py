"""Stage 2: train the autoencoder.

Reads WORK/pictures.npy and WORK/scenes.jsonl, writes the folder WORK/autoencoder. Encoder and decoder learn together
from crops of 64x64 pixels, most of them around a thing, and from whole pictures in the last sixth of the steps. At
the end the latents' normalisation is folded into the 1x1 convolutions on either side of the latent, so that latents
are centred and SD v1's scaling factor fits. WORK/autoencoder.state holds the training's state, for --resume.

With --decoder-only the encoder, and with it every latent, stays as it is, and the decoder goes on learning, as Stable
Diffusion's own later decoders did (from whole pictures; the state is then WORK/decoder.state). This can be done at
any time: the UNet does not notice.

    python train_autoencoder.py --steps 3000                                # from scratch
    python train_autoencoder.py --steps 3000 --decoder-only --lr 1e-3       # the decoder alone
"""

import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image

import common
import parallel
import world

WIDTHS = (24, 40, 64, 96)
CROP = 64
WHOLE_PICTURES_FROM = 5 / 6  # of the steps
WARM_UP = 50
DECAY_FROM = 0.5  # of the steps: until then the learning rate stays


def new_autoencoder():
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=WIDTHS,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=world.SIZE,
        scaling_factor=1.0,
    )


def things_at(scenes):
    """Where, in pixels, one thing of each scene is."""
    nothing = [{"x": 0.5, "y": 0.5}]
    things = [scene["things"] or nothing for scene in scenes]
    centres = [found[i % len(found)] for i, found in enumerate(things)]
    return np.array([(thing["y"], thing["x"]) for thing in centres]) * world.SIZE


def crops(pictures, rows, centres, rng):
    """One crop of each picture, three times out of four around its thing."""
    limit = world.SIZE - CROP
    corners = rng.integers(0, limit + 1, (len(rows), 2))
    near = rng.random(len(rows)) < 0.75
    around = (centres[rows] - CROP / 2 + rng.uniform(-24, 24, (len(rows), 2))).clip(0, limit).astype(int)
    corners[near] = around[near]
    return np.stack([pictures[i, y : y + CROP, x : x + CROP] for i, (y, x) in zip(rows, corners)])


def differences(x):
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def edge_weight(x):
    """1 on flat ground, up to 4 beside an edge; a faint edge (a dark thing at night) counts nearly as much."""
    across, down = differences(x)
    steps = F.pad(across.abs().amax(1), (0, 1)) + F.pad(down.abs().amax(1), (0, 0, 0, 1))
    near = F.max_pool2d(steps[:, None], 5, stride=1, padding=2)
    return 1 + 3 * (near * 4).clamp(max=1)


def loss_of(vae, x):
    posterior = vae.encode(x).latent_dist
    y = vae.decode(posterior.sample()).sample
    weight = edge_weight(x)
    weight = weight / weight.mean()
    error = y - x
    reconstruction = (weight * (error.abs() + 2 * error**2)).mean()
    edges = sum(e.abs().mean() for e in differences(error))
    k = vae.config.scaling_factor
    mean, variance = posterior.mean * k, posterior.var * k**2
    divergence = 0.5 * (mean**2 + variance - 1 - variance.log()).sum() / x.numel()
    return reconstruction + 0.75 * edges + 1e-3 * divergence, error.pow(2).mean().sqrt(), edges


@torch.no_grad()
def fold_normalisation(vae, pictures, device):
    """Makes latents centred, channel by channel, with a standard deviation of 1 / SCALING_FACTOR."""
    means = [
        vae.encode(common.to_tensor(pictures[i : i + 50], device)).latent_dist.mean
        for i in range(0, min(1000, len(pictures)), 50)
    ]
    latents = torch.cat(means)
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    stretch = 1 / (common.SCALING_FACTOR * deviation)
    before, after = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    before.weight[:channels] *= stretch[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) * stretch
    before.bias[channels:] += 2 * stretch.log()  # the posterior's log variance
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight /= stretch[None, :, None, None]
    vae.register_to_config(scaling_factor=common.SCALING_FACTOR)


def save_comparison(vae, pictures, path, device):
    """Pictures in odd rows, what the autoencoder makes of them below each."""
    x = common.to_tensor(pictures[:24], device)
    y = common.to_bytes(vae.decode(vae.encode(x).latent_dist.mean).sample)
    rows = [np.concatenate(list(part), 1) for i in range(0, 24, 8) for part in (pictures[i : i + 8], y[i : i + 8])]
    Image.fromarray(np.concatenate(rows)).save(path)


def start(options, work, device):
    """The autoencoder, and the parameters to train."""
    if options.decoder_only:
        vae = AutoencoderKL.from_pretrained(options.init_from or work / "autoencoder", torch_dtype=torch.float32)
    elif options.init_from:
        vae = AutoencoderKL.from_pretrained(options.init_from, torch_dtype=torch.float32)
    else:
        vae = new_autoencoder()
    vae = vae.to(device, memory_format=torch.channels_last).train()
    if options.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    return vae, [p for p in vae.parameters() if p.requires_grad]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    common.add_device_options(parser)
    common.add_steps_option(parser)
    parallel.add_workers_option(parser)
    parser.add_argument("--init-from", metavar="DIR", help="go on from the weights of an autoencoder's folder")
    parser.add_argument("--decoder-only", action="store_true", help="go on from WORK/autoencoder, its encoder frozen")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run was last saved")
    parser.add_argument("--batch", type=int, default=16, help="crops a step (default 16); a quarter as many pictures")
    parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate (default 0.002)")
    parser.add_argument("--save-minutes", type=float, default=2, help="time between saved states (default 2)")
    parser.add_argument("--seed", type=int, default=0)
    parallel.spawn(train, parser.parse_args())


def train(worker, options):
    work, device = common.prepare(options, options.seed)
    pictures = common.load_pictures(work)
    centres = things_at(common.load_scenes(work))
    vae, parameters = start(options, work, device)
    optimiser = torch.optim.AdamW(parameters, options.lr, weight_decay=0, betas=(0.9, 0.99), fused=True)
    budget = common.Budget(options.steps)
    state_file = work / ("decoder.state" if options.decoder_only else "autoencoder.state")
    if options.resume:
        state = torch.load(state_file, map_location=device)
        vae.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        budget = common.Budget(options.steps, state["step"], state["seconds"])
    torch.manual_seed(options.seed + 1_000_003 * budget.step + 7_919 * worker)  # of the posterior's noise
    rng = np.random.default_rng((options.seed, budget.step, worker))
    share = options.batch // options.workers
    saved = time.monotonic()
    totals = np.zeros(3)
    while (done := budget.fraction) < 1:
        whole = options.decoder_only or done >= WHOLE_PICTURES_FROM
        rows = np.sort(rng.integers(0, len(pictures), share // 4 if whole else share))
        x = common.to_tensor(pictures[rows] if whole else crops(pictures, rows, centres, rng), device)
        rate = options.lr * (min(1, (budget.step + 1) / WARM_UP, (1 - done) / (1 - DECAY_FROM)) + 0.01)
        for group in optimiser.param_groups:
            group["lr"] = rate
        parts = loss_of(vae, x)
        optimiser.zero_grad()
        parts[0].backward()
        totals += parallel.share_gradients(parameters, torch.stack(parts)).tolist()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        budget.step += 1
        if worker:
            continue
        if budget.step % 50 == 0:
            loss, rms, edges = totals / 50
            totals[:] = 0
            print(f"{budget.line()}; loss {loss:.4f}, rms {rms:.4f}, edges {edges:.4f}", flush=True)
        if time.monotonic() - saved > 60 * options.save_minutes:
            state = {"model": vae.state_dict(), "optimiser": optimiser.state_dict()}
            common.save_state(state_file, state | {"step": budget.step, "seconds": budget.seconds})
            saved = time.monotonic()
    if worker == 0:
        vae.eval().requires_grad_(False)
        if not options.decoder_only:
            fold_normalisation(vae, pictures, device)
        vae.save_pretrained(work / "autoencoder")
        save_comparison(vae, pictures, work / "autoencoder.png", device)
        print(f"done: {budget.step} steps, {budget.seconds / 60:.1f} minutes")


if __name__ == "__main__":
    main()
