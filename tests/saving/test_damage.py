"""Files with flipped and missing bytes: refused by name, or the same network with other numbers.

tests/saving/fuzz.py goes further: more inputs, of more kinds, each in a process of its own.
"""

import warnings

import h5py
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.saving.hostile_files import saved
from tests.saving.mutations import sealed_archive
from tests.saving.saved_models import FORMATS
from tinycnn import load_model

# The same examples every time, since a test that fails now and then helps nobody.
STEADY = settings(derandomize=True, deadline=None, max_examples=80, database=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model in each format, saved once for all examples."""
    folder = tmp_path_factory.mktemp("damage")
    for suffix in FORMATS:
        saved(folder / f"good.{suffix}")
    return folder


def load_damaged(path, content):
    """Load a damaged file; whatever comes of it must be a ValueError or the same network."""
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damage may make the optimizer an unknown one
        try:
            model = load_model(path)
        except ValueError as error:
            if str(path) not in str(error):
                raise
            return None
    assert [type(layer).__name__ for layer in model] == ["Conv2D", "Flatten", "Dense"]
    assert [weight.shape for weight in model.get_weights()] == [(3, 2, 2, 5), (5,), (50, 3), (3,)]
    return model


flips = st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=6)


def flipped(content, changes, places=None):
    """The content with some bytes changed, at places of a list or anywhere."""
    damaged = bytearray(content)
    for place, bits in changes:
        at = place % len(content) if places is None else places[place % len(places)]
        damaged[at] ^= bits
    return bytes(damaged)


@STEADY
@given(changes=flips)
def test_flipped_bytes_of_an_archive(folder, changes):
    """Anywhere: names, sizes, checksums, headers, numbers; under a right digest, and under a wrong one."""
    content = (folder / "good.npz").read_bytes()
    damaged = flipped(content, changes)
    load_damaged(folder / "flipped.npz", sealed_archive(damaged))
    if damaged != content:
        assert load_damaged(folder / "flipped.npz", damaged) is None


@STEADY
@given(changes=flips)
def test_flipped_bytes_of_a_keras_archive(folder, changes):
    """Anywhere: its members have checksums."""
    content = (folder / "good.keras").read_bytes()
    load_damaged(folder / "flipped.keras", flipped(content, changes))


@STEADY
@given(changes=flips)
def test_flipped_bytes_of_an_hdf5_file(folder, changes):
    """Anywhere, so mostly in the structures of HDF5."""
    content = (folder / "good.h5").read_bytes()
    load_damaged(folder / "flipped.h5", flipped(content, changes))


@STEADY
@given(changes=flips)
def test_flipped_bytes_in_the_table_of_contents(folder, changes):
    """At the end of an archive, where its names and places are."""
    content = (folder / "good.npz").read_bytes()
    places = range(content.index(b"PK\x01\x02"), len(content))
    load_damaged(folder / "flipped.npz", sealed_archive(flipped(content, changes, places)))


@STEADY
@given(data=st.data(), suffix=st.sampled_from(FORMATS))
def test_truncated_files(folder, data, suffix):
    """As a full disk or a broken download leaves them; not one may pass for whole."""
    content = (folder / f"good.{suffix}").read_bytes()
    size = data.draw(st.integers(0, len(content) - 1))
    assert load_damaged(folder / f"cut.{suffix}", content[:size]) is None


@STEADY
@given(changes=flips)
def test_flipped_bytes_in_the_text_of_an_hdf5_file(folder, changes):
    """JSON and names."""
    content = (folder / "good.h5").read_bytes()
    with h5py.File(folder / "good.h5") as file:
        texts = [file.attrs[name] for name in ("model_config", "training_config", "tinycnn")]
        texts += [
            *file["model_weights"].attrs["layer_names"],
            *file["optimizer_weights"].attrs["weight_names"],
        ]
    places = [i for text in texts for i in range(content.index(text), content.index(text) + len(text))]
    load_damaged(folder / "flipped.h5", flipped(content, changes, places))


@STEADY
@given(changes=flips)
def test_flipped_bytes_in_the_arrays_of_an_hdf5_file(folder, changes):
    """There is no checksum, and any value is a weight: such a file loads."""
    content = (folder / "good.h5").read_bytes()
    with h5py.File(folder / "good.h5") as file:
        data = file["model_weights/dense_1/dense_1/kernel:0"]
        places = range(data.id.get_offset(), data.id.get_offset() + data.nbytes)
    assert load_damaged(folder / "flipped.h5", flipped(content, changes, places)) is not None
