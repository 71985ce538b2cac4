"""Stage 5: train the judge, a small classifier that knows renders only.

Reads WORK/judge/pictures.npy and WORK/judge/scenes.jsonl, writes WORK/judge.pt. It never sees a generated picture: it
learns what is in a render (layout, things, colours, place, position), from renders made a little blurred or noisy at
random. There is no picture in a painter's or a dream's manner, here or in the evaluation.

    python train_judge.py --steps 3000
"""

import argparse
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import common
import world

THINGS = list(world.DRAWINGS)
COLOURS = list(world.COLOURS)
PLACES = list(world.PLACE_WORDS)
LAYOUTS = ["none", "one", "beside", "above", "riding"]
POSITIONS = ["left", "", "right"]
SIZES = ["small", "", "large"]
BACKGROUNDS = [*COLOURS, ""]  # of a plain place
# What is asked of a picture, and how many answers there are. `first` is the left or upper thing, the
# rider, or the only one.
QUESTIONS = {
    "layout": len(LAYOUTS),
    "first": len(THINGS),
    "first_colour": len(COLOURS),
    "second": len(THINGS),
    "second_colour": len(COLOURS),
    "place": len(PLACES),
    "background": len(BACKGROUNDS),
    "position": len(POSITIONS),
    "size": len(SIZES),
}
SLOTS = {"first": 0, "first_colour": 0, "second": 1, "second_colour": 1}
UNASKED = -1  # the question does not apply to this picture


def answers(scene):
    """The right answers for a scene (as a dictionary, in the order of QUESTIONS), or UNASKED."""
    things = scene["things"]
    layout = scene["kind"]
    if layout == "two":
        dx, dy = (abs(things[0][axis] - things[1][axis]) for axis in "xy")
        layout = "beside" if dx > dy else "above"
        things = sorted(things, key=lambda thing: thing["x" if layout == "beside" else "y"])
    first, second = (*things, None, None)[:2]
    alone = layout == "one"
    return {
        "layout": LAYOUTS.index(layout),
        "first": THINGS.index(first["name"]) if first else UNASKED,
        "first_colour": COLOURS.index(first["colour"]) if first else UNASKED,
        "second": THINGS.index(second["name"]) if second else UNASKED,
        "second_colour": COLOURS.index(second["colour"]) if second else UNASKED,
        "place": PLACES.index(scene["place"]),
        "background": BACKGROUNDS.index(scene["background"]) if scene["place"] == "plain" else UNASKED,
        "position": POSITIONS.index(_position(first)) if alone else UNASKED,
        "size": SIZES.index(_size(first)) if alone and not first["pose"] else UNASKED,
    }


def _position(thing):
    """Single things stand at 0.2 to 0.3, 0.4 to 0.6 or 0.7 to 0.8 of the width."""
    return "left" if thing["x"] < 0.35 else "right" if thing["x"] > 0.65 else ""


def _size(thing):
    """Radii are 0.15 to 0.18 for small things, 0.18 to 0.28 for the usual ones, and 0.34 to 0.4 for large ones."""
    return "small" if thing["radius"] < 0.18 else "large" if thing["radius"] > 0.31 else ""


class Judge(nn.Module):
    """Six convolutions, and then two ways of looking.

    What the two things are is asked of two places that the network chooses itself, by what is there and by where it
    is, so that a thing looks the same to it wherever it stands. The other questions are asked of the whole picture.
    """

    def __init__(self, widths=(24, 48, 80, 112, 112, 112), strides=(2, 2, 2, 2, 1, 1)):
        super().__init__()
        layers = []
        for before, width, stride in zip((3, *widths), widths, strides):
            layers += [nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        side = world.SIZE // math.prod(strides)
        self.looking = nn.Conv2d(widths[-1], 2, 1)
        self.where = nn.Parameter(torch.zeros(2, side, side))
        self.thing = nn.Sequential(nn.Linear(widths[-1], 192), nn.ReLU())
        self.whole = nn.Sequential(
            nn.Conv2d(widths[-1], 16, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * side * side, 128), nn.ReLU()
        )
        self.questions = nn.ModuleDict(
            {name: nn.Linear(192 if name in SLOTS else 128, count) for name, count in QUESTIONS.items()}
        )

    def forward(self, x):
        features = self.features(x)
        attention = (self.looking(features) + self.where).flatten(2).softmax(-1)
        things = self.thing(attention @ features.flatten(2).transpose(1, 2))
        whole = self.whole(features)
        return {
            name: question(things[:, SLOTS[name]] if name in SLOTS else whole)
            for name, question in self.questions.items()
        }


def roughen(x):
    """Blurs half of the pictures and adds a little noise, so that sharpness is no clue."""
    blurred = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
    chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
    x = torch.where(chosen, blurred, x)
    return x + 0.06 * torch.rand(len(x), 1, 1, 1, device=x.device) * torch.randn_like(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    common.add_device_options(parser)
    common.add_steps_option(parser)
    parser.add_argument("--resume", action="store_true", help="go on from WORK/judge.pt")
    parser.add_argument("--batch", type=int, default=48, help="pictures a step (default 48)")
    parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate (default 0.002)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    work, device = common.prepare(options, options.seed)
    pictures, scenes = common.load_pictures(work / "judge"), common.load_scenes(work / "judge")
    right = torch.tensor([list(answers(scene).values()) for scene in scenes], device=device)
    judge = Judge().to(device, memory_format=torch.channels_last).train()
    if options.resume:
        judge.load_state_dict(torch.load(work / "judge.pt", map_location=device))
    print(f"{sum(p.numel() for p in judge.parameters()) / 1e6:.2f} M parameters, {len(pictures)} renders", flush=True)
    optimiser = torch.optim.AdamW(judge.parameters(), options.lr, weight_decay=1e-2)
    rng = np.random.default_rng(options.seed)
    budget = common.Budget(options.steps)
    while (done := budget.fraction) < 1:
        rows = np.sort(rng.integers(0, len(pictures), options.batch))
        guesses = judge(roughen(common.to_tensor(pictures[rows], device)))
        loss = sum(
            F.cross_entropy(guess, right[rows, i], ignore_index=UNASKED, reduction="sum") / options.batch
            for i, guess in enumerate(guesses.values())
        )
        for group in optimiser.param_groups:
            group["lr"] = options.lr * (min(1, (budget.step + 1) / 50) * (1 - done) + 0.005)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        budget.step += 1
        if budget.step % 50 == 0:
            print(f"{budget.line()}; loss {loss.item():.3f}", flush=True)
    common.save_state(work / "judge.pt", judge.state_dict())
    print(f"done: {budget.step} steps, {budget.seconds / 60:.1f} minutes")


if __name__ == "__main__":
    main()
