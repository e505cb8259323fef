"""Batches of arrays, generators, Keras' sequences and PyTorch's loaders, in fit, evaluate and predict."""

import itertools
import tracemalloc

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.layers import Dense, Dropout
from tinycnn.optimizers import SGD
from tinycnn.training import Callback
from tinycnn.training.sources import Arrays, Batches, gives_batches

pytestmark = pytest.mark.smoke
RNG = np.random.default_rng(11)
X, Y = RNG.random((23, 8), np.float32), RNG.integers(0, 3, 23)


def model(**stack):
    built = Sequential(
        [Dense(7, activation="relu"), Dropout(0.2), Dense(3, activation="softmax")], seed=4, **stack
    )
    built.compile(SGD(0.1), metrics=["accuracy"])
    return built


def by_arrays(epochs=2, **arguments):
    fitted = model()
    fitted.fit(X, Y, epochs=epochs, batch_size=5, verbose=0, shuffle=False, **arguments)
    return fitted


class Indexed:
    """What Keras calls a Sequence: `__len__` and `__getitem__`, which accepts every number."""

    ended = 0

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return X[5 * index : 5 * index + 5], Y[5 * index : 5 * index + 5]

    def on_epoch_end(self):
        self.ended += 1


class Iterated:
    """What a DataLoader is: an iterator anew each time, of lists of things that NumPy can convert."""

    class Tensor:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array if dtype is None else self.array.astype(dtype)

    def __iter__(self):
        indexed = Indexed()
        return iter([list(map(self.Tensor, indexed[i])) for i in range(5)])


def generated():
    yield from (Indexed()[i] for i in range(5))


@pytest.mark.parametrize(
    "make", [Indexed, Iterated, lambda: list(generated())], ids=["indexed", "iterated", "list"]
)
def test_batches_train_as_arrays_do(make):
    batches, fitted = make(), model()
    history = fitted.fit(batches, epochs=2, verbose=0, shuffle=False, validation_data=make())
    expected = by_arrays(validation_data=(X, Y))
    np.testing.assert_array_equal(fitted.parameters, expected.parameters)
    for name, values in expected.history.history.items():
        np.testing.assert_allclose(history.history[name], values, rtol=1e-6)
    if isinstance(batches, Indexed):
        assert batches.ended == 2
    np.testing.assert_allclose(fitted.evaluate(make()), expected.evaluate(X, Y), rtol=1e-6)
    np.testing.assert_allclose(fitted.predict(make()), expected.predict(X), rtol=1e-5)


def test_a_generator_trains_an_epoch():
    fitted = model()
    fitted.fit(generated(), epochs=1, verbose=0)
    np.testing.assert_array_equal(fitted.parameters, by_arrays(epochs=1).parameters)
    np.testing.assert_allclose(fitted.evaluate(generated()), by_arrays(epochs=1).evaluate(X, Y), rtol=1e-6)
    np.testing.assert_allclose(fitted.predict(x for x, _ in generated()), fitted.predict(X), rtol=1e-5)


def endless(taken):
    for i in itertools.count():
        taken.append(i)
        yield Indexed()[i % 5]


def test_of_an_endless_generator_no_batch_more_is_taken_than_used():
    """The first batch is looked at before training, to build the model, and trained on all the same."""
    taken, kept, fitted = [], [], model()
    history = fitted.fit(
        endless(taken),
        epochs=3,
        steps_per_epoch=5,
        validation_data=endless(kept),
        validation_steps=2,
        verbose=0,
    )
    assert len(taken) == 15
    assert len(kept) == 6
    assert len(history.epoch) == 3
    np.testing.assert_array_equal(fitted.parameters, by_arrays(epochs=3).parameters)
    fitted.evaluate(endless(taken), steps=4)
    assert fitted.predict(endless(taken), steps=2).shape == (10, 3)
    assert len(taken) == 21


