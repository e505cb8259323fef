"""What a plan's rows say is what runs: held to a record of the kernel functions that were called."""

import doctest
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.networks import winograd
from tinycnn import Sequential, kernels, mnist_cnn
from tinycnn.execution.single_image import Program
from tinycnn.kernels import choose, conv, depthwise, explain, explanation, pool
from tinycnn.kernels.conv import winograd as winograd_kernels
from tinycnn.kernels.conv import winograd_image
from tinycnn.kernels.dense import blocked
from tinycnn.kernels.explanation import FILTER_GRADIENT, FORWARD, INPUT_GRADIENT, Row
from tinycnn.kernels.fused import conv_maxpool, conv_maxpool_grads, relu_bias_grads, single_image
from tinycnn.kernels.fused.instructions import DIRECT, WINOGRAD
from tinycnn.kernels.selection import (
    CONVOLUTIONS,
    DEPTHWISE,
    IMAGES_ONE_BY_ONE,
    NUMPY_MULTIPLICATIONS,
    POOLS,
    WINOGRAD_OUTPUTS,
    Choice,
    Request,
)
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    SeparableConv2D,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "mnist_cnn_explained.txt"
CONV_NAMES = dict(zip((FORWARD, INPUT_GRADIENT, FILTER_GRADIENT), CONVOLUTIONS, strict=True))


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("TINYCNN_ALGORITHM", raising=False)


class Record:
    """Which kernel functions each runnable of a plan called, forward and backward."""

    def __init__(self, monkeypatch):
        self.patch, self.calls, self.now, self.variant = monkeypatch, defaultdict(Counter), None, ""
        for name in kernels.ALGORITHMS:
            module = conv.implementation(choose("conv2d", name, (3, 3, 8, 8)))
            for function in CONVOLUTIONS:
                self.watch(module, function, f"{name}.{function}")
        for name in kernels.selection.POOL_ALGORITHMS:
            module = pool.implementation("maxpool2d", name)
            for function in POOLS:
                self.watch(module, function, f"{name}.{function}")
        for name in kernels.selection.DEPTHWISE_ALGORITHMS:
            module = depthwise.implementation("depthwise_conv2d", name)
            for function in DEPTHWISE:
                self.watch(module, function, f"{name}.{function}")
        for module, function in (
            (conv_maxpool, "conv2d_maxpool"),
            (conv_maxpool, "maxpool"),
            (conv_maxpool_grads, "grad_input"),
            (conv_maxpool_grads, "grad_filter"),
            (relu_bias_grads, "relu_gradient"),
            (blocked, "_multiply"),
            (blocked, "multiply_row"),
            (single_image, "interpret"),
        ):
            self.watch(module, function, function)
        modules = winograd_kernels, winograd_image, conv_maxpool
        self.plans = [f for module in modules for f in vars(module).values() if hasattr(f, "cache_clear")]
        for module in (winograd_kernels, winograd_image):
            self.watch_tiles(module, module.tile_size)

    def watch(self, module, name, label):
        function = getattr(module, name)

        def called(*arguments, **named):
            self.variant = ""
            for plan in self.plans:  # they remember the size of a tile
                plan.cache_clear()
            result = function(*arguments, **named)
            if self.now is not None:
                self.calls[self.now][f"{label} {self.variant}".strip()] += 1
            return result

        self.patch.setattr(module, name, called)

    def watch_tiles(self, module, tile_size):
        def called(r, *size, **images):
            m = tile_size(r, *size, **images)
            self.variant = f"F({m},{r})"
            return m

        self.patch.setattr(module, "tile_size", called)

    def attribute_to(self, plan):
        """Attribute calls to the runnables of a plan, from now on."""
        for number, runnable in enumerate(plan.runnables):
            if getattr(runnable.forward, "watched", False):  # a layer that is part of two plans
                continue
            for name in ("forward", "backward", "backward_params"):
                self.watch_pass(runnable, name, (number, "forward" if name == "forward" else "backward"))

    def watch_pass(self, runnable, name, now):
        method = getattr(runnable, name)

        def called(*arguments):
            before, self.now = self.now, now
            try:
                return method(*arguments)
            finally:
                self.now = before

        called.watched = True
        self.patch.setattr(runnable, name, called)

    def take(self):
        """Return the record, and begin another."""
        calls, self.calls = dict(self.calls), defaultdict(Counter)
        return calls


