"""Orders of images, and the validation split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinycnn.training.batches import epoch_order, split

pytestmark = pytest.mark.smoke


def test_epochs_have_orders_of_their_own():
    """Permutations that follow from the seed and the epoch."""
    orders = [epoch_order(seed, epoch, 50) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(50))
    assert len({tuple(order) for order in orders}) == 3
    np.testing.assert_array_equal(epoch_order(0, 1, 50), orders[1])


LABELS = np.repeat([2, 7, 5], [60, 30, 11])  # sorted by class: the case that a tail would get wrong


@pytest.mark.parametrize(
    "y", [LABELS, LABELS[:, None], np.eye(8)[LABELS]], ids=["labels", "column", "one-hot"]
)
def test_split_is_stratified(y):
    """Each class gives its share, to the nearest image."""
    training, validation = split(y, 0.1, seed=3)
    assert len(validation) == 10
    assert list(np.bincount(LABELS[validation], minlength=8)[[2, 7, 5]]) == [6, 3, 1]
    np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), np.arange(101))


def test_split_follows_the_seed():
    """The same for the same, another for another; not the tail of a class."""
    first, again, other = (split(LABELS, 0.2, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first != np.concatenate([np.arange(48, 60), np.arange(84, 90), [99, 100]])).any()


def test_split_of_a_regression_is_plain():
    """Floats are not classes."""
    y = np.random.default_rng(0).random((40, 3))
    training, validation = split(y, 0.25, seed=0)
    assert (len(training), len(validation)) == (30, 10)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.floats(0.05, 0.95), st.integers(0, 9))
def test_split_always_has_the_right_sizes(labels, fraction, seed):
    """For any labels: the promised number, every class within one image of its share."""
    y = np.array(labels)
    wanted = round(len(y) * fraction)
    if not 0 < wanted < len(y):
        with pytest.raises(ValueError, match="at least one image on each side"):
            split(y, fraction, seed)
        return
    training, validation = split(y, fraction, seed)
    assert len(validation) == wanted
    np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), np.arange(len(y)))
    for label in set(labels):
        share = np.sum(y == label) * wanted / len(y)
        assert abs(np.sum(y[validation] == label) - share) < 1


@pytest.mark.parametrize(
    ("y", "share"),
    [
        (np.arange(100), 0.1),
        (np.random.default_rng(0).integers(100, 10**6, 500), 0.1),
        (np.repeat(np.arange(1000), 5), 0.1),
    ],
    ids=["numbers", "prices", "many classes"],
)
def test_whole_numbers_that_are_no_classes_are_split_by_the_seed(y, share):
    """No value is preferred because it is small: over seeds the mean of the kept ones is that of all."""
    kept = [split(y, share, seed)[1] for seed in range(40)]
    assert len({tuple(rows) for rows in kept}) == 40
    means = np.array([y[rows].mean() for rows in kept])
    deviation = y.std() / np.sqrt(len(kept[0]) * len(kept))
    assert abs(means.mean() - y.mean()) < 4 * deviation


def test_the_odd_row_is_a_matter_of_the_seed():
    """Ten classes of 13: three give an odd row, and over seeds every class does."""
    y = np.repeat(np.arange(10), 13)
    odd = [np.flatnonzero(np.bincount(y[split(y, 0.1, seed)[1]]) == 2) for seed in range(60)]
    assert {len(classes) for classes in odd} == {3}
    counts = np.bincount(np.concatenate(odd), minlength=10)
    assert 60 * 0.3 / 3 < counts.min() <= counts.max() < 60 * 0.3 * 2


@pytest.mark.parametrize("seed", range(5))
def test_the_documented_runs_keep_their_split(seed):
    """MNIST's 60,000 labels: the six classes that lose most by rounding down are the six they were."""
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    y = np.repeat(np.arange(10), counts)
    kept = np.bincount(y[split(y, 5_000 / 60_000, seed)[1]])
    exact = np.array(counts) / 12
    worst = np.argsort(np.floor(exact) - exact, kind="stable")[:6]
    np.testing.assert_array_equal(np.flatnonzero(kept > np.floor(exact)), np.sort(worst))
