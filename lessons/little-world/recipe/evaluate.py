"""Stage 7: measure the checkpoint.

Reads a checkpoint's folder and WORK/judge.pt, writes WORK/evaluation.json, WORK/evaluation.md (the model card's
tables, also printed) and sheets of samples. Captions are sampled from the world with seeds that no training used, none
in a painter's or a dream's manner. Measured are:

- what the judge sees in generated pictures (LMS, 25 steps); beside it the same pictures against each other's captions
  (the baseline of chance and habit), an older model on the same captions and seeds, held-out renders of the same
  scenes, and what the autoencoder makes of those;
- pairs of things that the training never showed together, apart from the others;
- missing words, one kind after the other: taken out of the caption, or silenced as `--weight WORD=0` does;
- attention: a render is noised to timestep 500, the UNet runs once, the cross-attention of a thing's word is averaged
  over heads and layers, and compared with the thing's true mask; the threshold is chosen on other pictures (mIoU);
- the autoencoder's error on held-out scenes, and cosines between embeddings of words;
- guidance 7.5 with LMS, 25 and 100 steps: sheets to look at, and what the judge sees on them.

    python evaluate.py --checkpoint ../checkpoint --old OLD      # everything
    python evaluate.py --checkpoint ../checkpoint --share 0.05   # a twentieth of the pictures: does it run?
    python evaluate.py --checkpoint ../checkpoint --sweep 2,3,4,5,6,7.5    # which guidance suits it: judge only
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import common
import world
from captions import Pieces
from listening import listening
from sampling import Model
from train_judge import (
    BACKGROUNDS,
    COLOURS,
    LAYOUTS,
    PLACES,
    POSITIONS,
    QUESTIONS,
    SIZES,
    THINGS,
    UNASKED,
    Judge,
    answers,
)

HELD_OUT_SEED = 900_000_000
ATTENTION_SEED = 910_000_000
UNSTYLED = world.Mixture(styled=0.0, missing=0.0)
ONE = replace(UNSTYLED, one=1.0, riding=0.0)
TWO = replace(UNSTYLED, one=0.0, riding=0.0)
RIDING = replace(UNSTYLED, one=0.0, riding=1.0)
# What is generated: a name, the scenes, and how many.
GROUPS = [
    ("one", ONE, 360),
    ("two", TWO, 300),
    ("two, never together", replace(TWO, pairs="unseen"), 120),
    ("riding", RIDING, 200),
    ("riding, never together", replace(RIDING, pairs="unseen"), 160),
]
# Kinds of words that can be missing: a name, the word's role, and scenes that have it.
MISSING = [
    ("the only thing", "thing 0", ONE),
    ("the first of two things", "thing 0", TWO),
    ("the second of two things", "thing 1", TWO),
    ("the rider", "thing 0", RIDING),
    ("the mount", "thing 1", RIDING),
    ("riding", "riding", RIDING),
    ("the only thing's colour", "colour 0", ONE),
    ("the second thing's colour", "colour 1", TWO),
    ("size", "size", ONE),
    ("left or right", "position", ONE),
    ("the relation of two things", "relation", TWO),
    ("place", "place", UNSTYLED),
    ("the background's colour", "background", UNSTYLED),
]
EACH_MISSING = 48
MIDDLE = 500  # timestep
FLAGSHIP = "a photograph of an astronaut riding a horse"
PAIRS = [
    ("red", "crimson"),
    ("red", "scarlet"),
    ("red", "blue"),
    ("red", "square"),
    ("man", "gentleman"),
    ("man", "guy"),
    ("gentleman", "guy"),
    ("man", "cat"),
    ("circle", "ball"),
    ("small", "tiny"),
    ("small", "large"),
    ("below", "under"),
]
SHEET = [
    "a red apple on the grass",
    "a small blue house in the snow",
    "a man to the left of a green tree in a meadow",
    "a boat at sunset",
    "a yellow star above a purple heart on a pink background",
    "an orange cat on the beach",
    "a white rocket in space",
    "a ship at sea by monet",
]
# The card's prompts for guidance, their seeds, and what the judge should see.
STRONG = {
    "a red apple on the grass": (7, {"layout": "one", "first": "apple", "first_colour": "red", "place": "grass"}),
    "an orange cat on the beach": (7, {"layout": "one", "first": "cat", "first_colour": "orange", "place": "beach"}),
    FLAGSHIP: (42, {"layout": "riding", "first": "astronaut", "second": "horse"}),
    "a yellow star above a purple heart on a pink background": (
        3,
        {"layout": "above", "first": "star", "second": "heart", "place": "plain", "background": "pink"},
    ),
    "a small blue house in the snow": (
        11,
        {"layout": "one", "first": "house", "first_colour": "blue", "place": "snow"},
    ),
    "a man to the left of a green tree in a meadow": (
        5,
        {"layout": "beside", "first": "man", "second": "tree", "second_colour": "green", "place": "grass"},
    ),
}
NAMES = {
    "layout": LAYOUTS,
    "first": THINGS,
    "first_colour": COLOURS,
    "second": THINGS,
    "second_colour": COLOURS,
    "place": PLACES,
    "background": BACKGROUNDS,
    "position": POSITIONS,
    "size": SIZES,
}


def judged(judge, pictures, device):
    """The judge's answers to each picture, a dictionary of names."""
    with torch.no_grad():
        parts = [judge(common.to_tensor(pictures[i : i + 50], device)) for i in range(0, len(pictures), 50)]
    numbers = {name: torch.cat([part[name] for part in parts]).argmax(1).tolist() for name in QUESTIONS}
    return [{name: NAMES[name][values[i]] for name, values in numbers.items()} for i in range(len(pictures))]


