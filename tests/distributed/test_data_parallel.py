"""Several processes compute what one computes."""

import numpy as np
import pytest

from tests.distributed.jobs import train

ALL = (
    "dense",
    "momentum",
    "convolutional",
    "normalised",
    "double",
    "small_batches",
    "small_normalised_batches",
    "everything",
    "generator",
    "stopped",
)
FAST = ("momentum", "small_batches", "stopped", "wrong_masks")
#: Largest difference of a weight after a run. With Adam, a gradient that is rounding noise is as large a step
#: as any other, so its networks are compared in float64 or by their bits.
CLOSE = {
    "momentum": 1e-6,
    "convolutional": 1e-6,
    "normalised": 1e-6,
    "double": 1e-9,
    "small_batches": 1e-6,
    "small_normalised_batches": 2e-6,
}


def arrays(folder, name):
    with np.load(folder / f"{name}.npz") as file:
        return dict(file)


def assert_same_bits(folder, twin, names):
    for name in names:
        expected, received = arrays(twin, name), arrays(folder, name)
        assert set(expected) == set(received)
        for key, array in expected.items():
            np.testing.assert_array_equal(received[key], array, err_msg=f"{name}: {key}")


def difference(folder, twin, name):
    """Return the largest difference of a weight, and of a figure of the history."""
    expected, received = arrays(twin, name), arrays(folder, name)
    apart = {key: np.abs(received[key] - array).max() for key, array in expected.items()}
    return max(value for key, value in apart.items() if key.startswith(("weights", "history")))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The runs of `fit` without a job."""
    return train(0, tmp_path_factory.mktemp("runs") / "alone", "alone", ALL[:-1])


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Fast ones, on two processes."""
    return train(2, tmp_path_factory.mktemp("runs") / "two", "none", FAST)


@pytest.mark.slow
def test_two_processes_compute_what_one_computes(two, tmp_path):
    """Up to rounding; with the masks of another part of the batch they do not, and the comparison sees it."""
    one = train(0, tmp_path / "one", "alone", ("momentum", "small_batches", "dense"))
    for name in ("momentum", "small_batches"):
        assert 0 < difference(two, one, name) < CLOSE[name]
    (tmp_path / "one" / "dense.npz").rename(tmp_path / "one" / "wrong_masks.npz")
    assert difference(two, one, "wrong_masks") > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_any_number_computes_what_one_computes(alone, tmp_path, ranks):
    """With parts that are uneven, smaller than the number of processes, or empty."""
    runs = train(ranks, tmp_path / "runs", "none", ALL)
    for name, most in CLOSE.items():
        assert difference(runs, alone, name) < most, name


@pytest.fixture(scope="module")
def four_shards(tmp_path_factory):
    """The runs with four parts of each batch, on one process."""
    return train(1, tmp_path_factory.mktemp("runs") / "four", "4", ALL)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_with_shards_the_bits_are_the_same(four_shards, tmp_path, ranks):
    """Weights, moments and figures; also where a process has two parts, or an empty one."""
    runs = train(ranks, tmp_path / "runs", "4", ALL)
    assert_same_bits(runs, four_shards, ALL)


@pytest.mark.slow
def test_one_process_alone_is_no_job(alone, tmp_path):
    """The bits of `fit` without a job; batch normalisation over parts is another thing than over batches."""
    runs = train(1, tmp_path / "runs", "none", ALL[:-1])
    assert_same_bits(runs, alone, ALL[:-1])
    parts = train(1, tmp_path / "parts", "4", ("normalised",))
    assert difference(parts, alone, "normalised") > 1e-4
