"""Images a second of a training step and of inference, beside other libraries, all in one run.

::

    python benchmarks/training.py --peers torch,keras

First all libraries get the same weights and must predict the same. Then they are timed in turn, A B C A B C,
so that a machine whose speed drifts is unkind to all of them alike; each turn is a few calls, of which the
median counts. Threads are pinned to the same number for everyone. The table is printed, and written as JSON.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from peers import PEERS, Tinycnn

import tinycnn
from tinycnn.datasets import load_mnist, scale_images

CALLS = 3  # in one turn
WARM_UP = 4


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Time training steps and inference beside other libraries.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--peers", default="", help=f"names of {','.join(PEERS)}, with commas between")
    parser.add_argument("--batch-size", type=int, default=128, help="images in a batch")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each library")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for each library")
    parser.add_argument("--json", type=Path, default=Path("training.json"), help="where to write the figures")
    options = parser.parse_args()
    options.peers = [name for name in options.peers.split(",") if name]
    for name in options.peers:
        if name not in PEERS:
            parser.error(f"--peers: expected names of {', '.join(PEERS)}, received {name!r}")
    return options


def check(libraries: list, x: np.ndarray) -> None:
    """Stop unless every library predicts the same from the same weights."""
    expected = libraries[0].predict(x)
    for library in libraries[1:]:
        difference = np.abs(library.predict(x) - expected).max()
        if not difference < 1e-5:
            raise SystemExit(f"{library.version} predicts otherwise: largest difference {difference:.1e}")
    print(f"All {len(libraries)} predict the same. Starting benchmarks.\n")


def interleaved(calls: list[Callable[[], object]], rounds: int) -> list[np.ndarray]:
    """Return the seconds of every call, of each function."""
    seconds: list[list[float]] = [[] for _ in calls]
    for call in calls:
        for _ in range(WARM_UP):
            call()
    for _ in range(rounds):
        for call, times in zip(calls, seconds, strict=True):
            for _ in range(CALLS):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
    return [np.array(times) for times in seconds]


def report(what: str, libraries: list, seconds: list[np.ndarray], images: int) -> list[dict]:
    """Print a table and return its rows."""
    print(
        f"{what}, {images} images\n{'':44} {'median ms':>10} {'10 % - 90 %':>16} {'images/s':>9} {'ratio':>6}"
    )
    own = np.median(seconds[0])
    rows = []
    for library, times in zip(libraries, seconds, strict=True):
        median, low, high = np.median(times), *np.percentile(times, [10, 90])
        rows.append(
            {"library": library.version, "what": what, "ms": 1e3 * median, "images/s": images / median}
        )
        rate, spread = images / median, f"{1e3 * low:.1f} - {1e3 * high:.1f}"
        print(f"{library.version:44} {1e3 * median:10.1f} {spread:>16} {rate:9.0f} {median / own:6.2f}")
    print()
    return rows


def main() -> None:
    options = parse_arguments()
    (images, labels), _ = load_mnist()
    x, y = scale_images(images[: options.batch_size]), labels[: options.batch_size].astype(np.int64)
    model = tinycnn.mnist_cnn(seed=0)
    libraries: list = [Tinycnn(model, options.threads)]
    for name in options.peers:
        libraries += [peer(model, options.threads) for peer in PEERS[name]]
    machine = f"{platform.machine()}, {options.threads} threads, Python {platform.python_version()}"
    machine += f", NumPy {np.__version__}"
    print(f"{machine}; ratio: how many times as long as tinycnn\n")
    check(libraries, x)
    rows = []
    steps = interleaved([lambda lib=lib: lib.step(x, y) for lib in libraries], options.rounds)
    rows += report("training step", libraries, steps, len(x))
    predictions = interleaved([lambda lib=lib: lib.predict(x) for lib in libraries], options.rounds)
    rows += report("inference", libraries, predictions, len(x))
    options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {options.json}.")


if __name__ == "__main__":
    main()
