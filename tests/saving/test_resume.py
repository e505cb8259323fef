"""Training goes on from a file as if it had never stopped."""

import numpy as np
import pytest

from tests.saving.saved_models import FORMATS, GOLDEN, assert_same
from tinycnn import Sequential, load_model
from tinycnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten
from tinycnn.optimizers import SGD, Adadelta, Adam, AdamW, RMSprop

OPTIMIZERS = [
    lambda: SGD(0.05, momentum=0.9),
    lambda: RMSprop(0.01, momentum=0.5, centered=True),
    lambda: Adadelta(1.0),
    lambda: Adam(0.01, amsgrad=True),
    lambda: AdamW(0.01, global_clipnorm=0.5),
]


def new_model(optimizer):
    """A network with everything that has a memory: moments, moving averages, dropout, shuffles."""
    model = Sequential(
        [
            Conv2D(5, (3, 2), activation="relu"),
            BatchNormalization(momentum=0.7),
            Dropout(0.2),
            Flatten(),
            Dropout(0.3, seed=2),
            Dense(4, activation="softmax"),
        ],
        seed=6,
        input_shape=(6, 5, 2),
    )
    model.compile(optimizer, metrics=["accuracy"])
    return model


def fit(model, epochs):
    """Train on the same random data as ever; return the history."""
    rng = np.random.default_rng(9)
    x, y = rng.random((40, 6, 5, 2), np.float32), rng.integers(0, 4, 40)
    return model.fit(x, y, batch_size=7, epochs=epochs, validation_split=0.2, verbose=0)


@pytest.mark.parametrize("suffix", [*FORMATS, pytest.param("safetensors", marks=pytest.mark.slow)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda make: type(make()).__name__)
def test_two_runs_are_one(tmp_path, suffix, optimizer):
    """2 + 3 epochs with a file between them are 5: weights, averages, moments and figures, bit for bit."""
    whole = new_model(optimizer())
    history = fit(whole, 5)
    first = new_model(optimizer())
    start = fit(first, 2).history
    first.save(tmp_path / f"m.{suffix}")
    second = load_model(tmp_path / f"m.{suffix}")
    end = fit(second, 3)
    assert_same(second, whole)
    assert end.epoch == [2, 3, 4]
    assert {name: start[name] + end.history[name] for name in start} == history.history
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_for_each_epoch(tmp_path, suffix):
    """Any number of stops, through either format in turn."""
    whole = new_model("adam")
    fit(whole, 4)
    model = new_model("adam")
    for number in range(4):
        fit(model, 1)
        path = tmp_path / f"{number}.{suffix if number % 2 else 'npz'}"
        model.save(path)
        model = load_model(path)
    assert_same(model, whole)


def test_the_moments_matter(tmp_path):
    """The test above could see it if they were left behind."""
    whole, model = new_model("adam"), new_model("adam")
    fit(whole, 3)
    fit(model, 1)
    model.save(tmp_path / "m.npz", include_optimizer=False)
    model = load_model(tmp_path / "m.npz")
    model.compile("adam", metrics=["accuracy"])
    fit(model, 2)
    assert not np.array_equal(model.parameters, whole.parameters)


@pytest.mark.parametrize("version", [2, 3])
def test_training_goes_on_from_keras(tmp_path, version):
    """The golden files: Keras' six steps of Adam, then ours; and through our own files in between."""
    with np.load(GOLDEN / f"small_keras{version}.npz") as golden:
        x, labels = golden["x"], golden["labels"]
    model = load_model(GOLDEN / f"small_keras{version}.h5")
    model.save(tmp_path / "m.npz")
    before = model.evaluate(x, labels)[0]
    again = load_model(tmp_path / "m.npz")
    model.fit(x, labels, batch_size=5, epochs=20, verbose=0)
    again.fit(x, labels, batch_size=5, epochs=20, verbose=0)
    assert model.optimizer.iterations == 6 + 20 * 4
    assert model.evaluate(x, labels)[0] < before
    assert_same(again, model)


def test_a_moment_that_is_no_longer_used_stays_behind(tmp_path):
    """When the setting that kept it was switched off after training."""
    model = new_model(Adam(0.01, amsgrad=True))
    fit(model, 1)
    model.optimizer.amsgrad = False
    model.save(tmp_path / "m.npz")
    assert set(load_model(tmp_path / "m.npz").optimizer.slots) == {"momentum", "velocity"}