def test_steps_go_on_in_the_middle_of_an_iterable_and_begin_again_at_its_end():
    """Two epochs of 4 batches of 5 that can be iterated again: 0 1 2 3, 4 0 1 2."""
    seen = []
    fitted = model()
    source = Batches("x", Iterated(), fitted.check_data, steps=4)
    for epoch in range(2):
        seen += [round(float(batch.x[0, 0]), 6) for batch in source.epoch(epoch)]
    firsts = [round(float(X[5 * i, 0]), 6) for i in range(5)]
    assert seen == [firsts[i] for i in (0, 1, 2, 3, 4, 0, 1, 2)]


def test_a_sequence_is_shuffled_batch_by_batch_by_the_seed():
    fitted = [model().fit(Indexed(), epochs=3, verbose=0).history["loss"] for _ in range(2)]
    assert fitted[0] == fitted[1]
    orders = [
        [int(b.y[0]) for b in Batches("x", Indexed(), model().check_data, 7).epoch(e)] for e in range(4)
    ]
    assert len({tuple(order) for order in orders}) > 1


def test_arrays_cover_everything_once_and_steps_cut_an_epoch():
    x, y = np.arange(14.0).reshape(7, 2), np.arange(7)
    for seed in (None, 5):
        batches = list(Arrays((x, y, y * 2.0), 3, seed).epoch(1))
        assert [len(batch.x) for batch in batches] == [3, 3, 1]
        np.testing.assert_array_equal(np.sort(np.concatenate([batch.y for batch in batches])), y)
        for batch in batches:
            np.testing.assert_array_equal(batch.x[:, 0], 2 * batch.y)
            np.testing.assert_array_equal(batch.weights, 2 * batch.y)
            np.testing.assert_array_equal(batch.samples, batch.y)
    assert [len(batch.x) for batch in Arrays((x, y, None), 3, None, steps=2).epoch(0)] == [3, 3]
    assert [len(batch.x) for batch in Arrays((x, y, None), 3).epoch(0, skip=2)] == [1]
    with pytest.raises(ValueError, match="steps: expected at most 3, as 7 images in batches of 3 give"):
        Arrays((x, y, None), 3, None, steps=4)


def test_a_generator_that_ends_early_says_so_and_ends_the_run():
    fitted = model()
    with pytest.warns(UserWarning, match="x: expected 4 batches, received 1 before the end"):
        history = fitted.fit(generated(), epochs=7, steps_per_epoch=4, verbose=0)
    assert len(history.epoch) == 2
    assert fitted.steps_trained == 5


def test_a_generator_that_has_ended_ends_the_run():
    """Without steps it is one epoch, whatever `epochs` says."""
    fitted = model()
    with pytest.warns(UserWarning, match="x: expected at least one batch, received 0 before the end"):
        history = fitted.fit(generated(), epochs=3, verbose=0)
    assert history.epoch == [0]
    np.testing.assert_array_equal(fitted.parameters, by_arrays(epochs=1).parameters)


def test_an_iterable_without_batches_is_refused():
    with pytest.raises(ValueError, match="x: expected at least one batch, received none"):
        model().fit(iter([]), verbose=0)


def test_weights_and_classes_of_batches():
    """(x, y, weights), times the weights of classes."""
    weights = RNG.random(23)
    fitted, expected = model(), model()
    batches = [(X[i : i + 5], Y[i : i + 5], weights[i : i + 5]) for i in range(0, 23, 5)]
    fitted.fit(batches, epochs=2, class_weight={1: 3.0}, verbose=0, shuffle=False)
    factors = weights * np.where(Y == 1, 3.0, 1.0)
    expected.fit(X, Y, epochs=2, batch_size=5, sample_weight=factors, verbose=0, shuffle=False)
    np.testing.assert_allclose(fitted.parameters, expected.parameters, rtol=1e-6)


