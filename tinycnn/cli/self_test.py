"""Self-test of the kernels, in a process of its own: forced instructions may end it.

::

    python -m tinycnn.cli.self_test -> one JSON object on stdout: algorithms, prediction, threads, cache

Each algorithm computes a small convolution and its gradients, which are compared with the definition. The
trained network of the package predicts five test images.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tinycnn
from tinycnn import kernels
from tinycnn.cli import output
from tinycnn.datasets import load_mnist, scale_images

TOLERANCE = 1e-4  # of the largest value; rounding in float32 is about a hundredth of it
IMAGES = 5


def main() -> None:
    """Print the report."""
    output.say_json(report())


def report() -> dict[str, Any]:
    """Return the results of all tests and what Numba runs on; an error is text in the place of a result."""
    cache = attempt(cache_facts)  # first, since the tests compile damaged entries again
    algorithms = {name: attempt(partial(compare, name)) for name in kernels.ALGORITHMS}
    prediction = attempt(predict)
    return {
        "algorithms": algorithms,
        "prediction": prediction,
        "kernels": {**cache, **attempt(numba_facts)},
    }


def attempt(test: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of a test, or its error; with the seconds that it took."""
    start = time.perf_counter()
    try:
        result = test()
    except Exception as error:  # a broken installation can raise anything
        result = {"good": False, "error": f"{type(error).__name__}: {error}"}
    return {**result, "seconds": time.perf_counter() - start}


def compare(algorithm: str) -> dict[str, Any]:
    """Return the largest difference of a convolution and its gradients from the definition."""
    rng = np.random.default_rng(0)
    x, w, dy = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((2, 9, 8, 4), (3, 3, 4, 6), (2, 7, 6, 6))
    )
    operations: list[Callable[[str], np.ndarray]] = [
        lambda name: kernels.conv2d(x, w, algorithm=name),
        lambda name: kernels.conv2d_grad_input(dy, w, x.shape, algorithm=name),
        lambda name: kernels.conv2d_grad_filter(x, dy, w.shape, algorithm=name),
    ]
    errors = []
    for operation in operations:
        expected, received = operation("naive"), operation(algorithm)
        errors.append(float(np.abs(received - expected).max() / np.abs(expected).max()))
    return {"good": all(error <= TOLERANCE for error in errors), "difference": max(errors)}


def predict() -> dict[str, Any]:
    """Return whether the trained network recognises the first test images, after the data were checked."""
    _, (images, labels) = load_mnist()
    outputs = tinycnn.load_pretrained("mnist_cnn").predict(scale_images(images[:IMAGES]))
    received, expected = outputs.argmax(axis=1).tolist(), labels[:IMAGES].tolist()
    return {"good": received == expected, "expected": expected, "received": received}


def numba_facts() -> dict[str, Any]:
    """Return what kernels run on: vectors and threads."""
    from tinycnn.kernels.primitives import target

    return {"good": True, **target.describe()}


def cache_folders() -> list[Path]:
    """Return the folders that compiled kernels are kept in, one for each folder of sources."""
    from tinycnn.kernels import adam
    from tinycnn.kernels.conv import direct
    from tinycnn.kernels.dense import blocked
    from tinycnn.kernels.depthwise import direct as depthwise
    from tinycnn.kernels.fused import conv_maxpool
    from tinycnn.kernels.pool import direct as pool
    from tinycnn.kernels.primitives import simd
    from tinycnn.kernels.runtime import cache, jit

    found = set()
    for function in (  # one of each folder
        *(adam.update, direct.conv2d, blocked.matmul, conv_maxpool.conv2d_maxpool, pool.maxpool2d),
        *(depthwise.depthwise_conv2d, simd.Simd.__init__, jit.code_as_text),
    ):
        try:
            found.add(Path(cache.KernelCache(function, "").cache_path))
        except RuntimeError:  # no folder is writable
            continue
    return sorted(found)


def cache_facts() -> dict[str, Any]:
    """Return the folders of the compilation cache, as they are now."""
    from tinycnn.kernels.runtime import jit

    return {"cache": [folder_facts(folder, jit.sources_stamp()) for folder in cache_folders()]}


def folder_facts(folder: Path, stamp: str) -> dict[str, Any]:
    """Return the size of a cache folder and its entries by their state."""
    from tinycnn.kernels.runtime import cache

    files = [path for path in folder.glob("*.nb[ic]") if path.is_file()]
    counts = cache.survey(folder, stamp)
    return {
        "folder": str(folder),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        **{state: counts[state] for state in ("current", "outdated", "damaged", "other")},
    }


if __name__ == "__main__":
    main()