def expected_call(row, layer):
    """Return the function that a row stands for; an empty string for NumPy, or for a part of another row."""
    algorithm, cause = row.choice.algorithm, row.choice.cause
    if algorithm in ("none", "numpy") or cause == "in gradients":
        return ""
    if algorithm in ("blocked", "row"):
        return "_multiply" if algorithm == "blocked" else "multiply_row"
    if algorithm == "sparse":
        return "grad_input" if row.direction == INPUT_GRADIENT else "grad_filter"
    if algorithm == "epilogue":
        return {"bias gradient": "relu_gradient", "in cache": "conv2d_maxpool", "after": "maxpool"}[cause]
    if isinstance(layer, DepthwiseConv2D | SeparableConv2D):
        return f"{algorithm}.depthwise_{CONV_NAMES[row.direction]}"
    if isinstance(layer, Conv2D):
        return f"{algorithm}.{CONV_NAMES[row.direction]} {row.variant}".strip()
    return f"{algorithm}.{layer.operation}{'' if row.direction == FORWARD else '_grad_input'}"


def expected_calls(model, plan):
    """Return the record that the rows of a plan promise."""
    calls = defaultdict(Counter)
    number = {
        layer.name: i for i, each in enumerate(plan.runnables) for layer in getattr(each, "layers", [each])
    }
    for row in plan.rows():
        here = calls[number[row.layer], "forward" if row.direction == FORWARD else "backward"]
        call = expected_call(row, model[row.layer])
        if call == "conv2d_maxpool":  # one function with the convolution's row, and with the dropout's
            variant = next(c for c in here if c.startswith(("winograd.conv2d ", call))).split()[-1]
            here.clear()
            here[f"{call} {variant}"] = 1
        elif call == "maxpool":
            here[call] = 1
        elif call:
            here[call] += 1
        if isinstance(model[row.layer], SeparableConv2D):  # its row is for both halves
            here[call.replace("depthwise_", "")] += 1
    return {place: counter for place, counter in calls.items() if counter}


def check(monkeypatch, model, batch=IMAGES_ONE_BY_ONE + 1):
    """Hold the rows to what a training step and a prediction call; return the rows."""
    record = Record(monkeypatch)
    x = np.random.default_rng(0).random((batch, *model.input_shape)).astype(model.dtype)
    plan = model.plan(batch)
    expected = expected_calls(model, plan)
    forward = {place: counter for place, counter in expected.items() if place[1] == "forward"}
    record.attribute_to(plan)
    model.train_step(x, np.arange(batch) % 5)
    assert record.take() == expected
    inference = model.plan(batch, training=False)
    record.attribute_to(inference)
    model.predict(x)
    if inference.one_by_one:  # programs, each in one call
        programs = [i for i, each in enumerate(inference.runnables) if isinstance(each, Program)]
        calls = record.take()
        assert [calls[i, "forward"] for i in programs] == [{"interpret": batch}] * len(programs)
    else:
        assert record.take() == forward
    return plan.rows()


def compiled(*layers, shape=(12, 11, 3), fuse=True):
    model = Sequential([*layers, Dense(5, activation="softmax")], seed=0, input_shape=shape)
    model.compile(fuse=fuse)
    return model


def winograd_network(algorithm="auto", fuse=True):
    model, _, _ = winograd("float32", algorithm)
    model.compile(fuse=fuse)
    return model


@pytest.mark.parametrize("fuse", [True, False])
def test_mnist_cnn(monkeypatch, fuse):
    model = mnist_cnn(seed=0)
    model.compile(fuse=fuse)
    rows = check(monkeypatch, model)
    assert ("sparse" in {row.algorithm for row in rows}) == fuse
    assert "F(4,3)" in {row.variant for row in rows}


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 25])
def test_batches_that_run_another_way(monkeypatch, batch, fuse):
    """One image has tiles of its own in Winograd's kernel, few run direct, more pool in the cache."""
    check(monkeypatch, winograd_network(fuse=fuse), batch)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("algorithm", ["im2col", "direct", "winograd"])