def wanted(scene):
    """The right answers, by name; questions that do not apply are left out."""
    return {name: NAMES[name][i] for name, i in answers(scene.as_dict()).items() if i != UNASKED}


SLOTS = ("first", "second")


def sorted_things(scene):
    """The things in the judge's order: left or upper or rider first."""
    things = scene.things
    if scene.kind != "two":
        return things
    beside = abs(things[0].x - things[1].x) > abs(things[0].y - things[1].y)
    return sorted(things, key=lambda thing: thing.x if beside else thing.y)


def agrees(guess, scene, either_way=False):
    """Are the things there, each in the colour that the caption names?

    `either_way`: it does not matter which of two things is which.
    """
    things = sorted_things(scene)
    orders = [things, things[::-1]] if either_way else [things]

    def fits(order):
        return all(
            guess[slot] == thing.name and (not thing.colour_word or guess[f"{slot}_colour"] == thing.colour)
            for slot, thing in zip(SLOTS, order)
        )

    return any(fits(order) for order in orders)


def plainer(scene):
    """The scene as if its caption named no colours."""
    return replace(scene, things=[replace(thing, colour_word="") for thing in scene.things])


def marks(guess, scene):
    """What is asked of a picture: names and whether the answer is right. Only what the caption says is asked."""
    right = wanted(scene)
    named = [thing for thing in scene.things if thing.colour_word]
    found = [("place", guess["place"] == right["place"])]
    if scene.background:
        found.append(("background colour", guess["background"] == right["background"]))
    if scene.kind == "one":
        found.append(("one thing: which", guess["first"] == right["first"]))
        if named:
            found.append(("one thing: colour", guess["first_colour"] == right["first_colour"]))
        if scene.position:
            found.append(("one thing: left or right", guess["position"] == right["position"]))
        if scene.things[0].size:
            found.append(("one thing: small or large", guess["size"] == right["size"]))
        return found
    things = [thing.name for thing in scene.things]
    never = " (never together)" if frozenset(things) in world.NEVER_TOGETHER else ""
    if scene.kind == "two":
        found.append((f"two things{never}: both", agrees(guess, plainer(scene), either_way=True)))
        if len(named) == 2:
            found.append((f"two things{never}: both, each in its colour", agrees(guess, scene, either_way=True)))
        if scene.relation != "and" and things[0] != things[1]:
            placed = agrees(guess, plainer(scene)) and guess["layout"] == right["layout"]
            found.append((f"two things{never}: both, placed as said", placed))
    if scene.kind == "riding":
        ridden = guess["layout"] == "riding"
        found.append((f"riding{never}: rider and mount as said", ridden and agrees(guess, plainer(scene))))
        if named:
            found.append((f"riding{never}: as said, named colours too", ridden and agrees(guess, scene)))
    return found


def scores(guesses, scenes):
    """Shares of right answers, and how many captions ask each question."""
    tally = {}
    for guess, scene in zip(guesses, scenes):
        for name, right in marks(guess, scene):
            tally.setdefault(name, []).append(bool(right))
    return {name: {"share": float(np.mean(values)), "asked": len(values)} for name, values in tally.items()}


def held_out(count, mixture, seed=HELD_OUT_SEED):
    return [world.sample_scene(seed + i, mixture) for i in range(count)]


