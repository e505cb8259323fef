"""Any network comes back from any file: its layers, its weights and, bit for bit, its predictions."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.drawn_networks import images, networks, randomized
from tests.saving.saved_models import FORMATS
from tinycnn import Sequential, load_model

pytestmark = pytest.mark.smoke
STEADY = settings(derandomize=True, deadline=None, max_examples=30, database=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all examples."""
    return tmp_path_factory.mktemp("drawn")


@STEADY
@given(model=networks())
def test_any_network_comes_back(folder, model):
    y = model.predict(images(model))
    for suffix in FORMATS:
        model.save(folder / f"m.{suffix}")
        loaded = load_model(folder / f"m.{suffix}")
        assert loaded.get_config() == model.get_config()
        assert all(map(np.array_equal, loaded.get_weights(), model.get_weights()))
        np.testing.assert_array_equal(loaded.predict(images(model)), y)


@STEADY
@given(model=networks())
def test_any_weights_come_back(folder, model):
    """Alone, and from a whole model."""
    other = randomized(Sequential.from_config(model.get_config()))
    for name in ("w.weights.h5", *(f"m.{suffix}" for suffix in FORMATS)):
        model.save_weights(folder / name)
        other.set_weights([array + 1 for array in other.weights])
        other.load_weights(folder / name)
        assert all(map(np.array_equal, other.get_weights(), model.get_weights()))