def test_requests(monkeypatch, algorithm, fuse):
    """In each way to make one, which the rows name."""

    def requests(model):
        with pytest.MonkeyPatch.context() as patch:
            rows = check(patch, model)
        convolutions = [row for row in rows if isinstance(model[row.layer], Conv2D)]
        asked = [row for row in convolutions if row.choice.cause == "requested"]
        assert {row.choice.algorithm for row in asked} == {algorithm}
        assert len(asked) == len(convolutions) - 1  # and one that is not needed
        return {row.choice.request for row in asked}

    assert requests(winograd_network(algorithm, fuse)) == {Request(algorithm, "layer")}
    with kernels.use_algorithm(algorithm):
        assert requests(winograd_network(fuse=fuse)) == {Request(algorithm, "context")}
    monkeypatch.setenv("TINYCNN_ALGORITHM", algorithm)
    assert requests(winograd_network(fuse=fuse)) == {Request(algorithm, "environment")}


RELU = {"activation": "relu"}
CASES = {
    "strides": [Conv2D(16, 3, **RELU), Conv2D(17, 3, strides=(1, 2), **RELU), MaxPooling2D(), Flatten()],
    "dilation": [Conv2D(16, 2, dilation_rate=2), Conv2D(4, 3, dilation_rate=(1, 2), **RELU), Flatten()],
    "5x5": [Conv2D(6, 5, padding="same", **RELU), MaxPooling2D(3, strides=2), Flatten()],
    "no pool": [Conv2D(16, 3, padding="same", **RELU), Dropout(0.2), Conv2D(4, 2, **RELU), Flatten()],
    "no ReLU": [Conv2D(9, 3, use_bias=False), MaxPooling2D(), Conv2D(4, 2, activation="tanh"), Flatten()],
    "average pool": [Conv2D(16, 3, **RELU), AveragePooling2D(padding="same"), GlobalAveragePooling2D()],
    "padded pool": [Conv2D(16, 3, **RELU), MaxPooling2D(3, padding="same"), Flatten()],
    "overlapping pool": [Conv2D(16, 3, **RELU), MaxPooling2D(2, strides=1), Flatten()],
    "a pool by name": [
        *(Conv2D(16, 3, **RELU), Conv2D(6, 3, **RELU), MaxPooling2D(algorithm="im2col"), Dropout(0.3)),
        Flatten(),
    ],
    "other layers": [BatchNormalization(), Conv2D(4, 3, name="a" * 40), Activation("relu"), Flatten()],
    "depthwise": [
        *(DepthwiseConv2D(3, depth_multiplier=3, **RELU), SeparableConv2D(6, 2, **RELU)),
        *(DepthwiseConv2D(2, algorithm="im2col"), Flatten()),
    ],
    "a pool first": [MaxPooling2D(), Conv2D(16, 3, **RELU), Flatten()],
    "dense layers": [Flatten(), Dense(7, **RELU)],
    "a convolution by name": [Conv2D(16, 3, algorithm="direct", **RELU), MaxPooling2D(), Flatten()],
}


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_networks_of_all_kinds(monkeypatch, case, fuse):
    layers = [type(layer).from_config(layer.get_config()) for layer in CASES[case]]
    model = compiled(*layers, fuse=fuse)
    check(monkeypatch, model)
    assert max(map(len, explain(model).splitlines())) <= explanation.WIDTH


def test_the_largest_batch_that_numpy_multiplies():
    """On both sides of it."""
    model = compiled(Dense(30), Dense(31), shape=(40,))
    limit = NUMPY_MULTIPLICATIONS // (40 * 30)
    for batch, expected in ((1, "numpy"), (limit, "numpy"), (limit + 1, "blocked")):
        with pytest.MonkeyPatch.context() as patch:
            rows = check(patch, model, batch)
        assert rows[0].algorithm == expected
    assert rows[1].choice.cause == "unneeded"


@pytest.mark.parametrize("fuse", [True, False])
def test_the_largest_batch_that_is_not_for_winograd(fuse):
    """On both sides of it, for a convolution alone and for one before a pool."""
    layers = [Conv2D(16, 3, **RELU), Conv2D(16, 3, **RELU), MaxPooling2D(), Conv2D(32, 2, **RELU)]
    model = compiled(*layers, Flatten(), fuse=fuse)
    limit = (WINOGRAD_OUTPUTS - 1) // (3 * 2)  # the last one has 3 x 2 outputs
    for batch, expected in ((limit, "direct"), (limit + 1, "winograd")):
        with pytest.MonkeyPatch.context() as patch:
            rows = {(row.layer, row.direction): row.choice for row in check(patch, model, batch)}
        assert rows["conv2d_3", FORWARD].algorithm == expected
        assert (rows["conv2d_3", FORWARD].cause == "outputs") == (expected == "direct")


