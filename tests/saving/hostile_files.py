"""How hostile files are made from good ones, and what being refused means."""

import io
import json
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from tests.networks import conv_and_dense
from tests.saving import archives
from tests.saving.saved_models import edit_json, trained
from tinycnn import load_model
from tinycnn.saving import npz

MIB = 1 << 20

# What may stand where JSON of a dictionary is expected.
TEXTS = {
    "empty": "",
    "no JSON": "{not json}",
    "cut off": '{"class_name": "Sequ',
    "nested lists": "[" * 100_000,
    "nested objects": '{"a":' * 100_000,
    "deep but whole": "[" * 50_000 + "]" * 50_000,
    "a list": "[]",
    "a number": "5",
    "null": "null",
    "text": '"Sequential"',
    "an empty object": "{}",
    "a number of many digits": '{"format": ' + "9" * 5000 + "}",
    "surrogates": '{"format": "\\ud800", "class_name": "\\ud800"}',
}


def refused(path, match=None, memory=30 * MIB, load=load_model):
    """The file is refused, by name, before memory is taken."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of moments that do not fit; what follows is worse
            with pytest.raises(ValueError, match=match) as caught:
                load(path)
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1200


def saved(path, **options):
    """A small trained model in a file."""
    trained(conv_and_dense(optimizer="adam", metrics=["accuracy"])).save(path, **options)
    return path


def npy(array):
    """An array as a member of an archive."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def rewrite(path, members, **options):
    """Replace members of an archive, under a right digest."""
    with zipfile.ZipFile(path) as archive:
        old = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.comment = npz.UNSEALED
        for name, content in (old | {f"{name}.npy": content for name, content in members.items()}).items():
            if content is not None:
                archive.writestr(name, content)
    seal(path)


def seal(path):
    """Give an archive that was changed a right digest, so that damage gets past it."""
    with open(path, "r+b") as file:
        npz.seal(file)


def edit_header(path, change):
    """Change the JSON of an archive."""
    with np.load(path) as arrays:
        header = json.loads(str(arrays["model.json"]))
    change(header)
    rewrite(path, {"model.json": npy(np.array(json.dumps(header)))})


def edit_config(path, change):
    """Change the list of layers of a file of any format."""
    if path.suffix == ".h5":
        edit_json(path, lambda model_config: change(model_config["config"]["layers"]) and None)
    elif path.suffix == ".keras":
        archives.edit_config(path, lambda model_config: change(model_config["config"]["layers"]))
    else:
        edit_header(path, lambda header: change(header["config"]["layers"]))
