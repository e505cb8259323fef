"""What `kernels.explain` says is what runs: its table against a record of the kernels that were called."""

import doctest
import re
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tinycnn import Sequential, kernels, mnist_cnn
from tinycnn.chains import ALONE, Chain, Parts
from tinycnn.kernels import chain, dense, explain, explanation, winograd, winograd_image
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
)
from tinycnn.network import Network

GOLDEN = Path(__file__).parents[1] / "golden" / "mnist_cnn_explained.txt"
# The function that is a pass, where it is one of an algorithm's.
OPERATIONS = {
    (Conv2D, "forward"): "conv2d",
    (Conv2D, "input gradient"): "conv2d_grad_input",
    (Conv2D, "filter gradient"): "conv2d_grad_kernel",
    (Conv2D, "ReLU gradient"): "relu_gradient",
    (MaxPooling2D, "forward"): "maxpool2d",
    (MaxPooling2D, "input gradient"): "maxpool2d_grad_input",
    (AveragePooling2D, "forward"): "averagepool2d",
    (AveragePooling2D, "input gradient"): "averagepool2d_grad_input",
}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("TINYCNN_ALGORITHM", raising=False)


class Recorder:
    """Writes down which kernels each stage of a model calls, forward and backward."""

    def __init__(self, monkeypatch, model):
        self.monkeypatch, self.calls, self.now, self.inner = monkeypatch, defaultdict(Counter), None, ""
        load, multiply = kernels.module, dense._multiply
        monkeypatch.setattr(kernels, "module", lambda name: Recorded(self, name, load(name)))
        for module in (winograd, winograd_image):
            tile_size = partial(self.tiles, module.tile_size)
            monkeypatch.setattr(module, "tile_size", tile_size)
        monkeypatch.setattr(dense, "_multiply", lambda *a: (self.note(" in blocks"), multiply(*a)))
        for number, stage in enumerate(model.stages):
            for name in ("forward", "backward", "backward_params"):
                self.watch(stage, name, (number, "forward" if name == "forward" else "backward"))

    def watch(self, stage, name, now):
        method = getattr(stage, name)

        def watched(*arguments):
            before, self.now = self.now, now
            try:
                return method(*arguments)
            finally:
                self.now = before

        self.monkeypatch.setattr(stage, name, watched)

    def tiles(self, tile_size, r, *size, **images):
        m = tile_size(r, *size, **images)
        self.note(f" F({m},{r})")
        return m

    def note(self, text):
        self.inner = text

    def take(self):
        """Return the record, and begin another."""
        calls, self.calls = dict(self.calls), defaultdict(Counter)
        return calls


class Recorded:
    """A module of kernels whose functions are written down by a recorder when they are called."""

    def __init__(self, recorder, name, module):
        self.recorder, self.name, self.module = recorder, name, module

    def __getattr__(self, attribute):
        value = getattr(self.module, attribute)
        if not callable(value):
            return value

        def called(*arguments, **named):
            self.recorder.inner = ""
            result = value(*arguments, **named)
            if self.recorder.now is not None:
                self.recorder.calls[self.recorder.now][f"{self.name}.{attribute}{self.recorder.inner}"] += 1
            return result

        return called


