"""Diagnosis: each planted fault is named first, healthy networks get a clean bill, and nothing is changed."""

import copy
import json
import pickle
import random
import time
import warnings
from functools import cache

import numpy as np
import pytest

from tests.networks import assert_same_weights
from tinycnn import Sequential, load_pretrained, losses, mnist_cnn, recipes, regularizers
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.inspection import Diagnosis, diagnose
from tinycnn.inspection.diagnosis import CHECKS
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
)
from tinycnn.optimizers import SGD, Adam, AdamW, RMSprop
from tinycnn.optimizers.schedules import CosineDecay

ONE_HOT, BINARY = "categorical_crossentropy", "binary_crossentropy"
SPARSE = "sparse_categorical_crossentropy"
LOGITS = losses.SparseCategoricalCrossentropy(from_logits=True)
SHAPE, CLASSES = (9, 7, 2), 5
SMALL = (6, 5, 1)


@cache
def kinds(count=400, classes=CLASSES, shape=SHAPE, seed=0):
    """Return images in 0..1 of as many kinds as there are classes, under noise, and their classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    return (0.6 * rng.random((classes, *shape))[y] + 0.4 * rng.random((count, *shape))).astype(np.float32), y


@cache
def bars(count=500, seed=0):
    """Return noise with a bar across, a bar down, or both, anywhere; and which."""
    rng = np.random.default_rng(seed)
    x, y = 0.2 * rng.random((count, 12, 11, 1)).astype(np.float32), rng.integers(0, 3, count)
    for image, kind in zip(x, y, strict=True):
        row, column = rng.integers(2, 9, 2)
        image[row] += 0.8 * (kind != 1)
        image[:, column] += 0.8 * (kind != 0)
    return x, y


@cache
def halves(count=300, seed=0):
    """Return images of which the upper half is brighter, or not, and whether it is."""
    rng = np.random.default_rng(seed)
    x, y = rng.random((count, *SMALL)).astype(np.float32), rng.integers(0, 2, count)
    x[y == 1, :3] += 0.5
    return x, y


@cache
def differences(count=300, seed=0):
    """Return images, and by how much the upper half is brighter."""
    x = np.random.default_rng(seed).random((count, *SMALL)).astype(np.float32)
    return x, 4 * (x[:, :3].mean(axis=(1, 2, 3)) - x[:, 3:].mean(axis=(1, 2, 3)))


def stack(*layers, shape=SHAPE, optimizer=None, loss=SPARSE, seed=1):
    """Return a compiled network. A wrong end is warned of already when it is compiled."""
    model = Sequential(layers, seed=seed, input_shape=shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.compile(optimizer or Adam(0.003), loss)
    return model


def conv(end="softmax", units=CLASSES, rate=0.3, activation="relu", **arguments):
    """Return a network of a convolution and two dense layers."""
    options = {
        name: arguments.pop(name)
        for name in ("kernel_initializer", "kernel_regularizer")
        if name in arguments
    }
    layers = [Conv2D(6, 3, activation=activation, **options), MaxPooling2D(2), Flatten()]
    layers += [Dense(17, activation=activation, **options), Dropout(rate), Dense(units, activation=end)]
    return stack(*layers, **arguments)


def dense(*hidden, end="softmax", units=CLASSES, activation="relu", **arguments):
    """Return a network of dense layers."""
    sizes = hidden or (24, 16)
    return stack(
        Flatten(),
        *(Dense(n, activation=activation) for n in sizes),
        Dense(units, activation=end),
        **arguments,
    )


def one_output(end="sigmoid", loss=BINARY, optimizer=None):
    return dense(8, end=end, units=1, loss=loss, shape=SMALL, optimizer=optimizer or Adam(0.01))


def with_bias(model, layer, value):
    """Return a network after its layer of a number was given biases."""
    model.layers[layer].params["bias"] = np.broadcast_to(value, model.layers[layer].params["bias"].shape)
    return model


def with_kernels(model, change):
    for layer in model.layers:
        if "kernel" in layer.params:
            layer.params["kernel"] = change(layer.params["kernel"])
    return model


def normalised(mean=None, variance=None, **arguments):
    """Return a network with batch normalisation and given moving averages."""
    layers = Conv2D(6, 3), BatchNormalization(**arguments), Activation("relu"), Flatten()
    model = stack(*layers, Dense(CLASSES, activation="softmax"))
    for name, value in {"moving_mean": mean, "moving_variance": variance}.items():
        if value is not None:
            model.layers[1].state[name] = np.full(6, value)
    return model


def trained(model, x, y, epochs=8):
    model.fit(x, y, epochs=epochs, verbose=0)
    return model


def frozen(model, *numbers):
    for number in numbers:
        model.layers[number].trainable = False
    return model


class Scale(Layer):
    """A layer y = x / 2 with the mistake of the test."""

    def __init__(self, mistake, name=None):
        super().__init__(name)
        self.mistake = mistake

    def forward(self, x, training=False):
        if self.mistake == "in place":
            x *= 0.5
            return x
        return x * 0.5

    def backward(self, dy):
        if self.mistake == "in place backward":
            dy *= 0.5
            return dy
        return {"sign": -0.5, "factor": 1.0, "blocked": 0.0}.get(self.mistake, 0.5) * dy


class Forgetful(Dense):
    """A dense layer that forgets the gradient of its kernel."""

    def backward(self, dy):
        dx = super().backward(dy)
        self.grads["kernel"][...] = 0
        return dx


class OwnSoftmax(Layer):
    """A softmax that names no activation."""

    def forward(self, x, training=False):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        self._saved = e / e.sum(axis=-1, keepdims=True)
        return self._saved

    def backward(self, dy):
        return self._saved * (dy - (dy * self._saved).sum(axis=-1, keepdims=True))


def noisy(share, seed=3):
    """Return the labels of `kinds`, of which a share is drawn at random."""
    y, rng = kinds()[1].copy(), np.random.default_rng(seed)
    rows = rng.random(len(y)) < share
    y[rows] = rng.integers(0, CLASSES, rows.sum())
    return y


def shuffled(y, seed=3):
    return np.random.default_rng(seed).permutation(y)


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def X():
    return kinds()[0]


def Y():
    return kinds()[1]


def by_class():
    """Return the order that sorts the labels of `kinds`."""
    return np.argsort(Y(), kind="stable")


def in_runs(length=8):
    """Return an order of `kinds` in which as many images of a class follow each other; some are left out."""
    rows = [np.flatnonzero(Y() == kind)[: 7 * length].reshape(7, length) for kind in range(CLASSES)]
    return np.stack(rows, axis=1).reshape(-1)


def rows_of(y):
    return np.eye(CLASSES, dtype=np.float32)[y]


#: (the name of the fault, what has it). Several of each kind.
PLANTED = {
    "labels shuffled": ("unrelated_labels", lambda: (dense(), X(), shuffled(Y()))),
    "labels rolled": ("unrelated_labels", lambda: (conv(), X(), np.roll(Y(), 1))),
    "labels shuffled, one output": (
        "unrelated_labels",
        lambda: (one_output(), halves()[0], shuffled(halves()[1])),
    ),
    "targets shuffled": (
        "unrelated_labels",
        lambda: (one_output(None, "mse"), differences()[0], shuffled(differences()[1])),
    ),
    "labels shuffled, trained before": (
        "unrelated_labels",
        lambda: (trained(dense(), *kinds()), X(), shuffled(Y())),
    ),
    "labels shuffled, trained on them": (
        "unrelated_labels",
        lambda: (trained(dense(), X(), shuffled(Y()), 40), X(), shuffled(Y())),
    ),
    "labels sorted": ("sorted_labels", lambda: (conv(), X()[by_class()], Y()[by_class()])),
    "labels sorted, one-hot": (
        "sorted_labels",
        lambda: (conv(loss=ONE_HOT), X()[by_class()], rows_of(Y()[by_class()])),
    ),
    "labels in long runs": ("sorted_labels", lambda: (dense(), X()[in_runs()], Y()[in_runs()])),
    "labels half random": ("noisy_labels", lambda: (dense(), X(), noisy(0.5))),
    "labels shifted, trained before": (
        "renamed_labels",
        lambda: (trained(dense(optimizer=Adam(0.01)), *kinds()), X(), (Y() + 1) % CLASSES),
    ),
    "labels constant": ("constant_labels", lambda: (conv(), X(), Y() * 0 + 2)),
    "labels one-hot and constant": (
        "constant_labels",
        lambda: (conv(loss=ONE_HOT), X(), rows_of(Y() * 0 + 2)),
    ),
    "targets constant": (
        "constant_labels",
        lambda: (one_output(None, "mse"), differences()[0], np.ones(300)),
    ),
    "a class missing": ("missing_class", lambda: (conv(), X()[Y() != 2], Y()[Y() != 2])),
    "the last class missing": ("missing_class", lambda: (dense(), X()[Y() != 4], Y()[Y() != 4])),
    "a class rare": (
        "imbalanced_labels",
        lambda: (dense(), *(a[(Y() != 3) | (np.arange(400) < 12)] for a in kinds())),
    ),
    "a class in most": (
        "imbalanced_labels",
        lambda: (one_output(), *(a[(halves()[1] == 1) | (np.arange(300) < 24)] for a in halves())),
    ),
    "one-hot rows, sparse loss": ("label_format", lambda: (conv(), X(), rows_of(Y()))),
    "class numbers, one-hot loss": ("label_format", lambda: (conv(loss=ONE_HOT), X(), Y())),
    "class numbers as floats": ("label_format", lambda: (conv(), X(), Y().astype(float))),
    "class numbers, mse": ("label_format", lambda: (conv(loss="mse"), X(), Y())),
    "labels from 1": ("output_units", lambda: (conv(), X(), Y() + 1)),
    "too few outputs": ("output_units", lambda: (dense(units=3), X(), Y())),
    "too few outputs, one-hot": ("output_units", lambda: (dense(units=3, loss=ONE_HOT), X(), rows_of(Y()))),
    "too many outputs": ("output_units", lambda: (dense(units=50), X(), Y())),
    "labels NaN": (
        "labels_not_finite",
        lambda: (one_output(None, "mse"), differences()[0], changed(differences()[1], 250, np.nan)),
    ),
    "targets large": (
        "unscaled_targets",
        lambda: (one_output(None, "mse"), differences()[0], 900 * differences()[1]),
    ),
    "pixels to 255": ("unscaled_inputs", lambda: (conv(), 255 * X(), Y())),
    "pixels as bytes": ("unscaled_inputs", lambda: (dense(), (255 * X()).astype(np.uint8), Y())),
    "pixels from -128": ("unscaled_inputs", lambda: (dense(), 255 * X() - 128, Y())),
    "one channel to 255": ("unscaled_inputs", lambda: (conv(), X() * [1, 255], Y())),
    "pixels scaled twice": ("unscaled_inputs", lambda: (conv(), X() / 255, Y())),
    "pixels inverted": ("inputs_off_centre", lambda: (dense(), 1 - X() ** 4 / 2, Y())),
    "images zero": ("inputs_constant", lambda: (conv(), 0 * X(), Y())),
    "images the same": ("inputs_constant", lambda: (conv(), 0 * X() + X()[:1], Y())),
    "a pixel NaN": ("inputs_not_finite", lambda: (conv(), changed(X(), (399, 1, 2, 0), np.nan), Y())),
    "a pixel infinite": ("inputs_not_finite", lambda: (dense(), changed(X(), (7, 1, 2, 0), np.inf), Y())),
    "images blank": ("blank_images", lambda: (dense(), changed(X(), slice(0, 400, 3), 0.0), Y())),
    "images twice": (
        "duplicated_images",
        lambda: (dense(), *(np.repeat(a[:200], 2, axis=0) for a in kinds())),
    ),
    "rate high, Adam": ("learning_rate_high", lambda: (conv(optimizer=Adam(0.1)), X(), Y())),
    "rate high, Adam, dense": ("learning_rate_high", lambda: (dense(optimizer=Adam(0.3)), X(), Y())),
    "rate high, SGD": ("learning_rate_high", lambda: (conv(optimizer=SGD(3.0)), X(), Y())),
    "rate high, momentum": ("learning_rate_high", lambda: (dense(optimizer=SGD(3.0, 0.9)), X(), Y())),
    "rate high, RMSprop": ("learning_rate_high", lambda: (dense(optimizer=RMSprop(0.2)), X(), Y())),
    "rate low, Adam": ("learning_rate_low", lambda: (conv(optimizer=Adam(1e-6)), X(), Y())),
    "rate low, SGD": ("learning_rate_low", lambda: (dense(optimizer=SGD(1e-5)), X(), Y())),
    "rate low, RMSprop": ("learning_rate_low", lambda: (dense(optimizer=RMSprop(1e-6)), X(), Y())),
    "rate 0": ("learning_rate_low", lambda: (dense(optimizer=SGD(0.0)), X(), Y())),
    "clipped": ("strong_clipping", lambda: (dense(optimizer=SGD(0.01, global_clipnorm=1e-5)), X(), Y())),
    "momentum near 1": ("strong_momentum", lambda: (dense(optimizer=SGD(1e-4, 0.999)), X(), Y())),
    "weight decay": ("strong_weight_decay", lambda: (dense(optimizer=AdamW(0.003, 20.0)), X(), Y())),
    "L2": ("strong_regularizer", lambda: (conv(kernel_regularizer=regularizers.L2(3.0)), X(), Y())),
    "L1": ("strong_regularizer", lambda: (conv(kernel_regularizer=regularizers.L1(0.3)), X(), Y())),
    "dropout 0.99": ("strong_dropout", lambda: (conv(rate=0.99), X(), Y())),
    "dropout 0.75": ("strong_dropout", lambda: (conv(rate=0.75), X(), Y())),
    "kernels zero": ("equal_weights", lambda: (conv(kernel_initializer="zeros"), X(), Y())),
    "kernels one": ("equal_weights", lambda: (conv(kernel_initializer="ones"), X(), Y())),
    "kernels equal": ("equal_weights", lambda: (with_kernels(dense(), lambda w: 0 * w + 0.05), X(), Y())),
    "kernels equal, trained": (
        "equal_weights",
        lambda: (
            trained(with_kernels(dense(activation="tanh"), lambda w: 0 * w + 0.05), *kinds(), 1),
            X(),
            Y(),
        ),
    ),
    "kernels huge": ("large_weights", lambda: (with_kernels(conv(), lambda w: 50 * w), X(), Y())),
    "a kernel huge": (
        "large_weights",
        lambda: (with_kernels(dense(), lambda w: w * (1 + 60 * (len(w) < 20))), X(), Y()),
    ),
    "kernels tiny": ("small_weights", lambda: (with_kernels(conv(), lambda w: 1e-3 * w), X(), Y())),
    "a weight NaN": (
        "weights_not_finite",
        lambda: (with_kernels(conv(), lambda w: changed(w, (0, 0), np.nan)), X(), Y()),
    ),
    "biases far apart": (
        "initial_loss",
        lambda: (with_bias(dense(), -1, np.arange(CLASSES) * 6.0), X(), Y()),
    ),
    "all ReLUs dead": ("dead_relus", lambda: (with_bias(conv(), 3, -40.0), X(), Y())),
    "filters dead": ("dead_relus", lambda: (with_bias(conv(), 0, -40.0), X(), Y())),
    "half of the ReLUs dead": (
        "dead_relus",
        lambda: (with_bias(dense(), 1, -40.0 * (np.arange(24) % 2)), X(), Y()),
    ),
    "tanh at its ends": ("saturated_units", lambda: (with_bias(dense(activation="tanh"), 1, 30.0), X(), Y())),
    "sigmoid at its ends": (
        "saturated_units",
        lambda: (with_bias(dense(activation="sigmoid"), 2, -30.0), X(), Y()),
    ),
    "ten sigmoids": ("vanishing_gradient", lambda: (dense(*[20] * 10, activation="sigmoid"), X(), Y())),
    "seven sigmoids": ("vanishing_gradient", lambda: (dense(*[20] * 7, activation="sigmoid"), X(), Y())),
    "all frozen": ("nothing_trainable", lambda: (frozen(dense(), 1, 2, 3), X(), Y())),
    "one frozen": ("frozen_layers", lambda: (frozen(dense(), 1), X(), Y())),
    **{
        f"backward: {mistake}": (
            "wrong_gradient",
            lambda mistake=mistake: (
                stack(
                    Flatten(),
                    Dense(24, activation="tanh"),
                    Scale(mistake),
                    Dense(CLASSES, activation="softmax"),
                ),
                X(),
                Y(),
            ),
        )
        for mistake in ("sign", "factor", "blocked")
    },
    "backward: kernel": (
        "wrong_gradient",
        lambda: (
            stack(Flatten(), Forgetful(24, activation="tanh"), Dense(CLASSES, activation="softmax")),
            X(),
            Y(),
        ),
    ),
    "in place": (
        "changes_input",
        lambda: (stack(Flatten(), Dense(24, "tanh"), Scale("in place"), Dense(CLASSES, "softmax")), X(), Y()),
    ),
    "in place, images": (
        "changes_input",
        lambda: (stack(Scale("in place"), Flatten(), Dense(CLASSES, "softmax")), X(), Y()),
    ),
    "in place, backward": (
        "changes_input",
        lambda: (
            stack(Flatten(), Dense(24, "tanh"), Scale("in place backward"), Dense(CLASSES, "softmax")),
            X(),
            Y(),
        ),
    ),
    "softmax twice": (
        "softmax_twice",
        lambda: (stack(Flatten(), Dense(CLASSES, "softmax"), Activation("softmax")), X(), Y()),
    ),
    "softmax in the middle": (
        "softmax_twice",
        lambda: (stack(Flatten(), Dense(9, "softmax"), Dropout(0.1), Dense(CLASSES, "softmax")), X(), Y()),
    ),
    "softmax before logits": ("softmax_twice", lambda: (conv(loss=LOGITS), X(), Y())),
    "own softmax twice": (
        "softmax_twice",
        lambda: (stack(Flatten(), Dense(CLASSES, "softmax"), OwnSoftmax()), X(), Y()),
    ),
    "own softmax before logits": (
        "softmax_twice",
        lambda: (stack(Flatten(), Dense(CLASSES), OwnSoftmax(), loss=LOGITS), X(), Y()),
    ),
    "softmax of one": ("softmax_of_one", lambda: (one_output("softmax"), *halves())),
    "no softmax": ("no_softmax", lambda: (conv(end=None), X(), Y())),
    "no softmax, one-hot": ("no_softmax", lambda: (dense(end="linear", loss=ONE_HOT), X(), rows_of(Y()))),
    "tanh for softmax": ("no_softmax", lambda: (dense(end="tanh"), X(), Y())),
    "sigmoid for softmax": ("sigmoid_with_categorical", lambda: (conv(end="sigmoid"), X(), Y())),
    "sigmoid before logits": ("bounded_logits", lambda: (dense(end="sigmoid", loss=LOGITS), X(), Y())),
    "ReLU for softmax": ("relu_output", lambda: (conv(end="relu"), X(), Y())),
    "ReLU before logits": ("relu_output", lambda: (dense(end="relu", loss=LOGITS), X(), Y())),
    "no sigmoid": ("no_sigmoid", lambda: (one_output(None), *halves())),
    "sigmoid twice": (
        "sigmoid_twice",
        lambda: (one_output(loss=losses.BinaryCrossentropy(from_logits=True)), *halves()),
    ),
    "dropout last": (
        "dropout_at_output",
        lambda: (stack(Flatten(), Dense(CLASSES, "softmax"), Dropout(0.4)), X(), Y()),
    ),
    "mse of a softmax": ("loss_choice", lambda: (dense(loss="mse"), X(), rows_of(Y()))),
    "mse of class numbers": ("loss_choice", lambda: (dense(loss="mse", units=1, end=None), X(), Y())),
    "ReLU below 0": ("output_range", lambda: (one_output("relu", "mse"), *differences())),
    "sigmoid above 1": (
        "output_range",
        lambda: (one_output("sigmoid", "mae"), differences()[0], differences()[1] + 3),
    ),
    "moving mean": ("batch_norm_averages", lambda: (normalised(mean=50.0), X(), Y())),
    "moving variance": ("batch_norm_averages", lambda: (normalised(variance=1e5), X(), Y())),
    "moving variance negative": ("batch_norm_averages", lambda: (normalised(variance=-1.0), X(), Y())),
    "moving averages stand": ("batch_norm_momentum", lambda: (normalised(momentum=1.0), X(), Y())),
    "moving averages jump": ("batch_norm_momentum", lambda: (normalised(momentum=0.01), X(), Y())),
}


def some(names):
    """Return parameters, of which three in four are slow tests: all together take a quarter of a minute."""
    return [pytest.param(name, marks=[pytest.mark.slow] * bool(i % 4)) for i, name in enumerate(names)]


@pytest.mark.smoke
@pytest.mark.parametrize("planted", some(PLANTED))
def test_a_planted_fault_is_named_first(planted):
    """And nothing stands beside it, as an effect would."""
    expected, make = PLANTED[planted]
    report = diagnose(*make())
    assert [finding.check for finding in report.findings] == [expected], report
    notes = {"frozen_layers", "inputs_off_centre", "sorted_labels"}
    assert report.healthy == (expected in notes)


def healthy_networks(seed):
    """Yield networks of all kinds with data that they learn."""
    x, y = kinds(seed=seed)
    yield "conv, Adam", conv(seed=seed), x, y
    yield "dense, SGD", dense(30, optimizer=SGD(0.05), seed=seed), x, y
    yield "dense, momentum", dense(30, 20, optimizer=SGD(0.03, 0.9), seed=seed), x, y
    yield "one layer, one-hot", dense(loss=ONE_HOT, seed=seed), x, rows_of(y)
    layers = [
        Conv2D(6, 3, use_bias=False),
        BatchNormalization(),
        Activation("relu"),
        GlobalAveragePooling2D(),
    ]
    yield (
        "batch normalisation",
        stack(*layers, Dense(CLASSES), loss=LOGITS, seed=seed, optimizer=Adam(0.01)),
        x,
        y,
    )
    layers = [
        Conv2D(5, 4, padding="same", activation="tanh"),
        AveragePooling2D(2),
        Flatten(),
        Dense(12, "tanh"),
    ]
    yield "tanh, averages", stack(*layers, Dense(CLASSES, "softmax"), optimizer=SGD(0.1), seed=seed), x, y
    yield "RMSprop", conv(optimizer=RMSprop(0.001), rate=0.5, seed=seed), x, y
    yield "L2", conv(kernel_regularizer="l2", optimizer=AdamW(0.003), seed=seed), x, y
    yield "standardised", conv(seed=seed), (x - x.mean()) / x.std(), y
    yield "warm-up", conv(seed=seed, optimizer=Adam(CosineDecay(0.0, 400, 0.0, 0.004, 100))), x, y
    layers = [
        Conv2D(6, 3, padding="same", activation="relu", kernel_initializer="he_normal") for _ in range(5)
    ]
    yield "deep", stack(*layers, Flatten(), Dense(CLASSES, "softmax"), seed=seed), x, y
    layers = [Conv2D(8, 3, activation="relu"), MaxPooling2D(2), Conv2D(8, 3, activation="relu")]
    layers += [GlobalAveragePooling2D(), Dense(3, "softmax")]
    yield "bars", stack(*layers, shape=(12, 11, 1), optimizer=Adam(0.01), seed=seed), *bars(seed=seed)
    layers = Dense(20, "relu"), Dense(CLASSES, "softmax", kernel_initializer="zeros")
    yield "a last layer of zeros", stack(Flatten(), *layers, seed=seed), x, y
    end = Conv2D(2, 3, padding="same", activation="sigmoid")
    model = stack(Conv2D(8, 3, padding="same", activation="relu"), end, loss="mse", seed=seed)
    yield "images from images", model, x, x
    yield "one output", one_output(), *halves(seed=seed)
    yield "one logit", one_output(None, losses.BinaryCrossentropy(from_logits=True)), *halves(seed=seed)
    yield "regression", one_output(None, "mse"), *differences(seed=seed)
    yield "regression, mae", one_output(None, "mae", RMSprop(0.003)), *differences(seed=seed)


def assert_healthy(report, name):
    assert report.healthy, f"{name}: {report}"


@pytest.mark.slow
@pytest.mark.smoke
def test_healthy_networks_get_a_clean_bill():
    """Every second one; the slow test has all."""
    for name, model, x, y in [*healthy_networks(seed=0)][::2]:
        assert_healthy(diagnose(model, x, y), name)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_healthy_networks_get_a_clean_bill_at_every_age(seed):
    """Fresh, after an epoch, and when the loss is low."""
    for name, model, x, y in healthy_networks(seed):
        for epochs in (0, 1, 15):
            assert_healthy(diagnose(trained(model, x, y, epochs), x, y, seed=seed), f"{name}, {epochs}")


@pytest.mark.slow
def test_mnist_by_the_recipes_fresh_trained_and_pretrained(monkeypatch):
    """About the limit in time: 10 s of two calm cores with im2col; a loaded machine takes longer."""
    monkeypatch.setenv("TINYCNN_ALGORITHM", "im2col")
    (images, labels), _ = load_mnist()
    x, y = scale_images(images[:1000]), labels[:1000]
    for name, recipe in recipes.RECIPES.items():
        model = recipes.network(recipe, seed=1)
        model.compile(recipes.optimizer(recipe, 100), SPARSE)
        begin = time.process_time()
        assert_healthy(diagnose(model, x, y), name)
        assert time.process_time() - begin < 40
    assert_healthy(diagnose(trained(model, x, y, 1), x, y), "after an epoch")
    model = load_pretrained("mnist_cnn")
    model.compile(Adam(1e-4), SPARSE)
    assert_healthy(diagnose(model, x, y), "pretrained")
    assert diagnose(model, 255 * x, y).findings[0].check == "unscaled_inputs"
    assert diagnose(model, x, (y + 1) % 10).findings[0].check == "renamed_labels"


@pytest.mark.smoke
def test_large_steps_after_which_the_loss_is_low_are_no_fault():
    """Adam's first steps are as large as its rate, whatever the size of a kernel."""
    x, y = kinds()
    model = with_kernels(dense(20, optimizer=Adam(0.03)), lambda w: 0.2 * w)
    report = diagnose(model, x, y)
    assert report.figures["largest_update"] > 0.3
    assert report.figures["loss_after"] < 0.5 * report.figures["loss"]
    assert report.healthy, report


