"""One convolution by three algorithms: they agree, and they take different times.

::

    x, w, dy -> naive, im2col, direct -> largest difference, milliseconds

`naive` loops over the definition in Python, so it computes one small image only. The other two also run on
the layers of `mnist_cnn`, with a batch of images.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from tinycnn import kernels

LAYERS = {  # (H, W, C), (KH, KW, F)
    "conv2d_1": ((28, 28, 1), (3, 3, 32)),
    "conv2d_2": ((26, 26, 32), (3, 3, 64)),
    "conv2d_3": ((12, 12, 64), (2, 2, 128)),
    "conv2d_4": ((11, 11, 128), (2, 2, 256)),
}
ALGORITHMS = ("naive", "im2col", "direct")
PASSES = ("conv2d", "conv2d_grad_input", "conv2d_grad_filter")
REPEATS = 3


def available() -> list[str]:
    """Return the algorithms that can run here: "direct" cannot where Numba does not compile."""
    return [name for name in ALGORITHMS if not kernels.choose("conv2d", name).refused]


def calls(
    algorithm: str, x: np.ndarray, w: np.ndarray, dy: np.ndarray
) -> dict[str, Callable[[], np.ndarray]]:
    """Return the three passes of one algorithm as functions without arguments."""
    return {
        "conv2d": lambda: kernels.conv2d(x, w, algorithm=algorithm),
        "conv2d_grad_input": lambda: kernels.conv2d_grad_input(dy, w, x.shape, algorithm=algorithm),
        "conv2d_grad_filter": lambda: kernels.conv2d_grad_filter(x, dy, w.shape, algorithm=algorithm),
    }


def arrays(images: int, image: tuple[int, int, int], kernel: tuple[int, int, int]) -> list[np.ndarray]:
    """Return random x (N, H, W, C), w (KH, KW, C, F) and dy (N, OH, OW, F)."""
    (H, W, C), (KH, KW, F) = image, kernel
    rng = np.random.default_rng(0)
    shapes = (images, H, W, C), (KH, KW, C, F), (images, H - KH + 1, W - KW + 1, F)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def milliseconds(call: Callable[[], np.ndarray]) -> float:
    """Return the shortest of a few calls, after one that is not counted."""
    call()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def agree() -> None:
    """Compare all algorithms with naive on one small image."""
    x, w, dy = arrays(1, (7, 6, 3), (3, 2, 5))
    print("One image 7x6x3, filters 3x2x3x5: largest difference from naive, relative to the largest value\n")
    reference = {name: call() for name, call in calls("naive", x, w, dy).items()}
    for algorithm in available():
        results = {name: call() for name, call in calls(algorithm, x, w, dy).items()}
        errors = {name: np.abs(y - reference[name]).max() / np.abs(y).max() for name, y in results.items()}
        print(f"{algorithm:8}", "  ".join(f"{name} {error:.1e}" for name, error in errors.items()))
        if max(errors.values()) > 1e-5:
            raise SystemExit(f"{algorithm} does not agree with naive")


def compare_times(images: int) -> None:
    """Time the faster algorithms on the layers of `mnist_cnn`."""
    print(f"\nMilliseconds for {images} images, the shortest of {REPEATS} calls (GFLOP/s)\n")
    for layer, (image, kernel) in LAYERS.items():
        x, w, dy = arrays(images, image, kernel)
        flop = 2 * dy.size * w[..., 0].size
        for algorithm in available()[1:]:
            times = {name: milliseconds(call) for name, call in calls(algorithm, x, w, dy).items()}
            row = "  ".join(f"{name} {ms:7.2f} ({flop / ms / 1e6:4.0f})" for name, ms in times.items())
            print(f"{layer} {algorithm:8} {row}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One convolution by three algorithms.")
    parser.add_argument("--images", type=int, default=32, help="in the timed batch; default: %(default)s")
    options = parser.parse_args()
    agree()
    compare_times(options.images)
