"""Memory of training, for each library in a process of its own.

::

    parent -> python benchmarks/memory.py Torch ... -> model, steps -> {"before": ..., "peak": ...} -> parent

`before` is the resident memory once the library is imported and the model is built. `peak` is the largest
resident memory until the end of the last step: weights, optimizer, activations, buffers, and whatever the
library loads or compiles at the first step. On Linux both are read from /proc/self/status (VmRSS, VmHWM),
since ru_maxrss of getrusage starts from that of the parent process. Elsewhere ru_maxrss is used.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import arguments
import peers
from networks import images_and_labels, resized_mnist_cnn

LIBRARIES = {name: getattr(peers, name) for name in ("Tinycnn", "Torch", "TorchChannelsLast", "Keras")}
STATUS = Path("/proc/self/status")


def resident() -> tuple[float, float]:
    """Return the current and the largest resident memory, in MiB."""
    if STATUS.exists():
        fields = dict(line.split(":", 1) for line in STATUS.read_text(encoding="utf-8").splitlines())
        now, most = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return now, most
    import resource  # not available on Windows, where memory is not measured

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return most, most


def measure(
    library: str, batch: int, image_size: tuple[int, int, int], steps: int, threads: int
) -> dict[str, Any]:
    """Return the memory before and after training steps, in this process, in MiB."""
    x, y = images_and_labels(batch, image_size)
    trainer = LIBRARIES[library](resized_mnist_cnn(image_size), threads)
    before, _ = resident()
    for _ in range(steps):
        trainer.step(x, y)
    return {"library": trainer.version, "before": before, "peak": resident()[1]}


def in_own_process(
    library: str, batch: int, image_size: tuple[int, int, int], steps: int, threads: int
) -> dict[str, Any]:
    """Return the result of `measure` in a new process.

    Raises
    ------
    SystemExit
        When the process failed, with the last line of its stderr.
    """
    options = ["--batch-size", batch, "--image-size", arguments.size_text(image_size)]
    options += ["--steps", steps, "--threads", threads]
    command = [sys.executable, __file__, library, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"--memory: the process for {library} ended with {done.returncode}: {last}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure one library and print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description="Print the memory that training takes with one library.")
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--batch-size", type=arguments.whole, default=128, help="images in a batch")
    parser.add_argument("--image-size", type=arguments.image_size, default="28x28x1", help="HxWxC")
    parser.add_argument("--steps", type=arguments.whole, default=5, help="training steps")
    parser.add_argument("--threads", type=arguments.threads, default=1, help="threads of the library")
    options = parser.parse_args()
    figures = measure(options.library, options.batch_size, options.image_size, options.steps, options.threads)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