@pytest.mark.smoke
def test_weights_that_grew_are_not_blamed_on_their_initializer_alone():
    model, x, y = dense(optimizer=Adam(3.0)), X(), Y()
    assert [finding.check for finding in diagnose(model, x, y).findings] == ["learning_rate_high"]
    (finding,) = diagnose(trained(model, x, y, 3), x, y).findings
    assert finding.check == "large_weights"
    assert finding.message.startswith("after 39 steps the kernel amplifies")
    assert "a smaller learning rate, or use 'glorot_uniform'" in finding.cure
    fresh = diagnose(with_kernels(conv(), lambda w: 50 * w), x, y).findings[0]
    assert fresh.message.startswith("the kernel amplifies")
    assert "learning rate" not in fresh.cure


@pytest.mark.smoke
def test_images_that_are_known_by_heart_are_not_judged():
    x, y = kinds(120)[0], shuffled(kinds(120)[1])
    model = trained(dense(60, 60, optimizer=Adam(0.01)), x, y, 60)
    report = diagnose(model, x, y)
    assert report.healthy, report
    assert "labels_not_judged" in [finding.check for finding in report.findings]


class Noise(Layer):
    """A layer that draws from the global random numbers and counts its calls."""

    def forward(self, x, training=False):
        random.random()
        return x + np.random.normal(0, 0.001, x.shape).astype(x.dtype)  # noqa: NPY002

    def backward(self, dy):
        return dy