def promised(model, batch):
    """Return what the rows of a model say will be called, in the form of the record."""
    calls = defaultdict(Counter)
    numbers = {
        layer.name: number
        for number, stage in enumerate(model.stages)
        for layer in getattr(stage, "layers", [stage])
    }
    for name, step, told, reason in model.passes():
        layer, (algorithm, _, tiles) = model[name], told.partition(" ")
        if (few := re.search(r"direct if batch <= (\d+)", reason)) and batch <= int(few[1]):
            algorithm, tiles = "direct", ""
        if (of_one := re.search(r"(F\(.*\)) if batch is 1", reason)) and batch == 1:
            tiles = of_one[1]
        here = calls[numbers[name], "forward" if step == "forward" else "backward"]
        if isinstance(layer, Dense):
            if algorithm == "dense":
                small = re.search(r"batch <= (\d+)", reason)
                by_rows = "forward pass of one image" in reason and step == "forward" and batch == 1
                whole = by_rows or (small and batch <= int(small[1]))
                here["dense.matmul" + ("" if whole else " in blocks")] += 1
            else:
                assert algorithm in ("numpy", "none")
        elif step == "forward" and algorithm == "epilogue":  # part of winograd's pass, or a pass of its own
            convolution = next(call for call in here if ".conv2d" in call)
            if convolution.startswith("winograd.conv2d ") and batch > 1:
                del here[convolution]
                here[convolution.replace("conv2d", "conv2d_pool")] = 1
            elif "conv2d_pool" not in convolution:
                here["epilogue.pool"] = 1
        elif algorithm != "none" and (algorithm != "pooled" or isinstance(layer, Conv2D)):
            here[f"{algorithm}.{OPERATIONS[type(layer), step]}{' ' + tiles if tiles else ''}"] += 1
    return {place: counter for place, counter in calls.items() if counter}


def names_of(stage):
    return {layer.name for layer in getattr(stage, "layers", [stage])}


def of_phase(calls, *phases):
    return {place: counter for place, counter in calls.items() if place[1] in phases}


def check(monkeypatch, model, batch=8):
    """Hold the table to what a training step and a prediction call."""
    text = explain(model)
    assert max(map(len, text.splitlines())) <= explanation.WIDTH
    expected = promised(model, batch)
    x = np.random.default_rng(0).random((batch, *model.input_shape)).astype(model.dtype)
    y = np.arange(batch) % model.forward(x).shape[-1]
    recorder = Recorder(monkeypatch, model)
    model.train_step(x, y)
    assert recorder.take() == expected
    Network.forward(model, x)  # as `predict` does, but for a few images
    assert recorder.take() == of_phase(expected, "forward")
    model.predict(x)
    if batch > ALONE or f"Up to {ALONE} images" not in text:
        assert recorder.take() == of_phase(expected, "forward")
    else:  # nothing of the layers in chains
        chained = {layer.name for part in Parts(model) if isinstance(part, Chain) for layer in part.layers}
        silent = [i for i, stage in enumerate(model.stages) if chained >= names_of(stage)]
        assert silent
        assert not {number for number, _ in recorder.take()} & set(silent)
    return text


def compiled(*layers, shape=(12, 11, 3), fuse=True):
    model = Sequential([*layers, Dense(5, activation="softmax")], seed=0, input_shape=shape)
    model.compile(fuse=fuse)
    return model


@pytest.mark.parametrize("fuse", [True, False])
def test_the_documented_network(monkeypatch, fuse):
    model = mnist_cnn(seed=0)
    model.compile(fuse=fuse)
    text = check(monkeypatch, model)
    assert ("pooled" in text) == ("epilogue" in text) == fuse
    assert "winograd F(4,3)" in text


@pytest.mark.parametrize("batch", [1, 2, ALONE + 1])
def test_batches_that_run_another_way(monkeypatch, batch):
    """One image: tiles of its own in winograd. Few: predicted in chains. More: in stages."""
    model = mnist_cnn(seed=0)
    model.compile()
    check(monkeypatch, model, batch)


def test_the_chains_of_the_note_take_the_tiles_of_one_image(monkeypatch):
    model = mnist_cnn(seed=0)
    model.compile()
    rows = {name: (told, reason) for name, step, told, reason in model.passes() if step == "forward"}
    text = explain(model)
    assert "one by one, conv2d_1 to dense_2 in one call" in " ".join(text.split())
    model.predict(np.zeros((1, 28, 28, 1), np.float32))
    (part,) = Parts(model)
    table = iter(part._program.steps)
    for layer in (layer for layer in part.layers if isinstance(layer, Conv2D)):
        step = next(row for row in table if row["kind"] in (chain.DIRECT, chain.WINOGRAD))
        told, reason = rows[layer.name]
        assert told.startswith("winograd" if step["kind"] == chain.WINOGRAD else "direct")
        if step["kind"] == chain.WINOGRAD:
            tiles = f"F({step['m']},{layer.kernel_size[0]})"
            assert f"{tiles} if batch is 1" in reason or (tiles in told and "batch is 1" not in reason)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("algorithm", ["im2col", "direct", "winograd"])
