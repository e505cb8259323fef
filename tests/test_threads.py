"""BLAS is kept to one thread while kernels run, and gets back what it had."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tinycnn import Sequential
from tinycnn.layers import Conv2D, Dense, Flatten
from tinycnn.threads import quiet_blas
from tinycnn.training import Callback


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_one_thread_inside_and_as_before_after():
    """Also after an error."""
    before = blas_threads()
    with quiet_blas():
        assert blas_threads() == {1}
    assert blas_threads() == before
    with pytest.raises(KeyError), quiet_blas():
        raise KeyError
    assert blas_threads() == before


class Look(Callback):
    def on_batch_end(self, batch, logs):
        self.threads = blas_threads()


@pytest.mark.parametrize("algorithm", ["auto", "im2col"])
def test_training_limits_it_unless_blas_convolves(algorithm):
    """im2col is a product of matrices: it needs all of BLAS."""
    before = blas_threads()
    model = Sequential([Conv2D(3, 2, algorithm=algorithm), Flatten(), Dense(2, activation="softmax")], seed=0)
    model.compile()
    look = Look()
    x = np.random.default_rng(0).random((4, 5, 6, 1), np.float32)
    model.fit(x, np.array([0, 1, 1, 0]), callbacks=[look], verbose=0)
    assert look.threads == (before if algorithm == "im2col" else {1})
    assert blas_threads() == before