def test_the_instructions_of_a_single_image_are_those_of_its_choices():
    model = mnist_cnn(seed=0)
    model.compile()
    (program,) = model.plan(1, training=False).runnables
    rows = [row for row in program.instructions if row.kind in (DIRECT, WINOGRAD)]
    convolutions = [layer for layer in model if isinstance(layer, Conv2D)]
    for row, layer in zip(rows, convolutions, strict=True):
        OH, OW, _ = layer.compute_output_shape(layer.built_shape)
        choice = choose("conv2d", "auto", layer.params["kernel"].shape, pixels=OH * OW, images=1)
        assert (row.kind == WINOGRAD) == (choice.algorithm == "winograd")
        if row.kind == WINOGRAD:
            assert row.m == kernels.selection.tile_size(row.KH, OH, OW, images=1)


@pytest.mark.parametrize("arguments", [{"strides": 2}, {"dilation_rate": (1, 2)}, {"kernel_size": (3, 2)}])
def test_a_request_that_is_refused(arguments):
    """The rows have the words with which it will be refused; under "auto" they say why it is another."""
    arguments = {"filters": 4, "kernel_size": 3, **arguments}
    model = compiled(Conv2D(**arguments, algorithm="winograd"), Flatten(), shape=(9, 8, 16))
    refused = model.plan().rows()[0].choice
    assert refused.refused
    assert refused.refusal in " ".join(explain(model).split())
    with pytest.raises(ValueError, match="algorithm 'winograd': ") as error:
        model.predict(np.zeros((2, 9, 8, 16), np.float32))
    assert refused.refusal in str(error.value)
    model = compiled(Conv2D(**arguments), Flatten(), shape=(9, 8, 16))
    unsupported = model.plan().rows()[0].choice
    assert (unsupported.cause, unsupported.refusal) == ("unsupported", refused.refusal)


def test_a_model_that_is_not_compiled(monkeypatch):
    """Then the rows are what forward and backward do, down to the gradient of the images."""
    model, _, _ = winograd("float32", "auto")
    record = Record(monkeypatch)
    plan = model.plan(8)
    record.attribute_to(plan)
    y = model.forward(np.ones((8, 13, 12, 2), np.float32), training=True)
    model.backward(np.ones_like(y))
    calls = record.take()
    assert calls == expected_calls(model, plan)
    assert (0, "backward") in calls
    assert "Not compiled" in explain(model, 8)


def test_the_text_to_the_character(capsys):
    """Printed and returned."""
    model = mnist_cnn(seed=0)
    model.compile()
    text = explain(model)
    assert text + "\n" == GOLDEN.read_text(encoding="utf-8")
    assert capsys.readouterr().out == text + "\n"


@pytest.mark.parametrize("cause", explanation.SENTENCES)
def test_every_cause_has_a_sentence(cause):
    """In which every field is filled in."""
    choice = Choice("direct", cause, Request("direct", "layer"), "no reason", (3, 4), 5, 6)
    reason = Row("conv2d_1", FORWARD, choice, "F(2,3)", 2.25, "pool", 25).reason
    assert reason
    assert not set("{}") & set(reason)


def test_what_cannot_be_explained():
    with pytest.raises(ValueError, match=r"^sequential: call model\.build\(input_shape\) before explain"):
        explain(Sequential([Flatten(), Dense(3)]))
    with pytest.raises(ValueError, match=r"^model: expected a Sequential, received int$"):
        explain(3)
    with pytest.raises(ValueError, match=r"^batch_size: expected a whole number >= 1, received 0$"):
        explain(winograd_network(), 0)


def test_a_summary_says_the_same():
    """Of the forward passes."""
    model = winograd_network()
    rows = {line.split()[0]: line for line in model.summary(verbose=True).splitlines() if "(" in line}
    for row in model.plan().rows():
        if row.direction == FORWARD:
            assert f" {row.algorithm} " in rows[row.layer]


def test_multiplications():
    """Counted by hand: 36 tiles of 6 x 6 for 24 x 24 outputs of 9; a tile of 16 for one output of 9."""
    assert explanation.minimal_filtering(4, 3, (24, 24), (24, 24)) == ("F(4,3)", 4)
    assert explanation.minimal_filtering(2, 3, (1, 1), (1, 1)) == ("F(2,3)", 9 / 16)


def test_the_example_in_the_docstring():
    results = doctest.testmod(explanation)
    assert results.attempted > 0
    assert results.failed == 0
