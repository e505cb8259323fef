"""A whole training step: the same bits on any number of threads, curves that stay together, memory let go."""

import gc
import os
import subprocess
import sys
import weakref
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tests.networks import noisy_classes, tiny, winograd
from tinycnn import Sequential, kernels
from tinycnn.execution.fused import FusedConvMaxPool, FusedConvReLU
from tinycnn.kernels.selection import IMAGES_ONE_BY_ONE
from tinycnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.optimizers import SGD

ROOT = Path(tinycnn.__file__).parent.parent

BITS = """
import hashlib
import numba, numpy as np
from tinycnn import Sequential, kernels, mnist_cnn
from tinycnn.layers import *

def small(dtype="float32"):
    layers = [
        Conv2D(17, 3, activation="relu"), Conv2D(33, (3, 2), activation="tanh", strides=(1, 2)),
        BatchNormalization(), Conv2D(18, 2, activation="relu"), MaxPooling2D(2), Dropout(0.3),
        Conv2D(19, 3, padding="same", activation="relu"), MaxPooling2D((2, 1), strides=1, padding="same"),
        AveragePooling2D((1, 2), strides=1), Flatten(), Dense(130, activation="relu"), Dropout(0.5),
        Dense(7, activation="softmax"),
    ]
    return Sequential(layers, seed=3, input_shape=(13, 17, 3), dtype=dtype)

def digest(make, batch, fuse, threads):
    numba.set_num_threads(threads)
    assert numba.get_num_threads() == threads
    model = make()
    rng = np.random.default_rng(0)
    x = rng.random((batch, *model.input_shape), np.float32).astype(model.dtype)
    y = rng.integers(0, 7, batch)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"], fuse=fuse)
    start = model.parameters.copy()
    figures = [model.train_step(x, y) for _ in range(3)]
    assert np.isfinite(model.parameters).all() and (model.parameters != start).mean() > 0.5
    arrays = model.parameters, model.gradients, model.predict(x), np.array(figures), model.evaluate(x, y)
    state = [array for _, array in model.named_weights()]
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in (*arrays, *state))).hexdigest()[:12]

cases = {
    "small": (small, 37),
    "small, one image": (small, 1),
    "mnist_cnn": (lambda: mnist_cnn(seed=1), 6),
    "float64": (lambda: small("float64"), 5),
}
for name in names:
    make, batch = cases[name]
    for fuse in (True, False):
        print(name, fuse, *(digest(make, batch, fuse, t) for t in (1, 2, 4)), sep="|")
with kernels.use_algorithm("direct"):
    print("small, direct", True, *(digest(small, 37, True, t) for t in (1, 2, 4)), sep="|")
"""


