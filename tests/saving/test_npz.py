"""Models as NumPy archives: what is in them, and that anyone can open them."""

import json
import zipfile

import numpy as np
import pytest

from tests.networks import conv_and_dense
from tests.saving.saved_models import trained
from tinycnn import saving
from tinycnn.saving import header, npz

pytestmark = pytest.mark.smoke


def test_numpy_alone_opens_it(tmp_path):
    """The structure is JSON, every array has its own member, and no pickle is needed."""
    model = trained(conv_and_dense(optimizer="adam"))
    model.save(tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
        found = json.loads(str(arrays["model.json"]))
        assert found["format"] == header.FORMAT
        assert found["weights"] == ["conv2d_1/kernel", "conv2d_1/bias", "dense_1/kernel", "dense_1/bias"]
        for i, weight in enumerate(model.get_weights()):
            np.testing.assert_array_equal(arrays[f"weights/{i}"], weight)
        assert found["slots"] == {"momentum": 4, "velocity": 4}
        momentum = np.concatenate([arrays[f"slots/momentum/{i}"].ravel() for i in range(4)])
        np.testing.assert_array_equal(momentum, model.optimizer.slots["momentum"])
        assert len(arrays.files) == 1 + 4 + 8


def test_nothing_is_compressed(tmp_path):
    """So that no member can be larger than the file."""
    conv_and_dense().save(tmp_path / "m.npz")
    with zipfile.ZipFile(tmp_path / "m.npz") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_snapshot_can_be_read_alone(tmp_path):
    """Without a model being made of it."""
    model = trained(conv_and_dense(optimizer="adam"))
    model.save(tmp_path / "m.npz")
    snapshot = saving.read(tmp_path / "m.npz")
    assert [name for name, _ in snapshot.weights] == [name for name, _ in model.named_weights()]
    assert snapshot.progress == {"epochs_trained": 1, "steps_trained": 4}
    assert snapshot.training["iterations"] == 4


def test_arrays_in_fortran_order_and_of_no_axes(tmp_path):
    """What NumPy writes, the reader reads as NumPy does."""
    path = tmp_path / "a.npz"
    arrays = {"f": np.asfortranarray(np.arange(12.0).reshape(3, 4)), "s": np.float32(3), "e": np.ones((0, 5))}
    np.savez(path, **arrays)
    with zipfile.ZipFile(path) as archive:
        for name, array in arrays.items():
            received = npz._array(archive, name)
            np.testing.assert_array_equal(received, array)
            assert received.dtype == array.dtype
