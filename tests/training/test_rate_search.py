"""The range test: it finds a rate that trains, and leaves no trace."""

import numpy as np
import pytest

from tests.networks import dense_only as network
from tests.networks import dense_only_data as data
from tinycnn import Sequential, load_pretrained
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.layers import Dense, Dropout, Flatten
from tinycnn.optimizers import SGD, Adam
from tinycnn.optimizers.schedules import OneCycle
from tinycnn.training import find_learning_rate

X, Y = data(300)


@pytest.mark.parametrize("optimizer", [Adam(0.02), SGD(OneCycle(0.1, 20), momentum=0.5)], ids=repr)
def test_the_model_is_as_it_was(optimizer):
    """Weights, moving means, moments, rate, position: training goes on with the same bits."""
    model, twin = (network(type(optimizer)(**optimizer.get_config())) for _ in range(2))
    for one in (model, twin):
        one.fit(X, Y, batch_size=50, verbose=0)
    before = model.optimizer.get_config()
    find_learning_rate(model, X, Y, steps=20, batch_size=30)
    assert model.optimizer.get_config() == before
    assert (model.steps_trained, model.epochs_trained, model.optimizer.iterations) == (6, 1, 6)
    for one in (model, twin):
        one.fit(X, Y, batch_size=50, verbose=0)
    for weight, other in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)


def test_it_evaluates_nothing(monkeypatch):
    """An evaluation of one image would show a bar in a notebook, and compile the kernels for one image."""
    model = network()
    monkeypatch.setattr(type(model), "evaluate", lambda *arguments: pytest.fail("evaluate was called"))
    find_learning_rate(model, X, Y, steps=10, batch_size=30)


def test_what_it_finds():
    """Rates in even steps of their logarithm; the end where it explodes; a suggestion that trains well."""
    found = find_learning_rate(network(SGD(0.1)), X, Y, 1e-4, 1e3, steps=150, batch_size=50)
    assert found.rates[0] == pytest.approx(1e-4)
    assert found.rates[-1] < 1e3
    np.testing.assert_allclose(found.rates[1:] / found.rates[:-1], found.rates[1] / found.rates[0])
    assert len(found.rates) == len(found.losses) == len(found.smooth)
    assert 1e-3 < found.suggestion < 100
    losses = {}
    for rate in (found.suggestion, found.suggestion / 1000):
        model = network(SGD(rate))
        losses[rate] = model.fit(X, Y, batch_size=50, epochs=3, verbose=0).history["loss"][-1]
    assert losses[found.suggestion] < losses[found.suggestion / 1000]


@pytest.mark.parametrize("seed", range(3))
def test_the_noise_before_the_fall_is_no_suggestion(seed):
    """With dropout and small batches the first losses go up and down more than they fall later."""
    (x, y), _ = load_mnist()
    layers = [Flatten(), Dense(32, activation="relu"), Dropout(0.5), Dense(10, activation="softmax")]
    model = Sequential(layers, seed=seed)
    model.compile(SGD(0.1), "sparse_categorical_crossentropy")
    found = find_learning_rate(model, scale_images(x[:2000]), y[:2000], batch_size=16)
    assert 1e-2 < found.suggestion < 1


@pytest.mark.slow
def test_batches_of_a_trained_network_differ():
    """By more than a hundred times, at a rate at which nothing changes: that is no explosion."""
    (x, y), _ = load_mnist()
    model = load_pretrained("mnist_cnn")
    model.compile(SGD(0.1), "sparse_categorical_crossentropy")
    found = find_learning_rate(model, scale_images(x[:960]), y[:960], 1e-9, 1e-8, steps=60, batch_size=16)
    assert found.losses.max() > 100 * found.losses.min()
    assert len(found.losses) == 60
    assert np.isnan(found.suggestion)


def test_an_explosion_ends_it():
    """Soon after the loss has left where it was for good."""
    found = find_learning_rate(network(SGD(0.1)), X, Y, 1e-4, 1e4, steps=200, batch_size=50)
    assert len(found.losses) < 200
    low = np.flatnonzero(found.losses <= found.losses[:10].max())
    assert len(found.losses) - low[-1] <= 10


def test_lists_are_taken():
    """As `fit` takes them."""
    lists = find_learning_rate(network(SGD(0.1)), list(X), Y.tolist(), 1e-4, 1e3, batch_size=50)
    assert (
        lists.suggestion == find_learning_rate(network(SGD(0.1)), X, Y, 1e-4, 1e3, batch_size=50).suggestion
    )


def test_a_loss_that_does_not_fall():
    """Has no rate at which it falls fastest."""
    assert np.isnan(find_learning_rate(network(SGD(0.1)), X, Y, 1e-12, 1e-11, steps=50).suggestion)


def test_errors():
    """Name, expected, received; the model stays as it was after an explosion, too."""
    with pytest.raises(ValueError, match=r"high: expected a rate above low, 0.1, received 0.1"):
        find_learning_rate(network(), X, Y, 0.1, 0.1)
    with pytest.raises(ValueError, match="steps: expected a whole number >= 10, received 3"):
        find_learning_rate(network(), X, Y, steps=3)
    with pytest.raises(ValueError, match="y: expected 300 labels, one for each image, received 299"):
        find_learning_rate(network(), X, Y[:-1])
    model = network(SGD(0.1))
    before = model.get_weights()
    with (
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match="loss: expected 10 finite losses, received"),
    ):
        find_learning_rate(model, np.where(X > 2, X, np.float32(np.nan)), Y)
    for weight, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, other)