def test_augmentation_of_batches_knows_the_number_of_each_image():
    numbers = []

    def augment(images, seed, epoch, samples, step):
        numbers.append((epoch, list(samples), step))
        return images

    model().fit(Indexed(), epochs=1, augment=augment, verbose=0)
    assert [n for _, rows, _ in numbers for n in rows] == list(range(23))
    assert [step for *_, step in numbers] == list(range(5))


def test_memory_stays_flat():
    """A thousand batches of 400 kB, of which each is forgotten after its step."""
    stack = Sequential([Dense(3, activation="softmax")], seed=0, input_shape=(1000,))
    stack.compile(SGD(0.1))

    def batches():
        while True:
            yield np.ones((100, 1000), np.float32), np.zeros(100, np.int64)

    stack.fit(batches(), steps_per_epoch=3, verbose=0)
    tracemalloc.start()
    stack.fit(batches(), epochs=2, steps_per_epoch=200, verbose=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m: m.fit(Indexed(), batch_size=5),
            ValueError,
            "batch_size: expected none, since x gives batches",
        ),
        (lambda m: m.fit(Indexed(), sample_weight=np.ones(23)), ValueError, "sample_weight: expected none"),
        (lambda m: m.fit(Indexed(), validation_split=0.1), ValueError, "validation_split: expected none"),
        (lambda m: m.fit(Indexed(), checkpoint="run"), ValueError, "checkpoint: expected arrays"),
        (lambda m: m.fit(iter([X[:5]])), TypeError, r"x: expected batches \(x, y\) .* received ndarray"),
        (lambda m: m.fit(iter([(X, Y, None, 1)])), TypeError, r"x: expected batches .* received 4 items"),
        (lambda m: m.fit(iter([(X, Y[:4])])), ValueError, "y: expected labels for 23 images"),
        (lambda m: m.fit(X), TypeError, "y: expected labels for 23 images, received none"),
        (lambda m: m.fit(5), TypeError, "x: expected an array of floats .* received int$"),
        (
            lambda m: m.fit(X, Y, steps_per_epoch=0),
            ValueError,
            "steps_per_epoch: expected a whole number >= 1",
        ),
        (lambda m: m.fit(X, Y, validation_data=5), TypeError, r"validation_data: expected a tuple \(x, y\)"),
        (
            lambda m: m.fit(X, Y, validation_data=generated()),
            ValueError,
            "or validation_steps beside a generator",
        ),
        (lambda m: m.fit(X, Y, validation_data=(X,)), ValueError, "validation_data: .* received 1 items"),
        (lambda m: m.fit(X, Y, sample_weight=np.ones(3)), ValueError, "sample_weight"),
        (lambda m: m.fit(X, Y, class_weight=[1, 2]), TypeError, "class_weight: expected a dictionary"),
        (lambda m: m.fit(X, Y, class_weight={1: -1}), ValueError, "class_weight: expected a number"),
        (lambda m: m.fit(X, Y, callbacks="history"), TypeError, "callbacks: expected objects of"),
        (lambda m: m.evaluate(X, Y, verbose="loud"), ValueError, "verbose: expected"),
        (lambda m: m.predict(Indexed(), batch_size=3), ValueError, "batch_size: expected none"),
    ],
)
def test_wrong_arguments(call, error, message):
    built = model(input_shape=(8,))
    before = built.parameters.copy()
    with pytest.raises(error, match=message):
        call(built)
    np.testing.assert_array_equal(built.parameters, before)


def test_what_gives_batches():
    assert not any(map(gives_batches, (X, [[1.0, 2.0]], [1, 2], "text", {"x": X}, 5, None, (X, Y))))
    assert all(map(gives_batches, (Indexed(), Iterated(), generated(), [(X, Y)], iter([]))))


def test_a_run_over_batches_knows_its_steps_but_not_its_images():
    class Look(Callback):
        def on_train_begin(self, logs=None):
            assert (self.params["steps"], self.params["samples"], self.params["batch_size"]) == (
                5,
                None,
                None,
            )

    model().fit(Indexed(), callbacks=Look(), verbose=0)