def test_the_documented_network_with_a_request(monkeypatch, algorithm, fuse):
    """By each way to make one, which is the reason that is told."""
    model = mnist_cnn(seed=0, algorithm=algorithm)
    model.compile(fuse=fuse)
    assert f'asked for: algorithm="{algorithm}" of the layer' in check(monkeypatch, model)
    monkeypatch.undo()
    model = mnist_cnn(seed=0)
    model.compile(fuse=fuse)
    with kernels.use_algorithm(algorithm):
        assert f'asked for: use_algorithm("{algorithm}")' in check(monkeypatch, model)
    monkeypatch.undo()
    monkeypatch.setenv("TINYCNN_ALGORITHM", algorithm)
    assert f"asked for: TINYCNN_ALGORITHM={algorithm}" in check(monkeypatch, model)


RELU = {"activation": "relu"}
CASES = {
    "strides": [Conv2D(16, 3, **RELU), Conv2D(17, 3, strides=(1, 2), **RELU), MaxPooling2D(), Flatten()],
    "dilation": [Conv2D(16, 2, dilation_rate=2), Conv2D(4, 3, dilation_rate=(1, 2), **RELU), Flatten()],
    "5x5": [
        Conv2D(16, 5, **RELU),
        Conv2D(6, 5, padding="same", **RELU),
        MaxPooling2D(3, strides=2),
        Flatten(),
    ],
    "no pool": [Conv2D(16, 3, padding="same", **RELU), Dropout(0.2), Conv2D(4, 2, **RELU), Flatten()],
    "no activation": [
        Conv2D(16, 3, use_bias=False),
        MaxPooling2D(),
        Conv2D(4, 2, activation="tanh"),
        Flatten(),
    ],
    "average pool": [Conv2D(16, 3, **RELU), AveragePooling2D(padding="same"), GlobalAveragePooling2D()],
    "padded pool": [Conv2D(16, 3, **RELU), MaxPooling2D(3, padding="same"), Flatten()],
    "small image": [Conv2D(16, 3, padding="same"), MaxPooling2D(5), Conv2D(6, 2, **RELU), Flatten()],
    "overlapping pool": [Conv2D(16, 3, **RELU), MaxPooling2D(2, strides=1), Flatten()],
    "a pool by name": [
        *(Conv2D(16, 3, **RELU), Conv2D(6, 3, **RELU), MaxPooling2D(algorithm="im2col"), Dropout(0.3)),
        Flatten(),
    ],
    "other layers": [BatchNormalization(), Conv2D(4, 3, name="a" * 40), Activation("relu"), Flatten()],
    "enough channels for winograd, in some passes": [Conv2D(16, 3), Conv2D(16, 3), Flatten()],
    "a pool first": [MaxPooling2D(), Conv2D(16, 3, **RELU), Flatten()],
    "dense layers": [Flatten(), Dense(7, **RELU)],
    "the first of a stage by name": [Conv2D(16, 3, algorithm="direct", **RELU), MaxPooling2D(), Flatten()],
}


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_networks_of_all_kinds(monkeypatch, case, fuse):
    layers = [type(layer).from_config(layer.get_config()) for layer in CASES[case]]
    check(monkeypatch, compiled(*layers, fuse=fuse))


def test_a_dense_layer_first(monkeypatch):
    text = check(monkeypatch, compiled(Dense(30), shape=(40,)))
    assert "nobody needs" in text


def test_the_largest_batch_that_numpy_multiplies(monkeypatch):
    """On both sides of it."""
    model = compiled(Dense(30), Dense(31), shape=(40,))
    limit = int(re.search(r"NumPy if batch <= (\d+)", explain(model))[1])
    for batch in (1, limit, limit + 1):
        check(monkeypatch, model, batch)
        monkeypatch.undo()


