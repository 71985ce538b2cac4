"""Stage 7: measure the checkpoint.

Reads a checkpoint's folder and WORK/judge.pt, writes WORK/evaluation.json and sheets of samples. Captions are sampled
from the world with seeds that no training used. Measured are:

- the judge on held-out renders, on what the autoencoder makes of them, on generated pictures (LMS, 25 steps), and on
  the same generated pictures against each other's captions: the baseline of chance and habit;
- attention: a render is noised to timestep 500, the UNet runs once, the cross-attention of a thing's word is averaged
  over heads and layers, and compared with the thing's true mask; the threshold is chosen on other pictures (mIoU);
- cosines between embeddings of words.

    python evaluate.py --checkpoint ../checkpoint                 # everything
    python evaluate.py --checkpoint ../checkpoint --sweep 2,3,4,5,6,7.5    # which guidance suits it: judge only
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import common
import world
from sampling import Model
from train_judge import LAYOUTS, QUESTIONS, THINGS, UNASKED, Judge, answers

HELD_OUT_SEED = 900_000_000
ATTENTION_SEED = 910_000_000
UNSTYLED_ONE = world.Mixture(one=1.0, riding=0.0, styled=0.0)
UNSTYLED_TWO = world.Mixture(one=0.0, riding=0.0, styled=0.0)
AS_TRAINED = world.Mixture(styled=0.0)
MIDDLE = 500  # timestep
RIDING = "a photograph of an astronaut riding a horse"
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


def judged(judge, pictures, device):
    """The judge's answers, one array a question."""
    with torch.no_grad():
        parts = [judge(common.to_tensor(pictures[i : i + 50], device)) for i in range(0, len(pictures), 50)]
    return {name: torch.cat([part[name] for part in parts]).argmax(1).cpu().numpy() for name in QUESTIONS}


def scores(guesses, scenes):
    """Shares of right answers, and how many captions ask each question.

    Colours count where the caption names them, positions where it says left or right, the background's colour where
    it is named. Two things joined by "and" may stand either way round.
    """
    tally = {}

    def count(name, right):
        tally.setdefault(name, []).append(bool(right))

    for i, scene in enumerate(scenes):
        guess = {name: values[i] for name, values in guesses.items()}
        right = answers(scene.as_dict())
        count("place", guess["place"] == right["place"])
        if right["background"] != UNASKED:
            count("background colour", guess["background"] == right["background"])
        if scene.kind == "one":
            count("one: thing", guess["first"] == right["first"])
            if scene.things[0].colour_word:
                count("one: colour", guess["first_colour"] == right["first_colour"])
            if scene.position:
                count("one: left or right", guess["position"] == right["position"])
        if scene.kind == "two":
            _count_two(count, guess, right, scene)
    return {name: {"share": float(np.mean(values)), "asked": len(values)} for name, values in tally.items()}


def _count_two(count, guess, right, scene):
    slots = ("first", "second")
    found = [(guess[slot], guess[f"{slot}_colour"]) for slot in slots]
    wanted = [(right[slot], right[f"{slot}_colour"]) for slot in slots]
    orders = [wanted, wanted[::-1]]
    count("two: both things", any([t for t, _ in found] == [t for t, _ in order] for order in orders))
    if all(thing.colour_word for thing in scene.things):
        count("two: both things and colours", any(found == order for order in orders))
    if scene.relation != "and" and scene.things[0].name != scene.things[1].name:
        placed = [t for t, _ in found] == [t for t, _ in wanted] and guess["layout"] == right["layout"]
        count("two: both things, placed as said", placed)


def held_out(count, mixture, seed=HELD_OUT_SEED):
    return [world.sample_scene(seed + i, mixture) for i in range(count)]


def renders(scenes):
    return np.stack([np.asarray(world.render(scene)) for scene in scenes])


def generate(model, captions, seeds, guidance, batch=50):
    pictures = []
    progress = common.Progress(len(captions), every=2 * batch)
    for i in range(0, len(captions), batch):
        latents = model.sample(captions[i : i + batch], seeds[i : i + batch], guidance)
        pictures.append(model.decode(latents))
        progress.step(min(i + batch, len(captions)))
    return np.concatenate(pictures)


