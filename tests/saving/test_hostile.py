"""Files that were made to do harm, or are merely broken: each is refused with a ValueError that names it.

The dangers are those of model files elsewhere: code in a Lambda layer (CVE-2024-3660, CVE-2025-9905), classes
and functions named by module (CVE-2025-1550, CVE-2025-9906), and shapes that take all memory
(CVE-2026-0897). None of the tests here runs what a file brings; they show that there is no way to.

This file has what both formats share; each has another one, and bytes are flipped in test_damage.py.
"""

import math
import sys

import h5py
import numpy as np
import pytest

from tests.networks import conv_and_dense
from tests.saving import archives
from tests.saving.hostile_files import edit_config, edit_header, npy, refused, rewrite, saved
from tests.saving.saved_models import FORMATS, edit_json, golden_copy
from tinycnn.saving import text


def a_lambda(model_config):
    """Base64 of marshalled code, as Keras writes it."""
    function = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None}}
    entry = {"class_name": "Lambda", "config": {"name": "lambda", "function": function, "arguments": {}}}
    model_config["config"]["layers"].insert(3, entry)


def a_module(model_config):
    """A class of anyone's, in a layer."""
    entry = {"module": "evil", "class_name": "system", "config": {"command": "touch owned"}}
    model_config["config"]["layers"].insert(3, entry)


def a_function(model_config):
    """A function of anyone's, for an activation."""
    config = model_config["config"]["layers"][1]["config"]
    config["activation"] = {"module": "evil", "class_name": "function", "config": "system"}


def a_registered_name(model_config):
    """A class that someone may have registered."""
    model_config["config"]["layers"][1].update(registered_name="evil>Conv2D", class_name="evil>Conv2D")


def a_nested_model(model_config):
    """With something hidden further down."""
    entry = {"class_name": "Sequential", "config": {"name": "in", "layers": model_config["config"]["layers"]}}
    model_config["config"]["layers"] = [model_config["config"]["layers"][0], entry]


def a_wrapper(model_config):
    """A layer that holds a layer."""
    layer = model_config["config"]["layers"][6]
    entry = {"class_name": "TimeDistributed", "config": {"name": "t", "layer": layer}}
    model_config["config"]["layers"][6] = entry


def a_functional_model(model_config):
    """With nodes and all."""
    model_config.update(class_name="Functional", module="keras.src.models.functional")


@pytest.fixture
def evil_module(tmp_path, monkeypatch):
    """A module that anyone could import, and nobody may."""
    (tmp_path / "evil.py").write_text("class Conv2D: ...\ndef system(command): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    "change",
    [a_lambda, a_module, a_function, a_registered_name, a_nested_model, a_wrapper, a_functional_model],
)
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.usefixtures("evil_module")
def test_code_and_names_of_code(tmp_path, version, change):
    """Nothing is imported for a file, and no name is looked up but in tinycnn's own tables."""
    refused(edit_json(golden_copy(tmp_path, version), change), "expected one (of|layer, as in a Sequential)")


@pytest.mark.usefixtures("evil_module")
def test_a_module_beside_a_known_class_is_refused(tmp_path):
    """It is another class; the module is not imported to see which."""

    def change(model_config):
        for layer in model_config["config"]["layers"]:
            layer.update(module="evil", registered_name="evil>Conv2D")

    wanted = "expected a class of Keras, received '.*' of the module 'evil', registered as 'evil>Conv2D'"
    refused(edit_json(golden_copy(tmp_path), change), wanted)


@pytest.mark.parametrize("units", [10**6, 10**12, 2**63, 10**400, 0, -9, 9.0, "9", None, True, [9], math.nan])
@pytest.mark.parametrize("suffix", FORMATS)
def test_layers_larger_than_their_weights(tmp_path, suffix, units):
    """CVE-2026-0897: numbers are compared before anything is allocated."""
    path = tmp_path / f"m.{suffix}"
    edit_config(saved(path), lambda layers: layers[-1]["config"].update(units=units))
    refused(path)


@pytest.mark.parametrize(
    ("index", "config"),
    [
        (-3, {"filters": 10**12}),
        (-3, {"kernel_size": [10**9, 10**9]}),
        (-3, {"strides": [10**300, 1]}),
        (-3, {"strides": [0, 1]}),
        (-3, {"padding": "causal"}),
        (-3, {"dilation_rate": [10**9, 1]}),
        (-1, {"name": "conv2d_1"}),
        (-1, {"name": 5}),
        (-1, {"name": None}),
        (-1, {"name": ["a"]}),
        (-1, {"activation": "gelu"}),
        (-1, {"activation": {"a": 1}}),
        (-1, {"activation": "x" * 100_000}),
        (-1, {"use_bias": "yes"}),
    ],
)
@pytest.mark.parametrize("suffix", FORMATS)
def test_arguments_that_are_no_good(tmp_path, suffix, index, config):
    """Of the wrong kind, out of range, given twice."""
    path = tmp_path / f"m.{suffix}"
    edit_config(saved(path), lambda layers: layers[index]["config"].update(config))
    refused(path)


