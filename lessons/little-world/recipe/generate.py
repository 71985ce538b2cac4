"""Stage 1: draw the pictures.

Writes FOLDER/pictures.npy (count x 128 x 128 x 3 bytes) and FOLDER/scenes.jsonl (one scene a line, caption included),
where FOLDER is WORK, or WORK/judge for the judge's pictures. Those show every pair of things, also the ones that the
training never shows, and no painter's manner: the judge must know what it is to recognise. Picture i is the scene of
seed SEED + i, whatever the number of processes.

    python generate.py --count 48000
    python generate.py --count 16000 --judge
"""

import argparse
import json
import multiprocessing
from pathlib import Path

import numpy as np

import common
import world

TRAINING_SEED, JUDGE_SEED = 1_000_000, 100_000_000
JUDGE = world.Mixture(styled=0.0, pairs="all")


def _draw(job):
    path, index, seed, mixture = job
    scene = world.sample_scene(seed, mixture)
    np.load(path, mmap_mode="r+")[index] = np.asarray(world.render(scene))
    return json.dumps(scene.as_dict())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    parser.add_argument("--count", type=int, default=48000, help="pictures (default 48000)")
    parser.add_argument("--judge", action="store_true", help="draw the judge's pictures")
    parser.add_argument("--seed", type=int, help=f"of the first scene (default {TRAINING_SEED}; judge {JUDGE_SEED})")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count(), help="default: one a core")
    options = parser.parse_args()
    folder = Path(options.work) / ("judge" if options.judge else "")
    mixture = JUDGE if options.judge else world.Mixture()
    first = options.seed or (JUDGE_SEED if options.judge else TRAINING_SEED)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "pictures.partial.npy"
    shape = (options.count, world.SIZE, world.SIZE, 3)
    np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape).flush()
    jobs = ((str(partial), i, first + i, mixture) for i in range(options.count))
    progress = common.Progress(options.count, every=2000)
    with multiprocessing.Pool(options.processes) as pool, common.replacing(folder / "scenes.jsonl") as lines:
        with open(lines, "w") as file:
            for i, line in enumerate(pool.imap(_draw, jobs, chunksize=250)):
                file.write(line + "\n")
                progress.step(i + 1)
    partial.rename(folder / "pictures.npy")


if __name__ == "__main__":
    main()
