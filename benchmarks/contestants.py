"""Who computes one pass of one convolution: the library's algorithms, a file of your own, and the peers.

::

    Problem (layer, pass, arrays) -> Contestant: call() to be timed, answer() to be checked

The peers get their arrays once, in the memory order that they like, and give their results in it; turning
them is not timed. PyTorch is timed in both of its memory formats.
"""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from cases import PASSES, Conv, reference

#: What of dL/d(pooled output) is not zero, after a ReLU that lets three in four through and a dropout of
#: 0.25: 0.14 of the convolution's own output.
POOLED_DENSITY = 0.56
TORCH = ("torch", "torch channels_last")  # its two memory formats


class Problem:
    """One pass of one convolution, with its arrays and its float64 result."""

    def __init__(self, layer: str, conv: Conv, word: str, batch: int, arrays: dict[str, np.ndarray]) -> None:
        self.layer, self.conv, self.word, self.batch, self.arrays = layer, conv, word, batch, arrays
        self.title, self.function = PASSES[word]
        self.arguments = conv.arguments(self.function, arrays)
        self.expected = reference(conv, self.function, arrays)
        self.flops = conv.flops(batch)


class Contestant(NamedTuple):
    """Somebody who solves a problem.

    `call` takes `arguments` and returns a result of its own kind; `answer` makes of that an array in
    tinycnn's order. `traffic` is the compulsory one in bytes.
    """

    who: str
    call: Callable[..., Any]
    arguments: dict[str, Any]
    answer: Callable[[Any], np.ndarray]
    expected: np.ndarray
    traffic: int


def _as_it_is(result: Any) -> Any:
    return result


def _first(result: Any) -> Any:
    """Return the filter's gradient without that of the bias, where both were computed."""
    return result[0] if isinstance(result, tuple) else result


def from_function(who: str, function: Callable[..., Any], problem: Problem) -> Contestant:
    """Return a contestant for a function with the signature of `tinycnn.kernels.naive`."""
    traffic = problem.conv.traffic(problem.function, problem.batch)
    return Contestant(who, function, problem.arguments, _as_it_is, problem.expected, traffic)


def algorithm(name: str, problem: Problem) -> Contestant:
    """Return an algorithm of the library."""
    module = importlib.import_module(f"tinycnn.kernels.{name}")
    return from_function(name, getattr(module, problem.function), problem)


def pooled(problem: Problem) -> Contestant:
    """Return the library's gradients through a max-pool, which multiply only what is not zero.

    This is what a stage runs in the backward pass of the documented network, where conv2 and conv4 are
    followed by ReLU, max-pool and dropout. Its operand is the gradient of the pooled output with the places
    of the winners; the result is checked against the reference of the dense gradient that this stands for.
    """
    function = getattr(importlib.import_module("tinycnn.kernels.pooled"), problem.function)
    conv, arrays = problem.conv, problem.arrays
    rng = np.random.default_rng(1)
    N, OH, OW, F = arrays["dy"].shape
    shape = N, OH // 2, OW // 2, F
    reached = rng.random(shape) < POOLED_DENSITY
    dp = rng.standard_normal(shape, np.float32) * reached
    winner = np.where(reached, rng.integers(0, 4, shape), 4).astype(np.uint8)  # 4: the gradient ends here
    dense = np.zeros_like(arrays["dy"])
    for place in range(4):
        row, column = divmod(place, 2)
        window = dense[:, row : OH // 2 * 2 : 2, column : OW // 2 * 2 : 2]
        window += np.where(winner == place, dp, 0)
    expected = reference(conv, problem.function, arrays | {"dy": dense})
    x, w = arrays["x"], arrays["w"]
    to_input = problem.function == "conv2d_grad_input"
    operands = (dp, winner, w, x.shape) if to_input else (x, dp, winner, w.shape)
    call = partial(function, *operands, conv.padding, (2, 2), (2, 2))
    saved = dense.nbytes - dp.nbytes - winner.nbytes
    traffic = conv.traffic(problem.function, problem.batch) - saved
    return Contestant("pooled", call, {}, _first, expected, traffic)


def torch_formats(problem: Problem, threads: int) -> Iterator[Contestant]:
    """Yield PyTorch's kernels, in both memory formats: conv2d, and what its autograd calls for a gradient."""
    import torch

    torch.set_num_threads(threads)
    conv, arrays = problem.conv, problem.arrays
    if any(before != after for before, after in conv.padding):
        raise ValueError("torch: expected the same padding on both sides")
    pads = [before for before, _ in conv.padding]
    geometry = list(conv.strides), pads, list(conv.dilation)
    order = (0, 3, 1, 2)  # to (N, C, H, W)
    turned = {"x": order, "dy": order, "w": (3, 2, 0, 1)}  # and (F, C, KH, KW)
    back = (2, 3, 1, 0) if problem.function == "conv2d_grad_kernel" else (0, 2, 3, 1)

    def answer(result: Any) -> np.ndarray:
        return np.ascontiguousarray(result.numpy().transpose(back))

    for name, layout in zip(TORCH, (torch.contiguous_format, torch.channels_last), strict=True):
        x, w, dy = (
            torch.from_numpy(arrays[key]).permute(turned[key]).contiguous(memory_format=layout)
            for key in ("x", "w", "dy")
        )
        b = torch.from_numpy(arrays["b"])
        if problem.function == "conv2d":

            def call(x: Any = x, w: Any = w, b: Any = b) -> Any:
                with torch.inference_mode():
                    return torch.nn.functional.conv2d(x, w, b, *geometry)

        else:
            mask = [problem.function == "conv2d_grad_input", problem.function == "conv2d_grad_kernel", False]

            def call(x: Any = x, w: Any = w, dy: Any = dy, mask: Any = mask) -> Any:
                gradients = torch.ops.aten.convolution_backward(
                    dy, x, w, None, *geometry, False, [0, 0], 1, mask
                )
                return gradients[mask.index(True)]

        traffic = conv.traffic(problem.function, problem.batch)
        yield Contestant(name, call, {}, answer, problem.expected, traffic)


def onnxruntime(problem: Problem, threads: int) -> Contestant:
    """Return ONNX Runtime with a model of one Conv node; there is no gradient."""
    from onnx_models import one_conv, session

    conv, arrays = problem.conv, problem.arrays
    run = session(one_conv(conv, arrays["w"], arrays["b"]), threads)
    x = np.ascontiguousarray(arrays["x"].transpose(0, 3, 1, 2))  # (N, C, H, W)
    traffic = conv.traffic(problem.function, problem.batch)
    return Contestant(
        "onnxruntime",
        lambda: run(x),
        {},
        lambda y: np.ascontiguousarray(y.transpose(0, 2, 3, 1)),
        problem.expected,
        traffic,
    )


#: The peers, and the packages whose versions a table has to name.
PEERS = {"torch": ("torch",), "onnxruntime": ("onnxruntime", "onnx")}


def peers(names: list[str], problem: Problem, threads: int) -> Iterator[Contestant]:
    """Yield the contestants of the peers that were asked for, as far as they have this pass."""
    if "torch" in names:
        yield from torch_formats(problem, threads)
    if "onnxruntime" in names and problem.function == "conv2d":
        yield onnxruntime(problem, threads)
