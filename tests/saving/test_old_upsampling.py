"""Bilinear UpSampling2D of Keras before 2.4, which had no half-pixel centres: a warning."""

import h5py
import numpy as np
import pytest

from tests.saving.test_old_keras import write
from tinycnn import Sequential, load_model
from tinycnn.layers import Flatten, UpSampling2D

pytestmark = pytest.mark.smoke

SIZE = {"size": [2, 3], "data_format": "channels_last"}
MESSAGE = r"u: the file is of Keras {}; before Keras 2\.4 and TensorFlow 1\.15, a bilinear UpSampling2D"
OLD = ["2.2.3", "2.2.4", "2.3.1", "2.1.6-tf", "2.2.4-tf", "2.2"]
NEW = ["2.3.0-tf", "2.4.0", "2.15.0", "2.21.0", "3.0.0", "3.15.1", "10.0", None, "", "x"]


def model_file(folder, version, **config):
    first = {"name": "u", "batch_input_shape": [None, 4, 5, 2], **SIZE, **config}
    return write(folder, [("UpSampling2D", first), ("Flatten", {"name": "f"})], [], version=version)


@pytest.mark.parametrize("version", OLD)
def test_of_an_old_keras(tmp_path, version):
    """The half-pixel centres are the only ones that tinycnn has."""
    path = model_file(tmp_path, version, interpolation="bilinear")
    with pytest.warns(UserWarning, match=MESSAGE.format(version)):
        load_model(path)


@pytest.mark.parametrize("version", NEW)
def test_of_a_later_keras_or_an_unknown_one(tmp_path, version):
    load_model(model_file(tmp_path, version, interpolation="bilinear"))


@pytest.mark.parametrize("config", [{}, {"interpolation": "nearest"}])
def test_the_nearest_pixel_never_changed(tmp_path, config):
    load_model(model_file(tmp_path, "2.2.4", **config))


def test_weights_alone(tmp_path):
    """They were trained behind the other rule too."""
    model = Sequential([UpSampling2D((2, 3), "bilinear", name="u"), Flatten()], input_shape=(4, 5, 2))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = np.array([b"u", b"f"])
        file.attrs["keras_version"], file.attrs["backend"] = b"2.2.4", b"tensorflow"
        for name in ("u", "f"):
            file.create_group(name).attrs["weight_names"] = np.zeros(0)
    with pytest.warns(UserWarning, match=MESSAGE.format("2.2.4")):
        model.load_weights(tmp_path / "w.h5")
