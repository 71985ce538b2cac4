"""Several processes that share each training step.

On a CPU that other work shares, several workers of one thread each get further than one process with several threads:
they wait for each other once a step instead of at every operation.
"""

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing


def add_workers_option(parser):
    parser.add_argument("--workers", type=int, default=1, help="processes that share each step (CPU; default 1)")


def spawn(train, options):
    """Calls `train(worker, options)` in each worker."""
    work = Path(options.work)
    (work / "workers").unlink(missing_ok=True)  # where an interrupted run's workers met
    torch.multiprocessing.spawn(_meet, (train, options), options.workers)


def _meet(worker, train, options):
    meeting = f"file://{(Path(options.work) / 'workers').absolute()}"
    dist.init_process_group("gloo", meeting, rank=worker, world_size=options.workers)
    train(worker, options)
    dist.destroy_process_group()


def share_gradients(parameters, losses):
    """Averages gradients over the workers; returns the average of `losses`, a vector."""
    parts = [p.grad.flatten() for p in parameters]
    flat = torch.cat([*parts, losses.detach()])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    *shared, losses = flat.split([part.numel() for part in parts] + [len(losses)])
    for p, part in zip(parameters, shared):
        p.grad.copy_(part.view_as(p))
    return losses
