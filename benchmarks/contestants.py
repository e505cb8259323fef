"""Contestants for one pass of one convolution: the library's algorithms, your own kernel, and the peers.

::

    Problem (layer, pass, arrays) -> Contestant: call() to be timed, answer() to be checked

The peers get their arrays once, in their own memory order, and return results in it; the conversion is not
timed. PyTorch is timed in both of its memory formats.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from cases import PASSES, Conv, reference

from tinycnn import kernels

#: The share of non-zeros in dL/d(pooled output), after a ReLU that passes three in four and a dropout of
#: 0.25. It is 0.14 of the convolution's own output.
POOLED_DENSITY = 0.56
TORCH = ("torch", "torch channels_last")  # the two memory formats


class Problem:
    """One pass of one convolution, with its arrays and its expected result in float64."""

    def __init__(self, layer: str, conv: Conv, word: str, batch: int, arrays: dict[str, np.ndarray]) -> None:
        self.layer, self.conv, self.word, self.batch, self.arrays = layer, conv, word, batch, arrays
        self.title, self.function = PASSES[word]
        self.operation = conv.operation(self.function)
        self.arguments = conv.arguments(self.function, arrays)
        self.expected = reference(conv, self.function, arrays)
        self.flops = conv.flops(batch)


class Contestant(NamedTuple):
    """A function that computes a problem.

    `call` takes `arguments` and returns a result of any kind; `answer` converts it to an array in tinycnn's
    order. `traffic` is the compulsory traffic in bytes.
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
    """Return the filter gradient without the bias gradient, if both were computed."""
    return result[0] if isinstance(result, tuple) else result


def from_function(who: str, function: Callable[..., Any], problem: Problem) -> Contestant:
    """Return a contestant for a function with the arguments of `tinycnn.kernels.conv.naive`."""
    traffic = problem.conv.traffic(problem.function, problem.batch)
    return Contestant(who, function, problem.arguments, _as_it_is, problem.expected, traffic)


def algorithm(name: str, problem: Problem) -> Contestant:
    """Return the contestant for an algorithm of the library."""
    return from_function(name, partial(getattr(kernels, problem.operation), algorithm=name), problem)


def sparse(problem: Problem) -> Contestant:
    """Return the contestant for the library's sparse gradients, through ReLU and max-pool.

    This is the backward pass of the fused layers in `mnist_cnn`, where ReLU, max-pool and dropout follow
    conv2 and conv4. Its operands are the gradient of the pooled output and the argmax of each window. The
    result is checked against the reference of the equivalent dense gradient.
    """
    from tinycnn.kernels.fused import conv_maxpool_grads

    conv, arrays = problem.conv, problem.arrays
    rng = np.random.default_rng(1)
    N, OH, OW, F = arrays["dy"].shape
    shape = N, OH // 2, OW // 2, F
    reached = rng.random(shape) < POOLED_DENSITY
    dp = rng.standard_normal(shape, np.float32) * reached
    argmax = np.where(reached, rng.integers(0, 4, shape), 4).astype(np.uint8)  # 4: the gradient ends here
    dense = np.zeros_like(arrays["dy"])
    for place in range(4):
        row, column = divmod(place, 2)
        window = dense[:, row : OH // 2 * 2 : 2, column : OW // 2 * 2 : 2]
        window += np.where(argmax == place, dp, 0)
    expected = reference(conv, problem.function, arrays | {"dy": dense})
    x, w = arrays["x"], arrays["w"]
    geometry = conv.padding, (2, 2), (2, 2)
    if problem.function == "conv2d_grad_input":
        call = partial(conv_maxpool_grads.grad_input, dp, argmax, w, x.shape, *geometry)
    else:
        call = partial(conv_maxpool_grads.grad_filter, x, dp, argmax, w.shape, *geometry)
    saved = dense.nbytes - dp.nbytes - argmax.nbytes
    traffic = conv.traffic(problem.function, problem.batch) - saved
    return Contestant("sparse", call, {}, _first, expected, traffic)


def torch_formats(problem: Problem, threads: int) -> Iterator[Contestant]:
    """Yield PyTorch in both memory formats: conv2d, or the function that its autograd calls."""
    import torch

    torch.set_num_threads(threads)
    conv, arrays = problem.conv, problem.arrays
    if any(before != after for before, after in conv.padding):
        raise ValueError("torch: expected the same padding on both sides")
    pads = [before for before, _ in conv.padding]
    geometry = list(conv.strides), pads, list(conv.dilation)
    images = {name: arrays[name].transpose(0, 3, 1, 2) for name in ("x", "dy")}  # (N, C, H, W)
    turned = images | {"w": conv.filters_first(arrays["w"])}

    def answer(result: Any) -> np.ndarray:
        is_filter = problem.function == "conv2d_grad_filter"
        back = conv.filters_last(result.numpy()) if is_filter else result.numpy().transpose(0, 2, 3, 1)
        return np.ascontiguousarray(back)

    for name, layout in zip(TORCH, (torch.contiguous_format, torch.channels_last), strict=True):
        x, w, dy = (
            torch.from_numpy(turned[key]).contiguous(memory_format=layout) for key in ("x", "w", "dy")
        )
        b = torch.from_numpy(arrays["b"])
        if problem.function == "conv2d":

            def call(x: Any = x, w: Any = w, b: Any = b) -> Any:
                with torch.inference_mode():
                    return torch.nn.functional.conv2d(x, w, b, *geometry, conv.groups)

        else:
            mask = [problem.function == "conv2d_grad_input", problem.function == "conv2d_grad_filter", False]

            def call(x: Any = x, w: Any = w, dy: Any = dy, mask: Any = mask) -> Any:
                gradients = torch.ops.aten.convolution_backward(
                    dy, x, w, None, *geometry, False, [0, 0], conv.groups, mask
                )
                return gradients[mask.index(True)]

        traffic = conv.traffic(problem.function, problem.batch)
        yield Contestant(name, call, {}, answer, problem.expected, traffic)


def onnxruntime(problem: Problem, threads: int) -> Contestant:
    """Return ONNX Runtime with a model of one Conv node; it has no gradients."""
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


#: The peers, with the packages whose versions a table names.
PEERS = {"torch": ("torch",), "onnxruntime": ("onnxruntime", "onnx")}


def peers(names: list[str], problem: Problem, threads: int) -> Iterator[Contestant]:
    """Yield the contestants of the requested peers, as far as they have this pass."""
    if "torch" in names:
        yield from torch_formats(problem, threads)
    if "onnxruntime" in names and problem.function == "conv2d":
        yield onnxruntime(problem, threads)