def renders(scenes):
    return np.stack([np.asarray(world.render(scene)) for scene in scenes])


def generate(model, captions, seeds, guidance, steps=25, silenced=None, batch=50):
    pictures = []
    progress = common.Progress(len(captions), every=2 * batch)
    for i in range(0, len(captions), batch):
        part = slice(i, i + batch)
        latents = model.sample(captions[part], seeds[part], guidance, steps, silenced and silenced[part])
        pictures.append(model.decode(latents))
        progress.step(min(i + batch, len(captions)))
    return np.concatenate(pictures)


def grouped_scenes(share):
    """The scenes of each group, in one list, and the same with each group's scenes changed round."""
    scenes, others = [], []
    for number, (_, mixture, count) in enumerate(GROUPS):
        group = held_out(max(2, round(count * share)), mixture, HELD_OUT_SEED + 500_000 * number)
        scenes += group
        others += group[len(group) // 2 :] + group[: len(group) // 2]
    return scenes, others


def measure_generation(model, judge, guidance, scenes):
    pictures = generate(model, [scene.caption for scene in scenes], list(range(len(scenes))), guidance)
    return judged(judge, pictures, model.device), pictures


def round_trip(model, pictures):
    """What the autoencoder makes of pictures."""
    return np.concatenate([model.decode(model.encode(pictures[i : i + 50])) for i in range(0, len(pictures), 50)])


def scenes_with(role, mixture, count, seed):
    """Scenes from which the word of a role may be missing."""
    found = []
    while len(found) < count:
        scene = world.sample_scene(seed, mixture)
        if role in world.roles(scene):
            found.append(scene)
        seed += 1
    return found


def gone_and_rest(guess, whole, role):
    """Is what the missing word said gone, and is all else that the caption says still there?

    A thing is gone when the judge counts one less; a colour, a size or a place, when it is as usual; a relation, when
    two things stand side by side, whichever way round.
    """
    left = world.without(whole, role)
    right = wanted(left)
    kind = role.split()[0]
    things = agrees(guess, left, either_way=left.relation == "and")
    ground = guess["place"] == right["place"] and (not left.background or guess["background"] == left.background)
    layout = guess["layout"] == right["layout"]
    if kind == "thing":
        return layout, layout and things and ground
    if kind == "colour":
        usual = replace(left, things=[replace(t, colour_word=t.colour_word or t.colour) for t in left.things])
        gone = agrees(guess, usual, either_way=left.relation == "and")
        return gone, gone and layout and ground
    if kind in ("size", "position"):
        gone = guess[kind] == ""
        return gone, gone and layout and things and ground
    if kind in ("relation", "riding"):
        gone = guess["layout"] == "beside"
        return gone, gone and things and ground
    gone = guess["place"] == "plain" and guess["background"] == ""
    return gone, gone and layout and things


def measure_missing(model, judge, guidance, share):
    """For each kind of word: how often it is gone, and gone with the rest as it was, by both ways of leaving it out."""
    pieces, result = Pieces(model.tokenizer), {}
    count = max(2, round(EACH_MISSING * share))
    for number, (name, role, mixture) in enumerate(MISSING):
        scenes = scenes_with(role, mixture, count, HELD_OUT_SEED + 50_000_000 + 100_000 * number)
        shorter = [replace(scene, words=world.taken_out(scene, role)).caption for scene in scenes]
        spans = [pieces.encode([word.text for word in scene.words])[1] for scene in scenes]
        silenced = [[p for k in world.silenced(s, role) for p in span[k]] for s, span in zip(scenes, spans)]
        seeds = list(range(count))
        pictures = {
            "taken out": generate(model, shorter, seeds, guidance),
            "silenced": generate(model, [scene.caption for scene in scenes], seeds, guidance, silenced=silenced),
        }
        result[name] = {}
        for way, made in pictures.items():
            found = [gone_and_rest(guess, s, role) for guess, s in zip(judged(judge, made, model.device), scenes)]
            gone, rest = np.mean(found, 0)
            result[name][way] = {"gone": float(gone), "gone, and the rest left": float(rest), "asked": count}
    return result


@torch.no_grad()
def attention_maps(model, pictures, captions):
    """Cross-attention at the middle of the schedule: (pictures, 77, SIZE, SIZE), averaged over heads and layers."""
    kept = []
    listening(model.unet, kept)
    share = common.alphas_cumprod()[MIDDLE]
    noise = torch.randn(len(pictures), 4, 16, 16, generator=torch.Generator().manual_seed(0)).to(model.device)
    noisy = share.sqrt() * model.encode(pictures) + (1 - share).sqrt() * noise
    model.unet(noisy, torch.tensor(MIDDLE), model.embed(captions))
    listening(model.unet)
    total = 0
    for layer in kept:
        side = int(layer.shape[1] ** 0.5)
        maps = layer.transpose(1, 2).unflatten(2, (side, side))
        total = total + F.interpolate(maps, (world.SIZE, world.SIZE), mode="bicubic")
    return (total / len(kept)).cpu().numpy()


def attention_and_masks(model, scenes):
    """A map from 0 to 1 and the true mask, for each thing that has a word of its own."""
    pieces, found = Pieces(model.tokenizer), []
    for i in range(0, len(scenes), 20):
        part = scenes[i : i + 20]
        maps = attention_maps(model, renders(part), [scene.caption for scene in part])
        for scene, tokens in zip(part, maps):
            _, spans = pieces.encode([word.text for word in scene.words])
            things = [thing.word for thing in scene.things]
            for k, (thing, mask) in enumerate(zip(scene.things, world.masks(scene))):
                if things.count(thing.word) == 1 and mask.any():
                    (word,) = world.silenced(scene, f"thing {k}")
                    heat = tokens[spans[word]].mean(0)
                    found.append(((heat - heat.min()) / (heat.max() - heat.min()), mask))
    return found


def iou(pairs, threshold):
    return np.mean([((heat > threshold) & mask).sum() / ((heat > threshold) | mask).sum() for heat, mask in pairs])


def measure_attention(model, count):
    """mIoU on `count` scenes, with the threshold that is best on as many others; beside it a box in the middle."""
    choose = attention_and_masks(model, held_out(count, UNSTYLED, ATTENTION_SEED))
    test = attention_and_masks(model, held_out(count, UNSTYLED, ATTENTION_SEED + 500_000))
    thresholds = np.arange(0.1, 0.9, 0.025)
    best = float(max(thresholds, key=lambda threshold: iou(choose, threshold)))
    y, x = np.mgrid[: world.SIZE, : world.SIZE] / world.SIZE - 0.5
    centre = 1 - np.maximum(np.abs(y), np.abs(x)) * 2
    box = max(thresholds, key=lambda threshold: iou([(centre, mask) for _, mask in choose], threshold))
    return {
        "mIoU": float(iou(test, best)),
        "threshold": best,
        "things": len(test),
        "mIoU of the best centred box": float(iou([(centre, mask) for _, mask in test], box)),
    }


def measure_autoencoder(model, count=64):
    """Root mean square error on held-out scenes, on a scale from -1 to 1: as the world has them, and by manner."""
    found = {}
    for name, mixture in [
        ("as the world has them", world.Mixture(missing=0.0)),
        ("without painters and dreams", UNSTYLED),
        ("painters and dreams", world.Mixture(missing=0.0, styled=1.0)),
    ]:
        pictures = renders(held_out(count, mixture, HELD_OUT_SEED + 20_000_000))
        error = (round_trip(model, pictures).astype(float) - pictures) / 127.5
        found[name] = float(np.sqrt((error**2).mean()))
    return found


def cosines(model):
    """Cosines between the token embeddings of words."""
    table = model.text_encoder.get_input_embeddings().weight.detach()

    def vector(word):
        return table[model.tokenizer(word, add_special_tokens=False).input_ids].mean(0)

    pairs = {f"{a} / {b}": F.cosine_similarity(vector(a), vector(b), dim=0) for a, b in PAIRS}
    return {pair: round(float(cosine), 3) for pair, cosine in pairs.items()}


def measure_strong_guidance(model, judge, work, guidance=7.5, seeds=4):
    """The card's prompts, four seeds each, at high guidance: sheets, and how often the judge sees all that is said."""
    captions = [caption for caption in STRONG for _ in range(seeds)]
    numbers = [first + i for first, _ in STRONG.values() for i in range(seeds)]
    result = {}
    for steps in (25, 100):
        pictures = generate(model, captions, numbers, guidance, steps)
        sheet(pictures, 2 * seeds, work / f"guidance-{guidance:g}-lms-{steps}.png")
        guesses = judged(judge, pictures, model.device)
        seen = [STRONG[c][1].items() <= guess.items() for c, guess in zip(captions, guesses)]
        result[f"{steps} steps"] = f"{sum(seen)} of {len(seen)}"
    return result


def sheet(pictures, columns, path):
    pictures = list(pictures) + [np.full_like(pictures[0], 255)] * (-len(pictures) % columns)
    rows = [np.concatenate(pictures[i : i + columns], 1) for i in range(0, len(pictures), columns)]
    image = Image.fromarray(np.concatenate(rows))
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def percent(value):
    return "" if value is None else f"{100 * value:.1f} %"


def score_table(columns):
    """Markdown: a row for each question, a column for each of the measured."""
    lines = [f"| asked of the picture | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name in sorted({name for result in columns.values() for name in result}):
        found = [result.get(name) for result in columns.values()]
        cells = [percent(score and score["share"]) for score in found]
        asked = next(score["asked"] for score in found if score)
        lines.append(f"| {name} ({asked}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def missing_table(result):
    ways = ("taken out", "silenced")
    heads = [f"{way}: {what}" for way in ways for what in ("gone", "gone, and the rest left")]
    lines = [f"| word | {' | '.join(heads)} |", "|---" * 5 + "|"]
    for name, measured in result.items():
        cells = [percent(measured[way][what]) for way in ways for what in ("gone", "gone, and the rest left")]
        lines.append(f"| {name} ({measured['silenced']['asked']}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def load_judge(work, device):
    judge = Judge().to(device, memory_format=torch.channels_last).eval()
    judge.load_state_dict(torch.load(work / "judge.pt", map_location=device))
    return judge


def samples(model, guidance, work):
    """The card's sheet: nothing is picked."""
    captions = [caption for caption in SHEET for _ in range(2)] + [FLAGSHIP] * 8
    seeds = [*range(2 * len(SHEET)), *range(8)]
    sheet(generate(model, captions, seeds, guidance), 8, work / "samples.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    common.add_device_options(parser)
    parser.add_argument("--checkpoint", required=True, help="the checkpoint's folder")
    parser.add_argument("--old", help="the folder of an older checkpoint, for comparison")
    parser.add_argument("--guidance", type=float, help="default: the checkpoint's own")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual number of pictures (default 1)")
    parser.add_argument("--only", choices=["generation", "missing", "attention", "strong", "autoencoder", "samples"])
    parser.add_argument("--sweep", help="only compare these guidance scales, separated by commas")
    options = parser.parse_args()
    work, device = common.prepare(options)
    model, judge = Model.load(options.checkpoint, device), load_judge(work, device)
    scenes, others = grouped_scenes(options.share)

    if options.sweep:
        for guidance in map(float, options.sweep.split(",")):
            guesses, pictures = measure_generation(model, judge, guidance, scenes)
            print(score_table({f"guidance {guidance:g}": scores(guesses, scenes)}), flush=True)
            sheet(pictures[:16], 8, work / f"guidance-{guidance:g}.png")
        return

    guidance = (
        options.guidance or json.loads((Path(options.checkpoint) / "diffuscope.json").read_text())["default_guidance"]
    )
    report, tables = {"guidance": guidance}, []

    def measure(part, make, table=lambda found: f"```\n{json.dumps(found, indent=2)}\n```"):
        if options.only in (None, part):
            report[part] = make()
            tables.append(f"## {part}\n\n{table(report[part])}")
            print(tables[-1], flush=True)

    def generation():
        guesses, pictures = measure_generation(model, judge, guidance, scenes)
        sheet(pictures[:: max(1, len(pictures) // 64)], 8, work / "generated.png")
        drawn = renders(scenes)
        columns = {
            "generated": scores(guesses, scenes),
            "wrong captions": scores(guesses, others),
            "renders": scores(judged(judge, drawn, device), scenes),
            "renders through the autoencoder": scores(judged(judge, round_trip(model, drawn), device), scenes),
        }
        if options.old:
            older = Model.load(options.old, device)
            own = json.loads((Path(options.old) / "diffuscope.json").read_text())["default_guidance"]
            columns["old model"] = scores(measure_generation(older, judge, own, scenes)[0], scenes)
        return columns

    if options.only in (None, "samples"):
        samples(model, guidance, work)
    measure("autoencoder", lambda: measure_autoencoder(model) | {"cosines": cosines(model)})
    measure("attention", lambda: measure_attention(model, max(2, round(100 * options.share))))
    measure("generation", generation, score_table)
    measure("missing", lambda: measure_missing(model, judge, guidance, options.share), missing_table)
    measure("strong", lambda: measure_strong_guidance(model, judge, work))
    (work / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n")
    (work / "evaluation.md").write_text("\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
