"""The digest of an archive: no damage to a file goes unseen, and other programs still open it."""

import io
import zipfile

import numpy as np
import pytest

from tests.saving.saved_models import GOLDEN
from tinycnn import Sequential, load_model
from tinycnn.layers import Dense
from tinycnn.saving import npz

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Return the path of a very small model; tests leave it as it was."""
    model = Sequential([Dense(2, use_bias=False)], input_shape=(3,), seed=1)
    path = tmp_path_factory.mktemp("digest") / "m.npz"
    model.save(path)
    return path


def test_a_bit_of_every_byte(good):
    """Each of the eight bits in turn; also in the digest, and in the words before it."""
    npz.read(good)
    with open(good, "r+b", buffering=0) as file:
        content = file.read()
        for at, byte in enumerate(content):
            file.seek(at)
            file.write(bytes([byte ^ (1 << at % 8)]))
            with pytest.raises((ValueError, zipfile.BadZipFile)):
                npz.read(good)
            file.seek(at)
            file.write(bytes([byte]))
    npz.read(good)


@pytest.mark.slow
def test_every_bit(good):
    """Of the whole file."""
    content = bytearray(good.read_bytes())
    stream = io.BytesIO(content)
    assert npz._is_sealed(stream)
    for bit in range(8 * (len(content) - len(npz.UNSEALED))):
        stream.getbuffer()[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="the file is damaged"):
            npz._is_sealed(stream)
        stream.getbuffer()[bit // 8] ^= 1 << bit % 8


def test_every_length(good, tmp_path):
    """Cut off anywhere, or longer: by zeros, by a second copy of itself, or by its own digest."""
    content, path = good.read_bytes(), tmp_path / "m.npz"
    path.write_bytes(content)
    with open(path, "r+b") as file:
        for size in reversed(range(len(content))):
            file.truncate(size)
            with pytest.raises((ValueError, zipfile.BadZipFile, EOFError)):
                npz.read(path)
    for more in (b"\0", bytes(4096), content, content[-len(npz.UNSEALED) :], b"\n"):
        path.write_bytes(content + more)
        if more != content:
            with pytest.raises(ValueError, match="SHA-256"):
                npz.read(path)
    path.write_bytes(b"\0" + content)
    with pytest.raises(ValueError, match="SHA-256"):
        load_model(path)


def test_other_programs_open_it(good):
    """The digest is the comment of a zip file."""
    with zipfile.ZipFile(good) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(npz.MARK)
        assert len(archive.comment) == len(npz.UNSEALED)
    with np.load(good, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["weights/0"], load_model(good).get_weights()[0])


def test_files_of_older_versions_have_none(good, tmp_path):
    """They are read as they are; a file that lost its digest is not one of them."""
    assert (GOLDEN / "small_keras3.npz").exists()
    with np.load(good) as arrays:
        members = dict(arrays)
    np.savez(tmp_path / "again.npz", **members)
    with pytest.raises(ValueError, match="expected a SHA-256 at its end, received none"):
        load_model(tmp_path / "again.npz")
    members["model.json"] = np.array(str(members["model.json"]).replace('"digest": "SHA-256", ', ""))
    np.savez(tmp_path / "older.npz", **members)
    np.testing.assert_array_equal(load_model(tmp_path / "older.npz").parameters, load_model(good).parameters)
