"""Checks of results, made before a kernel is timed.

::

    judge(function, arguments, expected) -> Verdict: right, wrong (with the reason) or refused
    check_everywhere(function, name) -> a Verdict for each shape where kernels go wrong

The error is the root mean square of the differences from the float64 result, relative to the root mean square
of that result. float32 kernels have 1e-7 to 2e-6, Winograd's filter gradients up to 4e-6. A filter gradient
in one plain float32 sum has 4e-6 to 5e-6 for a batch of 128. It grows with the square root of the batch, and
is rejected beyond that.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from cases import Conv, reference

LIMIT = 5e-6


class Verdict(NamedTuple):
    """Result of one check: "right", "wrong" or "refused", the relative error, and a reason in one line."""

    kind: str
    error: float | None = None
    reason: str = ""


def relative_error(result: np.ndarray, expected: np.ndarray, scale: np.ndarray | None = None) -> float:
    """Return rms(result - expected) / rms(scale); `scale` is `expected` unless given."""
    difference = result.astype(np.float64) - expected
    size = np.sqrt(np.mean(np.square(expected if scale is None else scale)))
    return float(np.sqrt(np.mean(np.square(difference))) / max(size, 1e-300))


def judge(
    function: Callable[..., Any],
    arguments: dict[str, Any],
    expected: np.ndarray,
    scale: np.ndarray | None = None,
) -> Verdict:
    """Call a function and compare its result.

    Parameters
    ----------
    function : callable
    arguments : dict
        By name. The function must not change arrays; if it does, they are restored.
    expected : ndarray of float64
    scale : ndarray of float64, optional
        Replaces `expected` as the denominator of the error, where it may be near zero by chance.
    """
    before = {name: value.copy() for name, value in arguments.items() if isinstance(value, np.ndarray)}
    try:
        result = function(**arguments)
    except (ValueError, NotImplementedError) as error:
        return Verdict("refused", reason=first_line(error))
    except (
        Exception
    ) as error:  # an unfinished kernel may raise anything, which is reported and does not end the run
        return Verdict("wrong", reason=f"raises {type(error).__name__}: {first_line(error)}")
    changed = [name for name, value in before.items() if not np.array_equal(value, arguments[name])]
    for name in changed:
        arguments[name][...] = before[name]
    if changed:
        return Verdict("wrong", reason=f"writes to its input {', '.join(changed)}")
    return compare(result, expected, scale)


def compare(result: Any, expected: np.ndarray, scale: np.ndarray | None = None) -> Verdict:
    """Return the verdict on the type, the shape, the dtype and the values of a result."""
    if not isinstance(result, np.ndarray):
        return Verdict("wrong", reason=f"returns {type(result).__name__}, expected an ndarray")
    if result.shape != expected.shape:
        return Verdict("wrong", reason=f"returns shape {result.shape}, expected {expected.shape}")
    if result.dtype != np.float32:
        return Verdict("wrong", reason=f"returns {result.dtype} for float32")
    if not np.isfinite(result).all():
        count = int((~np.isfinite(result)).sum())
        return Verdict("wrong", reason=f"{count} of {result.size} values are NaN or infinite")
    error = relative_error(result, expected, scale)
    if error <= LIMIT:
        return Verdict("right", error)
    worst = np.unravel_index(np.argmax(np.abs(result - expected)), expected.shape)
    place = ", ".join(map(str, worst))
    values = f"{result[worst]:.6g} instead of {expected[worst]:.6g}"
    return Verdict("wrong", error, f"relative error {error:.1e}, worst at [{place}]: {values}")


def first_line(error: Exception) -> str:
    """Return the first line of the message of an error, cut to 90 characters."""
    lines = str(error).strip().splitlines() or ["no message"]
    return lines[0] if len(lines[0]) <= 90 else lines[0][:87] + "..."


def adversarial() -> Iterator[tuple[int, Conv]]:
    """Yield (batch, Conv) where kernels go wrong: remainders of all blocks and vectors, and single pixels.

    Each number of channels out of 1, 3, 17 and 33 is combined with outputs of 1, 7 and 11 and filters of 2
    and 3. Then come oblong shapes, strides, padding, dilation, and all of them together with spare pixels.
    """
    sizes = (1, 3, 17, 33)
    for number, channels in enumerate(sizes):
        for step, out in enumerate((1, 7, 11)):
            for kernel in (2, 3):
                turn = number + step + kernel
                yield (1, 2, 5)[turn % 3], Conv((out, out), channels, sizes[turn % 4], (kernel, kernel))
    pads = (((1, 1), (1, 1)), ((0, 2), (1, 0)))
    for batch, (OH, OW), channels, filters in ((2, (7, 11), 3, 17), (5, (11, 1), 17, 33), (1, (7, 7), 33, 3)):
        yield batch, Conv((OH, OW), channels, filters, (3, 2))
        yield batch, Conv((OH, OW), channels, filters, (1, 1))
        yield batch, Conv((OH, OW), channels, filters, (3, 3), strides=(2, 1))
        yield batch, Conv((OH, OW), channels, filters, (3, 3), dilation=(1, 2))
        for padding in pads:
            yield batch, Conv((OH, max(OW, 3)), channels, filters, (3, 3), padding=padding)
        yield batch, Conv((OH, max(OW, 3)), channels, filters, (2, 3), (2, 3), pads[1], (3, 1), spare=(1, 2))


def check_everywhere(function: Callable[..., Any], name: str) -> Iterator[tuple[str, Verdict]]:
    """Yield the description of each adversarial shape, and the verdict on a function there.

    Every other shape has no bias.

    Parameters
    ----------
    function : callable
        With the arguments of the function `name` in `tinycnn.kernels.conv.naive`.
    name : "conv2d", "conv2d_grad_input" or "conv2d_grad_filter"
    """
    for seed, (batch, conv) in enumerate(adversarial()):
        arrays = conv.arrays(batch, seed)
        without_bias = name == "conv2d" and seed % 2 == 1
        if without_bias:
            arrays["b"][...] = 0
        expected = reference(conv, name, arrays)
        magnitudes = reference(conv, name, {key: np.abs(array) for key, array in arrays.items()})
        arguments = conv.arguments(name, arrays) | ({"b": None} if without_bias else {})
        verdict = judge(function, arguments, expected, magnitudes)
        yield conv.describe(batch) + ", no bias" * without_bias, verdict
