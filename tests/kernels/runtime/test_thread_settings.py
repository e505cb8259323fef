"""What a user has set for threads stays: Numba's number, in each Python thread, and the limits of BLAS."""

import threading

import numba
import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import tinycnn
from tests.kernels.runtime.thread_uses import X, Y, small
from tinycnn import training
from tinycnn.datasets import Augmentation

MOST = numba.config.NUMBA_NUM_THREADS


class Failure(Exception):
    pass


def fail(batch, logs):
    raise Failure


def fit_with_an_error(model):
    with pytest.raises(Failure):
        model.fit(X, Y, verbose=0, callbacks=training.LambdaCallback(on_batch_end=fail))


def wrong_shape(model):
    with pytest.raises(ValueError, match="expected shape"):
        model.predict(X[:, 1:])


def fit_with_everything(model, folder):
    model.fit(
        X, Y, verbose=0, validation_split=0.2, augment=Augmentation(rotation=5), checkpoint=folder / "run",
        callbacks=[training.WeightAverage(), training.EarlyStopping("loss")],
    )  # fmt: skip


USES = {
    "fit": fit_with_everything,
    "an error in fit": lambda model, folder: fit_with_an_error(model),
    "an error in predict": lambda model, folder: wrong_shape(model),
    "train_on_batch": lambda model, folder: model.train_on_batch(X, Y),
    "evaluate": lambda model, folder: model.evaluate(X, Y),
    "predict": lambda model, folder: model.predict(X),
    "single images": lambda model, folder: model.predict(X[:3]),
    "warmup": lambda model, folder: tinycnn.warmup(),
    "find_learning_rate": lambda model, folder: training.find_learning_rate(model, X, Y, steps=12),
    "augment": lambda model, folder: Augmentation(rotation=9, elastic=1.0)(X, seed=0, epoch=0),
    "summary": lambda model, folder: model.summary(cost=True, batch_size=2),
    "save and load": lambda model, folder: (model.save(folder / "m.h5"), tinycnn.load_model(folder / "m.h5")),
}


def settings():
    """Return Numba's number of threads in this Python thread, and the limits of all pools of this process."""
    pools = ThreadpoolController().info()
    return numba.get_num_threads(), {pool["filepath"]: pool["num_threads"] for pool in pools}


@pytest.fixture
def restored():
    before = numba.get_num_threads()  # also starts the threads, which are pools of OpenMP
    yield
    numba.set_num_threads(before)


@pytest.mark.parametrize("count", [1, pytest.param(MOST, marks=pytest.mark.slow)])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_settings_stay_as_they_were(restored, use, count, tmp_path):
    """In the thread that calls, and in another one, which has a number of its own."""
    model = small(0)
    numba.set_num_threads(count)
    other, done, found = MOST + 1 - count, threading.Event(), []

    def wait():
        numba.set_num_threads(other)
        found.append(numba.get_num_threads())
        done.wait(60)
        found.append(numba.get_num_threads())

    waiting = threading.Thread(target=wait)
    waiting.start()
    with threadpool_limits(1, user_api="blas"):
        before = settings()
        assert before[0] == count
        try:
            use(model, tmp_path)
            assert settings() == before
        finally:
            done.set()
            waiting.join()
    assert found == [other, other]


def test_a_thread_that_predicts_has_its_own_number(restored):
    """And results have the same bits."""
    model, found = small(0), {}
    expected = model.predict(X)

    def predict(count):
        numba.set_num_threads(count)
        found[count] = model.predict(X), numba.get_num_threads()

    counts = sorted({1, MOST})
    threads = [threading.Thread(target=predict, args=(count,)) for count in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for count in counts:
        y, after = found[count]
        assert after == count
        np.testing.assert_array_equal(y, expected)
