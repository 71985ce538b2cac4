"""Stage 1: draw the pictures.

Writes WORK/pictures.npy (count x 128 x 128 x 3 bytes) and WORK/scenes.jsonl (one scene a line, caption included).
Picture i is the scene of seed SEED + i, whatever the number of processes.

    python generate.py --count 30000
"""

import argparse
import json
import multiprocessing
from pathlib import Path

import numpy as np

import common
import world


def _draw(job):
    path, index, seed = job
    scene = world.sample_scene(seed)
    np.load(path, mmap_mode="r+")[index] = np.asarray(world.render(scene))
    return json.dumps(scene.as_dict())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_work_option(parser)
    parser.add_argument("--count", type=int, default=30000, help="pictures (default 30000)")
    parser.add_argument("--seed", type=int, default=1_000_000, help="seed of the first scene (default 1000000)")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count(), help="default: one a core")
    options = parser.parse_args()
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    partial = work / "pictures.partial.npy"
    shape = (options.count, world.SIZE, world.SIZE, 3)
    np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape).flush()
    jobs = ((str(partial), i, options.seed + i) for i in range(options.count))
    progress = common.Progress(options.count, every=2000)
    with multiprocessing.Pool(options.processes) as pool, common.replacing(work / "scenes.jsonl") as lines:
        with open(lines, "w") as file:
            for i, line in enumerate(pool.imap(_draw, jobs, chunksize=250)):
                file.write(line + "\n")
                progress.step(i + 1)
    partial.rename(work / "pictures.npy")


if __name__ == "__main__":
    main()
