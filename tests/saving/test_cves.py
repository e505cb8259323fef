"""Published holes of Keras' readers, each tried on `.h5` and on `.keras` as it applies: none is open here.

Every file is refused with a ValueError that names it. The module `evil` can be imported, and the test fails
when it was; the files that would be read from outside exist, and hold what would fit.
"""

import json
import os
import sys

import h5py
import numpy as np
import pytest

from tests.saving import archives
from tests.saving.hostile_files import MIB, edit_config, refused, saved
from tinycnn import load_model
from tinycnn.saving import hdf5

pytestmark = pytest.mark.usefixtures("evil_module")
#: base64 of marshalled code, as Keras writes it
CODE = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None, "closure": None}}
both_formats = pytest.mark.parametrize("suffix", ["h5", "keras"])


@pytest.fixture
def evil_module(tmp_path, monkeypatch):
    """A module that leaves a trace when it is imported."""
    (tmp_path / "evil.py").write_text("class Layer: ...\ndef system(command): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    assert "evil" not in sys.modules


@pytest.fixture
def file(tmp_path, suffix):
    """A small trained model."""
    return saved(tmp_path / f"m.{suffix}")


def insert(file, entry):
    """Put a layer behind the first one."""
    edit_config(file, lambda layers: layers.insert(2, entry))
    return file


def edit_whole(file, change):
    """Change model_config or config.json as a whole."""
    if file.suffix == ".keras":
        return archives.edit_config(file, change)
    with h5py.File(file, "r+") as opened:
        value = json.loads(opened.attrs["model_config"])
        change(value)
        opened.attrs["model_config"] = json.dumps(value)
    return file


def edit_arrays(file, change):
    """Change the arrays of either format; `change` gets the group of the dense layer, and a kernel's name."""
    if file.suffix == ".keras":
        return archives.edit_weights(file, lambda opened: change(opened["layers/dense/vars"], "0"))
    with h5py.File(file, "r+") as opened:
        group = opened["model_weights/dense_1/dense_1"]
        change(group, "kernel:0")
    return file


@both_formats
def test_cve_2024_3660_code_in_a_lambda(file):
    """A Lambda layer's function was unmarshalled and run."""
    entry = {"class_name": "Lambda", "config": {"name": "l", "function": CODE, "arguments": {}}}
    refused(insert(file, entry), "layer 'l': expected one of .* received 'Lambda'")
    entry["config"]["function"] = ["4wEAAAAAAAAA", None, None]  # Keras 2
    refused(insert(file, entry), "received 'Lambda'")


@both_formats
@pytest.mark.parametrize(
    "entry",
    [
        {"module": "evil", "class_name": "Layer", "config": {"name": "l"}, "registered_name": None},
        {"module": "evil", "class_name": "system", "config": {"command": "touch owned"}},
        {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
        {"module": "keras.src.utils.file_utils", "class_name": "get_file", "config": {"name": "l"}},
    ],
)
def test_cve_2025_1550_a_module_and_a_function(file, entry):
    """Whatever config.json named by module was imported and called."""
    refused(insert(file, entry), "expected one of")


@both_formats
def test_cve_2025_1550_a_module_beside_a_known_class(file):
    """It is not imported, and the class is not taken for tinycnn's."""
    edit_config(file, lambda layers: layers[-1].update(module="evil", registered_name="evil>Layer"))
    refused(file, "expected a class of Keras, received 'Dense' of the module 'evil', registered as")
    edit_config(file, lambda layers: layers[-1].update(registered_name=None))
    assert all(type(layer).__module__.startswith("tinycnn.layers") for layer in load_model(file))


@both_formats
@pytest.mark.parametrize(
    "key", ["activation", "kernel_initializer", "kernel_regularizer", "kernel_constraint"]
)
def test_cve_2025_1550_a_function_as_an_argument(file, key):
    """An activation is refused; what is of training only is left out, and never called."""
    function = {"module": "evil", "class_name": "function", "config": "system", "registered_name": "function"}
    edit_config(file, lambda layers: layers[-1]["config"].update({key: function}))
    if key == "activation":
        refused(file, "activation: expected one of")
    else:
        with pytest.warns(UserWarning, match=f"{key}.*system"):
            load_model(file)


@pytest.mark.parametrize("key", ["optimizer", "loss", "metrics"])
def test_cve_2025_1550_a_function_in_compile_config(tmp_path, key):
    """The model is not compiled, or without the metric."""
    function = {"module": "evil", "class_name": "function", "config": "system", "registered_name": "function"}
    value = [function] if key == "metrics" else function
    file = saved(tmp_path / "m.keras")
    archives.edit_config(file, lambda config: config["compile_config"].update({key: value}))
    with pytest.warns(UserWarning, match=r"not compiled|is left out"):
        load_model(file)


@pytest.mark.parametrize("suffix", ["h5"])
def test_cve_2025_9905_a_lambda_in_h5_whatever_safe_mode_says(file):
    """Keras' legacy reader passed over `safe_mode`; here is no mode in which code is run."""
    entry = {"class_name": "Lambda", "config": {"name": "l", "function": CODE, "safe_mode": False}}
    refused(insert(file, entry), "received 'Lambda'")
    with pytest.raises(TypeError):
        load_model(file, safe_mode=False)


@both_formats
def test_cve_2025_9906_a_configuration_that_enables_unsafe_loading(file):
    """A layer's arguments called `keras.config.enable_unsafe_deserialization`, and a Lambda came after."""
    unsafe = {
        "module": "keras.config",
        "class_name": "function",
        "config": "enable_unsafe_deserialization",
        "registered_name": "function",
    }
    entries = [
        {"module": "keras.layers", "class_name": "Activation", "config": {"name": "a", "activation": unsafe}},
        {"class_name": "Lambda", "config": {"name": "l", "function": CODE}},
    ]
    edit_config(file, lambda layers: layers.__setitem__(slice(2, 2), entries))
    refused(file, "expected one of")


@both_formats
@pytest.mark.parametrize("vocabulary", ["/etc/passwd", "http://127.0.0.1:9/v", "secret.txt"])
@pytest.mark.parametrize("kind", ["StringLookup", "TextVectorization", "IntegerLookup"])
def test_cve_2025_12058_a_vocabulary_from_a_path(file, tmp_path, kind, vocabulary):
    """The layer read any file, or fetched any address, while it was loaded."""
    (tmp_path / "secret.txt").write_text("a\nb\n")
    entry = {"class_name": kind, "config": {"name": "v", "vocabulary": vocabulary}}
    refused(insert(file, entry), f"layer 'v': expected one of .* received '{kind}'")


@both_formats
@pytest.mark.parametrize("shape", [(2**31, 2**31), (2**40,), (2**8, 2**40)])
def test_cve_2026_0897_a_shape_that_takes_all_memory(file, shape):
    """A file of a kilobyte declared petabytes."""

    def change(group, name):
        del group[name]
        group.create_dataset(name, shape, "f4", chunks=(2**8,) * len(shape))

    refused(edit_arrays(file, change), "declare .* bytes, in a file of", memory=3 * MIB)


@both_formats
@pytest.mark.parametrize("size", [10**12, 2**63, 10**400])
def test_cve_2026_0897_layers_that_take_all_memory(file, size):
    """The same by a number in the configuration."""
    edit_config(file, lambda layers: layers[-1]["config"].update(units=size))
    refused(file, memory=3 * MIB)


@both_formats
@pytest.mark.parametrize("shape", [[10**9, 10**9, 2], [2**62, 2**62, 2]])
def test_cve_2026_0897_an_input_that_takes_all_memory(file, shape):
    key = "batch_shape" if file.suffix == ".keras" else "batch_input_shape"
    edit_config(file, lambda layers: layers[0]["config"].update({key: [None, *shape]}))
    refused(file, memory=3 * MIB)


@both_formats
def test_cve_2026_1669_external_storage(file, tmp_path):
    """An array whose bytes are those of another file, such as a key."""
    (tmp_path / "secret").write_bytes(b"s" * 600)

    def change(group, name):
        shape = group[name].shape
        del group[name]
        group.create_dataset(name, shape, "f4", external=[(str(tmp_path / "secret"), 0, 600)])

    refused(edit_arrays(file, change), "is not an array within this file")


@both_formats
def test_cve_2026_12480_virtual_datasets(file, tmp_path):
    """An array that is put together from other files."""
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.ones((50, 3), "f4")

    def change(group, name):
        layout = h5py.VirtualLayout((50, 3), "f4")
        layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (50, 3))
        del group[name]
        group.create_virtual_dataset(name, layout)

    refused(edit_arrays(file, change), "is not an array within this file")


@both_formats
def test_cve_2026_1462_a_saved_model_as_a_layer(file, tmp_path):
    """TFSMLayer loads a graph of TensorFlow, with its operations, from a folder."""
    entry = {"class_name": "TFSMLayer", "config": {"name": "t", "filepath": str(tmp_path)}}
    entry |= {"module": "keras.layers", "registered_name": None}
    refused(insert(file, entry), "layer 't': expected one of .* received 'TFSMLayer'")


@both_formats
@pytest.mark.parametrize("kind", ["TorchModuleWrapper", "FlaxLayer", "JaxLayer", "Hashing", "Rescaling"])
def test_other_layers_that_hold_code_or_files(file, kind):
    entry = {"module": "keras.layers", "class_name": kind, "config": {"name": "t", "module": "gASV"}}
    refused(insert(file, entry), f"layer 't': expected one of .* received '{kind}'")


@both_formats
@pytest.mark.parametrize("kind", ["Lambda", "TFSMLayer", "Model>", "evil.Model"])
def test_a_whole_model_of_another_class(file, kind):
    """A file of a class that someone may have registered."""
    edit_whole(file, lambda config: config.update(class_name=kind, module="evil", registered_name="evil>M"))
    refused(file, "model: expected a Sequential or a Functional of one chain")


def links(kind, other):
    """Return a link of a kind to what was moved to /elsewhere, or to the same in another file."""
    if kind == "soft":
        return h5py.SoftLink("/elsewhere")
    return h5py.ExternalLink(str(other), "/elsewhere")


PATHS = {
    "keras": [
        "layers",
        "layers/dense",
        "layers/dense/vars",
        "layers/dense/vars/0",
        "optimizer",
        "optimizer/vars",
        "optimizer/vars/3",
    ],
    "h5": [
        "model_weights",
        "model_weights/dense_1",
        "model_weights/dense_1/dense_1",
        "model_weights/dense_1/dense_1/bias:0",
        "optimizer_weights",
        "optimizer_weights/adam/iteration",
    ],
}


@pytest.mark.parametrize("kind", ["soft", "external"])
@pytest.mark.parametrize(("suffix", "path"), [(key, path) for key in PATHS for path in PATHS[key]])
def test_links_at_any_depth(file, tmp_path, kind, path):
    """To another place in the file, or to another file that has what is asked for."""

    def change(opened):
        with h5py.File(tmp_path / "other.h5", "w") as other:
            opened.copy(path, other, "elsewhere")
        opened.move(path, "elsewhere")
        opened[path] = links(kind, tmp_path / "other.h5")

    if file.suffix == ".keras":
        archives.edit_weights(file, change)
    else:
        with h5py.File(file, "r+") as opened:
            change(opened)
    refused(file, "is a link to elsewhere, which is not followed")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
@pytest.mark.parametrize("path", ["layers", "layers/dense/vars/0", "optimizer"])
def test_the_target_of_an_external_link_in_an_archive_is_not_opened(tmp_path, path):
    """To open a pipe that has no writer would wait for ever."""
    os.mkfifo(tmp_path / "pipe")

    def change(opened):
        del opened[path]
        opened[path] = h5py.ExternalLink(str(tmp_path / "pipe"), "/")

    refused(archives.edit_weights(saved(tmp_path / "m.keras"), change), "is a link to elsewhere")


def test_hard_links_in_an_archive(tmp_path):
    """They lead nowhere else. One array may have two names; a group within itself is not walked."""

    def change(opened):
        opened.move("layers/dense/vars/0", "elsewhere")
        opened["layers/dense/vars/0"] = opened["elsewhere"]
        opened["layers/flatten/self"] = opened["layers/flatten"]

    load_model(archives.edit_weights(saved(tmp_path / "m.keras"), change))


def test_thousands_of_layers_by_hard_links(tmp_path):
    """One array under many names is counted each time."""

    def change(opened):
        for i in range(hdf5.MOST_ARRAYS // 10 + 1):  # the optimizer has ten arrays
            opened[f"layers/dense_{i + 1}"] = opened["optimizer"]

    refused(archives.edit_weights(saved(tmp_path / "m.keras"), change), "expected at most 16384 weights")
