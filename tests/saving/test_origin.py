"""Origin of a file: its format and its writer, without HDF5's own library."""

import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

from tests.networks import conv_and_dense
from tests.saving import archives
from tests.saving.saved_models import GOLDEN
from tinycnn.saving.origin import Origin, origin

pytestmark = pytest.mark.smoke

H5, KERAS = "HDF5, Keras' legacy format (.h5)", "Keras archive (.keras)"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("small_keras2.h5", Origin(H5, "Keras", "2.21.0", "tensorflow")),
        ("small_keras3.h5", Origin(H5, "Keras", "3.15.1", "tensorflow")),
        ("small_keras3.keras", Origin(KERAS, "Keras", "3.15.1")),
    ],
)
def test_files_of_keras(name, expected):
    assert origin(GOLDEN / name) == expected


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        ("h5", Origin(H5, "tinycnn", "2.15.0", "tensorflow")),
        ("keras", Origin(KERAS, "tinycnn", "3.0.0")),
        ("npz", Origin("NumPy archive (.npz)", "tinycnn")),
    ],
)
def test_files_of_tinycnn(tmp_path, suffix, expected):
    conv_and_dense().save(tmp_path / f"m.{suffix}")
    assert origin(tmp_path / f"m.{suffix}") == expected


@pytest.mark.parametrize("value", ["2.9", b"2.9", np.bytes_("2.9")])
def test_texts_of_any_kind(tmp_path, value):
    """Fixed and variable; without a version there is no writer."""
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["backend"] = value
    assert origin(tmp_path / "m.h5") == Origin(H5, "", "", "2.9")


def test_a_long_text_is_cut(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["keras_version"] = "3" * 1000
    assert origin(tmp_path / "m.h5").keras_version == "3" * 100


@pytest.mark.parametrize("value", [5, np.zeros(3), ["2.9", "3.0"], np.array([b"2"])])
def test_attributes_that_are_no_text(tmp_path, value):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["keras_version"] = value
    with pytest.raises(ValueError, match="keras_version: expected text, received"):
        origin(tmp_path / "m.h5")


@pytest.mark.parametrize(("suffix", "error"), [("h5", ValueError), ("keras", zipfile.BadZipFile)])
def test_something_else(tmp_path, suffix, error):
    (tmp_path / f"m.{suffix}").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(error):
        origin(tmp_path / f"m.{suffix}")


def test_an_archive_is_checked_before(tmp_path):
    contents = [("metadata.json", bytes(2**23)), ("../x", b"")]
    archives.put_together(tmp_path / "m.keras", contents, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="expected"):
        origin(tmp_path / "m.keras")


@pytest.mark.slow
def test_the_library_in_c_sees_no_file():
    """Neither for an origin nor for a model."""
    code = (
        "import sys, tinycnn, tinycnn.saving.origin as o; p = sys.argv[1]; o.origin(p); tinycnn.load_model(p)"
    )
    for name in ("small_keras3.h5", "small_keras3.keras"):
        command = [sys.executable, "-c", f"{code}; print('h5py' in sys.modules)", str(GOLDEN / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["False"]
