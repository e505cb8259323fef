"""PyTorch's DistributedDataParallel over gloo: the same network, batches and optimizer, on one machine.

::

    python benchmarks/distributed_torch.py --ranks 2 --threads 1 --batch-size 128 -> one line of JSON

Each rank is a process that takes its part of every batch. Gradients are averaged while the backward pass
runs, in PyTorch's buckets of 25 MB. The processes meet over the loopback interface. `distributed.py` runs it.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import arguments
import numpy as np
from networks import images_and_labels, resized_mnist_cnn
from peers import Torch, TorchChannelsLast

WARM_UP = 3  # steps that are not timed


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description="Time training steps of DistributedDataParallel over gloo.")
    parser.add_argument("--ranks", type=arguments.whole, default=2, help="processes")
    parser.add_argument("--threads", type=arguments.whole, default=1, help="of each process")
    parser.add_argument("--batch-size", type=arguments.wholes, default=[128], help="of all ranks together")
    parser.add_argument("--steps", type=arguments.whole, default=10, help="timed steps of each batch size")
    parser.add_argument("--channels-last", action="store_true", help="the other memory format")
    return parser.parse_args(argv)


def steps(peer: Any, rank: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the seconds of each timed step, for each batch size."""
    from torch.nn.parallel import DistributedDataParallel

    alone, found = peer.model, []
    peer.model = DistributedDataParallel(alone, gradient_as_bucket_view=True)
    for batch in options.batch_size:
        x, y = images_and_labels(batch * (WARM_UP + options.steps))
        order = np.random.default_rng(0).permutation(len(x))
        clock = []
        for number in range(WARM_UP + options.steps):
            rows = np.array_split(order[number * batch : (number + 1) * batch], options.ranks)[rank]
            peer.step(x[rows], y[rows])
            clock.append(time.perf_counter())
        found.append({"kind": "plain", "batch": batch, "seconds": np.diff(clock[WARM_UP - 1 :]).tolist()})
    peer.model = alone
    return found


def run(rank: int, options: argparse.Namespace, folder: str) -> None:
    """Measure as one rank; rank 0 writes what it found to a file in the folder."""
    import torch
    from torch import distributed

    os.environ["GLOO_SOCKET_IFNAME"] = options.interface
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=options.ranks)
    torch.manual_seed(rank)  # of the dropout masks
    model = resized_mnist_cnn()
    peer = (TorchChannelsLast if options.channels_last else Torch)(model, options.threads)
    images = images_and_labels(16)[0]
    if not np.abs(peer.predict(images) - model.predict(images)).max() < 1e-5:
        raise SystemExit("PyTorch predicts differently from the same weights")
    found = {"ranks": options.ranks, "threads": options.threads, "version": peer.version}
    found["steps"] = steps(peer, rank, options)
    distributed.barrier()
    if rank == 0:
        Path(folder, "found").write_text(json.dumps(found), encoding="utf-8")
    distributed.destroy_process_group()


def main(argv: list[str] | None = None) -> None:
    """Start the ranks, and print what they measured."""
    import torch.multiprocessing

    options = parse_arguments(argv)
    options.interface = "lo0" if os.uname().sysname == "Darwin" else "lo"
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(run, (options, folder), options.ranks)
        print(Path(folder, "found").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