SHAPES = [[10**9, 10**9, 2], [-4, -6, 2], [4.0, 6, 2], [math.nan, 6, 2], ["4", 6, 2], [4, 6], [], [0, 6, 2]]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("suffix", FORMATS)
def test_input_shapes_that_do_not_fit_the_layers(tmp_path, suffix, shape):
    """Or are no shapes at all."""
    path = saved(tmp_path / f"m.{suffix}")
    if suffix != "npz":
        key = "batch_input_shape" if suffix == "h5" else "batch_shape"
        edit_config(path, lambda layers: layers[0]["config"].update({key: [None, *shape]}))
    else:
        edit_header(path, lambda header: header["config"].update(input_shape=shape))
    refused(path)


@pytest.mark.parametrize(
    "shape", [None, 5, "ab", [10**6, 10**6, 2], [4.0, 6, 2], [-4, -6, 2], {"a": 1}, []], ids=str
)
@pytest.mark.parametrize("built", [True, False])
def test_weights_of_a_model_with_another_input_shape(tmp_path, shape, built):
    """Taken by `load_weights`, which builds a model for the shape in the file if it is not built."""
    path = saved(tmp_path / "m.npz")
    model = conv_and_dense()
    if not built:
        model = type(model).from_config({**model.get_config(), "input_shape": None})
    edit_header(path, lambda header: header["config"].update(input_shape=shape))
    if built and shape in ([10**6, 10**6, 2], []):
        model.load_weights(path)  # these are shapes, and are not used
    else:
        refused(path, load=model.load_weights)
    edit_header(path, lambda header: header["config"].pop("input_shape"))
    refused(path, load=model.load_weights)
    assert model.built == built


@pytest.mark.parametrize("suffix", FORMATS)
def test_layers_without_their_weights_and_weights_without_their_layers(tmp_path, suffix):
    """The counts must agree."""
    path = tmp_path / f"m.{suffix}"
    edit_config(saved(path, include_optimizer=False), lambda layers: layers.pop())
    refused(path, "expected weights of the layers" if suffix == "keras" else "weights: expected")
    edit_config(saved(path, include_optimizer=False), lambda layers: layers.append(one_more(layers[-1])))
    refused(path, "expected weights of the layers" if suffix == "keras" else "weights: expected")


def one_more(entry):
    return {**entry, "config": {**entry["config"], "name": "one_more"}}


def test_json_that_is_nested_too_deeply():
    """It would be a RecursionError."""
    with pytest.raises(ValueError, match="name: expected JSON, received one that is nested too deeply"):
        text.from_json("name", "[" * 100_000)


@pytest.mark.parametrize("suffix", FORMATS)
def test_json_that_is_too_long(tmp_path, suffix):
    """It is not even parsed: 20 bytes of memory for each of text would be possible."""
    path, long = saved(tmp_path / f"m.{suffix}"), "[" + "[]," * (text.LARGEST // 3) + "[]]"
    if suffix == "h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = long
    elif suffix == "keras":
        archives.changed(path, config=long)
    else:
        rewrite(path, {"model.json": npy(np.array(long))})
    refused(path, f"expected at most {text.LARGEST} characters", memory=20 * len(long))


def test_json_that_is_too_long_is_not_written(tmp_path, monkeypatch):
    """What is never read is not written."""
    monkeypatch.setattr(text, "LARGEST", 300)
    for suffix in FORMATS:
        with pytest.raises(ValueError, match="expected at most 300 characters"):
            conv_and_dense().save(tmp_path / f"m.{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"<!DOCTYPE html>", b"\x89HDF\r\n\x1a\n", b"PK\x05\x06"]
)
def test_files_that_are_something_else(tmp_path, suffix, content):
    """Empty ones, web pages, the first bytes only."""
    (tmp_path / f"m.{suffix}").write_bytes(content)
    refused(tmp_path / f"m.{suffix}")


def test_formats_under_each_others_names(tmp_path):
    """The suffix decides."""
    saved(tmp_path / "a.h5").rename(tmp_path / "b.npz")
    saved(tmp_path / "a.npz").rename(tmp_path / "b.h5")
    saved(tmp_path / "a.keras").rename(tmp_path / "c.npz")
    saved(tmp_path / "a.npz").rename(tmp_path / "c.keras")
    for name in ("b.npz", "b.h5", "c.npz", "c.keras"):
        refused(tmp_path / name)