@pytest.mark.smoke
def test_nothing_is_changed():
    """To the bit: weights, moments, counters, gradients, data, random numbers; and the run after it."""
    x, y = (array.copy() for array in kinds())
    model = stack(
        Flatten(), Noise(), Dense(9, "relu"), BatchNormalization(), Dropout(0.3), Dense(CLASSES, "softmax")
    )
    trained(model, x, y, 1)
    before, given = copy.deepcopy(model), (x.copy(), y.copy())
    states = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    diagnose(model, x, y)
    assert_same_weights(model, before)
    np.testing.assert_array_equal(model.gradients, before.gradients)
    for name, slot in before.optimizer.slots.items():
        np.testing.assert_array_equal(model.optimizer.slots[name], slot)
    assert model.optimizer.iterations == before.optimizer.iterations
    assert model.optimizer.learning_rate == before.optimizer.learning_rate
    assert (model.steps_trained, model.epochs_trained) == (before.steps_trained, before.epochs_trained)
    assert [layer.mask_index for layer in model if isinstance(layer, Dropout)] == [
        before["dropout_1"].mask_index
    ]
    assert model.optimizer.get_config() == before.optimizer.get_config()
    np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
    assert random.getstate() == states[1]
    np.testing.assert_array_equal(x, given[0])
    np.testing.assert_array_equal(y, given[1])