@pytest.mark.parametrize("fuse", [True, False])
def test_the_largest_batch_that_is_not_for_winograd(monkeypatch, fuse):
    """On both sides of it, for a convolution alone and for one before a pool."""
    layers = [Conv2D(16, 3, **RELU), Conv2D(16, 3, **RELU), MaxPooling2D(), Conv2D(32, 2, **RELU)]
    model = compiled(*layers, Flatten(), fuse=fuse)
    limits = [int(limit) for limit in re.findall(r"direct if batch <= (\d+)", explain(model))]
    assert limits
    for batch in {size for limit in limits for size in (limit, limit + 1)}:
        check(monkeypatch, model, batch)
        monkeypatch.undo()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"strides": 2}, "expected strides of 1, received (2, 2)"),
        ({"dilation_rate": (1, 2)}, "expected dilation of 1, received (1, 2)"),
        ({"kernel_size": (3, 2)}, "expected a square filter of 2 or 3, received 3x2"),
    ],
)
def test_a_request_that_is_refused(arguments, reason):
    """Told with the words with which it will be refused; under "auto" they say why it is another."""
    shape = (9, 8, 16)
    model = compiled(
        Conv2D(**{"filters": 4, "kernel_size": 3, "algorithm": "winograd", **arguments}),
        Flatten(),
        shape=shape,
    )
    told = " ".join(explain(model).split())
    assert "none nobody needs the gradient of the images" in told
    assert f'winograd refused: {reason}; asked for: algorithm="winograd" of the layer' in told
    with pytest.raises(ValueError, match=re.escape(reason)):
        model.predict(np.zeros((2, *shape), np.float32))
    model = compiled(Conv2D(**{"filters": 4, "kernel_size": 3, **arguments}), Flatten(), shape=shape)
    assert f"direct winograd refuses: {reason}" in " ".join(explain(model).split())


def test_a_model_that_is_not_compiled(monkeypatch):
    """Then it is what forward and backward do, down to the gradient of the images."""
    model = mnist_cnn(seed=0)
    assert "Not compiled" in explain(model)
    expected = promised(model, 8)
    recorder = Recorder(monkeypatch, model)
    y = model.forward(np.ones((8, 28, 28, 1), np.float32), training=True)
    model.backward(np.ones_like(y))
    assert recorder.take() == expected
    assert (0, "backward") in expected


def test_the_text_to_the_character(capsys):
    """Printed and returned."""
    model = mnist_cnn(seed=0)
    model.compile()
    text = explain(model)
    assert text + "\n" == GOLDEN.read_text()
    assert capsys.readouterr().out == text + "\n"


def test_a_layer_alone():
    conv = Conv2D(4, 3)
    with pytest.raises(ValueError, match=r"^Conv2D: expected build\(input_shape\) before explain"):
        explain(conv)
    conv.build((9, 8, 32), np.random.default_rng(0))
    assert "winograd F(" in explain(conv)


def test_what_cannot_be_explained():
    with pytest.raises(ValueError, match=r"^sequential: expected build\(input_shape\) before explain"):
        explain(Sequential([Flatten(), Dense(3)]))
    with pytest.raises(ValueError, match=r"^model: expected a Sequential or a layer, received int$"):
        explain(3)


def test_a_summary_says_the_same():
    """Of the forward passes."""
    model = mnist_cnn(seed=0)
    for _ in range(2):
        rows = {line.split()[0]: line for line in model.summary(verbose=True).splitlines() if "(" in line}
        for layer, step, algorithm, _ in model.passes():
            if step == "forward":
                assert f" {algorithm} " in rows[layer]
        model.compile()


def test_multiplications():
    """Counted by hand: 36 tiles of 6 x 6 for 24 x 24 outputs of 9; a tile of 16 for one output of 9."""
    assert explanation.minimal_filtering(4, 3, (24, 24), (24, 24)) == ("F(4,3)", "4.0x fewer multiplications")
    assert explanation.minimal_filtering(2, 3, (1, 1), (1, 1)) == ("F(2,3)", "1.8x more multiplications")


def test_the_example_in_the_docstring():
    results = doctest.testmod(explanation)
    assert results.attempted > 0
    assert results.failed == 0