def other_captions(scenes):
    """Each picture gets the scene that was asked of another one."""
    return scenes[len(scenes) // 2 :] + scenes[: len(scenes) // 2]


def judge_generation(model, judge, guidance, one, two):
    """Scores of generated pictures, and of the same pictures against each other's captions."""
    groups = [held_out(one, UNSTYLED_ONE), held_out(two, UNSTYLED_TWO, HELD_OUT_SEED + 500_000)]
    scenes = groups[0] + groups[1]
    pictures = generate(model, [scene.caption for scene in scenes], list(range(len(scenes))), guidance)
    guesses = judged(judge, pictures, model.device)
    wrong = other_captions(groups[0]) + other_captions(groups[1])
    return scores(guesses, scenes), scores(guesses, wrong), pictures


class Probabilities:
    """Does attention as it is usually done, and keeps the cross-attention's probabilities, averaged over heads."""

    def __init__(self, kept):
        self.kept = kept

    def __call__(self, attention, hidden_states, encoder_hidden_states=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attention.head_to_batch_dim(project(source))
            for project, source in (
                (attention.to_q, hidden_states),
                (attention.to_k, context),
                (attention.to_v, context),
            )
        )
        probabilities = attention.get_attention_scores(query, key)
        if encoder_hidden_states is not None:
            self.kept.append(probabilities.unflatten(0, (-1, attention.heads)).mean(1))
        out = attention.batch_to_head_dim(torch.bmm(probabilities, value))
        return attention.to_out[1](attention.to_out[0](out))


@torch.no_grad()
def attention_maps(model, pictures, captions):
    """Cross-attention at the middle of the schedule: (pictures, 77, SIZE, SIZE), averaged over heads and layers."""
    kept = []
    usual = model.unet.attn_processors
    model.unet.set_attn_processor(Probabilities(kept))
    share = common.alphas_cumprod()[MIDDLE]
    noise = torch.randn(len(pictures), 4, 16, 16, generator=torch.Generator().manual_seed(0)).to(model.device)
    noisy = share.sqrt() * model.encode(pictures) + (1 - share).sqrt() * noise
    model.unet(noisy, torch.tensor(MIDDLE), model.embed(captions))
    model.unet.set_attn_processor(usual)
    total = 0
    for layer in kept:
        side = int(layer.shape[1] ** 0.5)
        maps = layer.transpose(1, 2).unflatten(2, (side, side))
        total = total + F.interpolate(maps, (world.SIZE, world.SIZE), mode="bicubic")
    return (total / len(kept)).cpu().numpy()


def word_positions(tokenizer, caption, word):
    """Positions of each occurrence of a word: lists of tokens."""
    ids = common.token_ids(tokenizer, [caption])[0].tolist()
    piece = tokenizer(word, add_special_tokens=False).input_ids
    starts = [i for i in range(len(ids)) if ids[i : i + len(piece)] == piece]
    return [list(range(start, start + len(piece))) for start in starts]


def attention_and_masks(model, scenes):
    """A map from 0 to 1 and the true mask, for each thing that has a word of its own."""
    found = []
    for i in range(0, len(scenes), 20):
        part = scenes[i : i + 20]
        maps = attention_maps(model, renders(part), [scene.caption for scene in part])
        for scene, tokens in zip(part, maps):
            for thing, mask in zip(scene.things, world.masks(scene)):
                positions = word_positions(model.tokenizer, scene.caption, thing.word)
                if len(positions) == 1 and mask.any():
                    heat = tokens[positions[0]].mean(0)
                    found.append(((heat - heat.min()) / (heat.max() - heat.min()), mask))
    return found


def iou(pairs, threshold):
    return np.mean([((heat > threshold) & mask).sum() / ((heat > threshold) | mask).sum() for heat, mask in pairs])


def measure_attention(model, count):
    """mIoU on `count` scenes, with the threshold that is best on as many others; beside it a box in the middle."""
    choose = attention_and_masks(model, held_out(count, AS_TRAINED, ATTENTION_SEED))
    test = attention_and_masks(model, held_out(count, AS_TRAINED, ATTENTION_SEED + 500_000))
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


def cosines(model):
    """Cosines between the token embeddings of words."""
    table = model.text_encoder.get_input_embeddings().weight.detach()

    def vector(word):
        return table[model.tokenizer(word, add_special_tokens=False).input_ids].mean(0)

    pairs = {f"{a} / {b}": F.cosine_similarity(vector(a), vector(b), dim=0) for a, b in PAIRS}
    return {pair: round(float(cosine), 3) for pair, cosine in pairs.items()}


def sheet(pictures, columns, path):
    rows = [np.concatenate(list(pictures[i : i + columns]), 1) for i in range(0, len(pictures), columns)]
    image = Image.fromarray(np.concatenate(rows))
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def print_scores(title, result):
    print(title)
    for name, score in result.items():
        print(f"  {name}: {100 * score['share']:.1f} % of {score['asked']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    common.add_device_options(parser)
    parser.add_argument("--checkpoint", required=True, help="the checkpoint's folder")
    parser.add_argument("--guidance", type=float, help="default: the checkpoint's own")
    parser.add_argument("--one", type=int, default=360, help="generated pictures of one thing (default 360)")
    parser.add_argument("--two", type=int, default=200, help="generated pictures of two things (default 200)")
    parser.add_argument("--renders", type=int, default=800, help="held-out renders for the judge (default 800)")
    parser.add_argument("--maps", type=int, default=150, help="scenes for the attention's mIoU (default 150)")
    parser.add_argument("--sweep", help="only compare these guidance scales, separated by commas")
    options = parser.parse_args()
    work, device = common.prepare(options)
    model = Model.load(options.checkpoint, device)
    judge = Judge().to(device, memory_format=torch.channels_last).eval()
    judge.load_state_dict(torch.load(work / "judge.pt", map_location=device))

    if options.sweep:
        for guidance in map(float, options.sweep.split(",")):
            right, _, pictures = judge_generation(model, judge, guidance, options.one, options.two)
            print_scores(f"guidance {guidance:g}", right)
            sheet(pictures[:16], 8, work / f"guidance-{guidance:g}.png")
        return

    ours = json.loads((Path(options.checkpoint) / "diffuscope.json").read_text())
    guidance = options.guidance or ours["default_guidance"]
    report = {"guidance": guidance, "cosines": cosines(model)}
    print(json.dumps(report, indent=2), flush=True)

    captions = [caption for caption in SHEET for _ in range(2)]
    samples = generate(model, captions + [RIDING] * 12, [*range(len(captions)), *range(12)], guidance)
    sheet(samples[: len(captions) + 8], 8, work / "samples.png")
    sheet(samples[len(captions) :], 6, work / "riding.png")
    riding = judged(judge, samples[len(captions) :], device)
    seen = (riding["layout"] == LAYOUTS.index("riding")) & (riding["first"] == THINGS.index("horse"))
    report["riding, seen by the judge"] = f"{int(seen.sum())} of {len(seen)}"

    report["attention"] = measure_attention(model, options.maps)
    print(json.dumps(report["attention"], indent=2), flush=True)

    scenes = held_out(options.renders, AS_TRAINED, HELD_OUT_SEED + 1_000_000)
    drawn = renders(scenes)
    through = np.concatenate([model.decode(model.encode(drawn[i : i + 50])) for i in range(0, len(drawn), 50)])
    report["renders"] = scores(judged(judge, drawn, device), scenes)
    print_scores("held-out renders", report["renders"])
    report["reconstructions"] = scores(judged(judge, through, device), scenes)
    print_scores("the same through the autoencoder", report["reconstructions"])

    right, wrong, _ = judge_generation(model, judge, guidance, options.one, options.two)
    report["generated"], report["generated, wrong captions"] = right, wrong
    print_scores("generated", right)
    print_scores("generated, against each other's captions", wrong)
    (work / "evaluation.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