@pytest.mark.smoke
def test_a_model_that_is_not_built_stays_so():
    model = Sequential([Flatten(), Dense(CLASSES, "softmax")], seed=1)
    model.compile(Adam(0.01), SPARSE)
    assert diagnose(model, *kinds()).healthy
    assert not model.built


@pytest.mark.slow
@pytest.mark.smoke
def test_the_same_arguments_give_the_same_report():
    model = conv()
    assert diagnose(model, *kinds(), seed=2).to_dict() == diagnose(model, *kinds(), seed=2).to_dict()


@pytest.mark.smoke
def test_the_report_is_text_and_json_and_cannot_be_changed():
    report = diagnose(conv(), 255 * X(), shuffled(Y()))
    assert [finding.check for finding in report.findings] == ["unscaled_inputs", "labels_not_judged"]
    text = str(report)
    assert text == repr(report)
    assert "not healthy (1 fault, 1 note)" in text
    assert "scale_images" in text
    assert json.loads(json.dumps(report.to_dict()))["findings"][0]["check"] == "unscaled_inputs"
    with pytest.raises(AttributeError):
        report.findings = ()
    with pytest.raises(TypeError):
        report.findings[0].figures["rms"] = 0
    with pytest.raises(TypeError):
        report.figures["loss"] = 0
    assert pickle.loads(pickle.dumps(report)).to_dict() == report.to_dict()


