"""Any network comes back from any file: its layers, its weights and, bit for bit, its predictions."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.drawn_networks import images, networks, randomized
from tests.saving.saved_models import FORMATS
from tinycnn import Sequential, load_model

pytestmark = pytest.mark.smoke
STEADY = settings(derandomize=True, deadline=None, max_examples=8, database=None)
MANY = settings(STEADY, max_examples=150)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all examples."""
    return tmp_path_factory.mktemp("drawn")


def comes_back(folder, model):
    """From each format, as a whole and as weights."""
    y = model.predict(images(model))
    for suffix in FORMATS:
        model.save(folder / f"m.{suffix}")
        loaded = load_model(folder / f"m.{suffix}")
        assert loaded.get_config() == model.get_config()
        assert all(map(np.array_equal, loaded.get_weights(), model.get_weights()))
        np.testing.assert_array_equal(loaded.predict(images(model)), y)
    other = randomized(Sequential.from_config(model.get_config()))
    for name in ("w.weights.h5", *(f"w.{suffix}" for suffix in FORMATS)):
        model.save_weights(folder / name)
        other.set_weights([array + 1 for array in other.weights])
        other.load_weights(folder / name)
        assert all(map(np.array_equal, other.get_weights(), model.get_weights()))


@STEADY
@given(model=networks())
def test_any_network_comes_back(folder, model):
    comes_back(folder, model)


@pytest.mark.slow
@MANY
@given(model=networks())
def test_many_networks_come_back(folder, model):
    comes_back(folder, model)