def bits(*names, **variables):
    """Return digests by case, each of a run on 1, 2 and 4 threads."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "4", **variables}
    code = f"names = {names}\n{BITS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=600)
    assert done.returncode == 0, done.stderr
    lines = [line.split("|") for line in done.stdout.splitlines()]
    return {(name, fuse): digests for name, fuse, *digests in lines}


def check_bits(found, count):
    assert len(found) == count
    for case, digests in found.items():
        assert len(digests) == 3
        assert len(set(digests)) == 1, case
    assert len({digests[0] for digests in found.values()}) == count  # the digests do tell things apart


@pytest.mark.slow
def test_the_number_of_threads_changes_no_bit_of_training():
    """Parameters, gradients, outputs, losses and moving averages after some steps with 1, 2, 4 threads."""
    check_bits(bits("small", "small, one image"), 5)


@pytest.mark.slow
def test_nor_does_the_kind_of_threads():
    names = "small", "small, one image", "mnist_cnn", "float64"
    usual, queue = bits(*names), bits(*names, NUMBA_THREADING_LAYER="workqueue")
    check_bits(queue, 9)
    assert usual == queue


@cache
def curve(make, dtype, algorithm, fuse):
    """The losses of a run, and what it ended with."""
    model, batch, classes = make(dtype, algorithm)
    rate, steps = (0.05, 30) if make is tiny else (0.04, 15)
    x, y = noisy_classes(batch, model.input_shape, classes, dtype)
    model.compile(SGD(rate, momentum=0.9), "sparse_categorical_crossentropy", fuse=fuse)
    losses = [model.train_step(x, y)[0] for _ in range(steps)]
    return np.array(losses), model.parameters


CURVES = [(tiny, name) for name in ("naive", "im2col", "direct", "winograd")] + [
    (winograd, name) for name in ("im2col", "direct", "winograd")
]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float32", 1e-4), pytest.param("float64", 1e-12, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("make", "algorithm"), CURVES)
def test_training_curves_stay_together(make, algorithm, dtype, tolerance):
    """Some steps with an algorithm by name, against "auto" fused and not fused.

    The algorithms differ by roundings, and a step carries those of the one before on: measured after thirty
    steps, losses and parameters differ by at most 1e-6 in float32 and 2e-15 in float64. There is room for a
    hundred times that: a rounding may decide which of two pixels is the maximum, or whether a ReLU is on,
    and then one gradient of many jumps. What is absolute here is relative to the first loss: at the end it
    is all but gone.
    """
    losses, parameters = curve(make, dtype, algorithm, True)
    assert losses[-1] < 0.5 * losses[0]
    for fuse in (True, False):
        others, theirs = curve(make, dtype, "auto", fuse)
        np.testing.assert_allclose(losses, others, rtol=tolerance, atol=tolerance * losses[0])
        np.testing.assert_allclose(parameters, theirs, rtol=tolerance, atol=tolerance)


def network(fuse=True, algorithm="auto", dtype="float32"):
    model, *_ = winograd(dtype, algorithm)
    model.compile("adam", "sparse_categorical_crossentropy", fuse=fuse)
    return model


def data(dtype="float32"):
    return noisy_classes(11, (13, 12, 2), 5, dtype)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("algorithm", ["auto", "im2col"])
def test_a_step_is_forward_loss_backward_and_the_optimizer(fuse, algorithm):
    """To the bit, although a step computes no dx of the images and releases what it saved on the way."""
    one, other = network(fuse, algorithm), network(fuse, algorithm)
    x, y = data()
    for _ in range(3):
        figures = one.train_step(x, y)
        out = other.forward(x, training=True)
        assert figures == [other.loss(y, out)]
        dx = other.backward(other.loss.gradient(y, out))
        other.optimizer.step(other.parameters, other.gradients)
        np.testing.assert_array_equal(one.gradients, other.gradients)
        np.testing.assert_array_equal(one.parameters, other.parameters)
        assert dx.shape == x.shape
        assert dx.dtype == x.dtype
        assert np.abs(dx).max() > 0


def test_backward_returns_the_gradient_of_the_images():
    """The same fused or not, within rounding, and a second time the same."""
    x, y = data()
    gradients = []
    for fuse in (True, False):
        model = network(fuse)
        out = model.forward(x, training=True)
        dy = model.loss.gradient(y, out)
        dx = model.backward(dy)
        np.testing.assert_array_equal(model.backward(dy), dx)
        gradients.append(dx)
    np.testing.assert_allclose(*gradients, rtol=0, atol=1e-5 * np.abs(gradients[0]).max())


@pytest.mark.parametrize("fuse", [True, False])
def test_a_step_computes_no_gradient_of_the_images(fuse, monkeypatch):
    """It would be thrown away."""
    model = network(fuse)
    x, y = data()
    called = []
    first = model.plan(len(x)).runnables[0]
    backward = first.backward
    monkeypatch.setattr(first, "backward", lambda dy: called.append(1) or backward(dy))
    model.train_step(x, y)
    assert not called
    out = model.forward(x, training=True)
    model.backward(model.loss.gradient(y, out))
    assert called


def running(model, *batches):
    """Return each layer, and each fused layer or program that runs for batches of these sizes."""
    plans = [model.plan(images, training) for images in batches for training in (True, False)]
    found = [*model.layers, *(runnable for plan in plans for runnable in plan.runnables)]
    return list({id(each): each for each in found}.values())


def watched(model, *batches):
    """Return weak references to every output of every layer and fused layer, from now on."""
    seen = []

    def watch(run):
        def forward(*args, **kwargs):
            y = run(*args, **kwargs)
            seen.append(weakref.ref(y))
            return y

        return forward

    for each in running(model, *batches):
        each.forward = watch(each.forward)
    return seen


def alive(seen):
    """Return how many of them are held."""
    gc.collect()
    return len({id(ref()) for ref in seen if ref() is not None})


EVERY = [(fuse, algorithm) for fuse in (True, False) for algorithm in ("auto", "im2col")]


@pytest.mark.parametrize(("fuse", "algorithm"), EVERY)
def test_a_step_releases_what_it_saved(fuse, algorithm):
    """Neither activations nor images nor labels are held after it."""
    model = network(fuse, algorithm)
    x, y = data()
    model.train_step(x, y)
    seen = watched(model, 11)
    held = sys.getrefcount(x), sys.getrefcount(y)
    model.train_step(x, y)
    assert len(seen) >= len(model.plan(11).runnables)
    assert alive(seen) == 0
    assert (sys.getrefcount(x), sys.getrefcount(y)) == held
    for each in running(model, 11):
        assert each._saved is None


@pytest.mark.parametrize(("fuse", "algorithm"), EVERY)
def test_predict_and_evaluate_hold_nothing(fuse, algorithm):
    model = network(fuse, algorithm)
    x, y = data()
    seen, held = watched(model, 9, 10), sys.getrefcount(x)
    y_pred = model.predict(x, batch_size=IMAGES_ONE_BY_ONE + 1)
    assert len(seen) >= len(model.plan(9, training=False).runnables)
    assert alive(seen) == 0
    model.evaluate(x, y, batch_size=IMAGES_ONE_BY_ONE + 2)
    assert alive(seen) == 0
    model.predict(x, batch_size=4)  # in programs, where there are
    assert sys.getrefcount(x) == held
    for each in running(model, 9, 10):
        assert each._saved is None
    assert y_pred.shape == (11, 5)


def test_training_keeps_only_what_backward_reads():
    """Of a fused pool not its output, which the next layer saves."""
    model = network()
    x, _ = data()
    model.forward(x, training=True)
    first, second, third = model.plan(11).runnables[:3]
    assert [type(each) for each in (first, second, third)] == [FusedConvReLU, FusedConvMaxPool, FusedConvReLU]
    assert first._saved[0] is x
    assert second._saved[0] is first._saved[1]
    assert second._saved[1].dtype == np.uint8
    assert all(layer._saved is None for each in (first, second, third) for layer in each.layers)


def test_memory_goes_back_layer_by_layer():
    """When the backward pass reaches the first layer, what the later ones saved is gone."""
    model = network()
    x, y = data()
    model.train_step(x, y)
    seen, found = watched(model, 11), []
    first = model.plan(11).runnables[0]
    backward_params = first.backward_params
    first.backward_params = lambda dy: found.append(alive(seen)) or backward_params(dy)
    model.train_step(x, y)
    # its own output, which it needs, and that of the network, which the step holds
    assert found == [2]
    assert alive(seen) == 0


def test_a_step_that_fails_can_be_repeated():
    """Wrong labels are found after the forward pass: the next step is the same as if there had been none."""
    one, other = network(), network()
    x, y = data()
    with pytest.raises(ValueError, match="y_true: expected classes"):
        one.train_step(x, y + 100)
    assert one.train_step(x, y) == other.train_step(x, y)
    np.testing.assert_array_equal(one.parameters, other.parameters)


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("depth", [2, 3, 4])  # the last is a convolution, with a pool, with a dropout
def test_a_gradient_of_another_shape_or_dtype_is_refused(depth, fuse):
    """By fused layers as by one alone: kernels would read whatever memory comes after."""
    layers = [
        Conv2D(5, 3, activation="relu"),
        Conv2D(17, 3, activation="relu"),
        MaxPooling2D(2),
        Dropout(0.2),
    ]
    model = Sequential(layers[:depth], seed=0, input_shape=(12, 12, 2))
    model.compile("sgd", "mse", fuse=fuse)
    y = model.forward(np.ones((11, 12, 12, 2), np.float32), training=True)
    assert len(model.plan(11).runnables) == (2 if fuse else depth)
    for shape in [
        (*y.shape, 1),
        (y.shape[0] - 1, *y.shape[1:]),
        (*y.shape[:3], 16),
        (y.size,),
        (0, *y.shape[1:]),
    ]:
        with pytest.raises(ValueError, match=r"dy: expected shape \(11, .*received \("):
            model.backward(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=r"dy: expected an array of float32.*received float64"):
        model.backward(np.zeros(y.shape))
    assert model.backward(np.zeros_like(y)).shape == (11, 12, 12, 2)


@pytest.mark.parametrize("fuse", [True, False])
def test_backward_is_of_the_last_training_forward(fuse):
    """Whatever was predicted since."""
    x, y = data()
    one, other = network(fuse), network(fuse)
    outs = [model.forward(x, training=True) for model in (one, other)]
    one.predict(x[:3] + 1)
    one.forward(-x)
    results = [m.backward(m.loss.gradient(y, out)) for m, out in zip((one, other), outs, strict=True)]
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(one.gradients, other.gradients)


def test_steps_do_not_depend_on_what_ran_between_them():
    """Predictions, and another model of other sizes, in the same memory."""
    one, other, guest = network(), network(), tiny("float32", "auto")[0]
    guest.compile()
    x, y = data()
    for _ in range(3):
        one.train_step(x, y)
        other.train_step(x, y)
        other.predict(x[:3])
        guest.train_step(*noisy_classes(7, guest.input_shape, 3, np.float32))
        with kernels.use_algorithm("im2col"):
            other.predict(x)
    np.testing.assert_array_equal(one.parameters, other.parameters)


@pytest.mark.parametrize("fuse", [True, False])
def test_images_of_any_layout_and_read_only(fuse):
    """Such as a file in memory, or a batch that was flipped; the same bits, and they stay as they are."""
    x, y = data()
    wide_x = np.zeros((11, 13, 24, 2), np.float32)
    wide_x[:, :, ::2] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    expected = network(fuse)
    expected.train_step(x, y)
    for view in (frozen, np.asfortranarray(x), wide_x[:, :, ::2], x[:, ::-1].copy()[:, ::-1]):
        model = network(fuse)
        model.train_step(view, y)
        np.testing.assert_array_equal(view, x)
        np.testing.assert_array_equal(model.parameters, expected.parameters)


def test_batch_normalization_between_fused_layers():
    """A layer that runs alone, with state, between two that are fused: as if none were, up to rounding."""
    results = []
    for fuse in (True, False):
        layers = [
            Conv2D(17, 3, activation="relu"),
            BatchNormalization(),
            Conv2D(9, 2, activation="relu"),
            MaxPooling2D(2),
            Flatten(),
            Dense(5, activation="softmax"),
        ]
        model = Sequential(layers, seed=1, input_shape=(13, 12, 2))
        model.compile(SGD(0.1), "sparse_categorical_crossentropy", fuse=fuse)
        for _ in range(4):
            model.train_step(*data())
        results.append(np.concatenate([a.ravel() for a in model.get_weights()]))
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)