@pytest.mark.smoke
def test_faults_that_cannot_explain_each_other_stand_side_by_side():
    found = [finding.check for finding in diagnose(conv(loss=LOGITS), 255 * X(), Y()).findings]
    assert found == ["unscaled_inputs", "softmax_twice"]


@pytest.mark.smoke
def test_every_check_is_described_and_planted():
    planted = {expected for expected, _ in PLANTED.values()}
    elsewhere = {"renamed_labels", "labels_not_judged"}
    hard_to_plant = CHECKS.keys() - planted - elsewhere
    assert planted <= CHECKS.keys()
    assert hard_to_plant <= {
        "input_type",
        "schedule_ended",
        "exploding_activations",
        "exploding_gradient",
        "zero_gradient",
        "unchanged_layer",
        "cannot_memorise",
    }


@pytest.mark.smoke
def test_what_fit_refuses_for_its_shape_is_refused():
    model = conv()
    with pytest.raises(ValueError, match="400 images"):
        diagnose(model, X(), Y()[:-1])
    with pytest.raises(ValueError, match="x: expected shape"):
        diagnose(model, X()[:, 1:], Y())
    with pytest.raises(ValueError, match="x: expected an array of floats"):
        diagnose(model, (image for image in X()), Y())
    with pytest.raises(ValueError, match="compile"):
        diagnose(mnist_cnn(0), X(), Y())


def test_a_diagnosis_is_public():
    assert Diagnosis.__module__ == "tinycnn.inspection.diagnosis"
