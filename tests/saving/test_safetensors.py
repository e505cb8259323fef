"""Models as safetensors: what is in them, and files of others. Round trips are in test_round_trip.py."""

import json
import struct
import sys

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

from tests.networks import conv_and_dense
from tests.saving.saved_models import assert_same, trained
from tests.saving.test_torch_state import network, same_weights
from tinycnn import Sequential, load_model, saving
from tinycnn.layers import Dense
from tinycnn.saving import to_torch_state_dict
from tinycnn.saving.origin import origin

pytestmark = pytest.mark.smoke


def test_the_library_alone_opens_it(tmp_path):
    """Weights under their names, moments beside them, all else as one JSON text."""
    model = trained(conv_and_dense(optimizer="adam"))
    model.save(tmp_path / "m.safetensors")
    arrays = load_file(tmp_path / "m.safetensors")
    for name, array in model.named_weights():
        np.testing.assert_array_equal(arrays[name], array)
    names = [name for name in arrays if name.startswith("optimizer/")]
    assert sorted(names) == [f"optimizer/{slot}/{i}" for slot in ("momentum", "velocity") for i in range(4)]
    assert arrays["optimizer/velocity/0"].shape == (3, 2, 2, 5)
    with safetensors.safe_open(tmp_path / "m.safetensors", "np") as file:
        header = json.loads(file.metadata()["tinycnn"])
    assert header["config"]["layers"][0]["config"]["filters"] == 5
    assert header["progress"] == {"epochs_trained": 1, "steps_trained": 4}
    assert origin(tmp_path / "m.safetensors").writer == "tinycnn"


def test_training_goes_on_bit_for_bit(tmp_path):
    """Two epochs are one, a file, and one more. test_resume.py has each optimizer."""
    whole = trained(conv_and_dense(optimizer="adam"), epochs=2)
    trained(conv_and_dense(optimizer="adam")).save(tmp_path / "m.safetensors")
    assert_same(trained(load_model(tmp_path / "m.safetensors")), whole)


def test_weights_of_a_whole_model(tmp_path):
    """`load_weights` takes them without the optimizer, by their order, and builds the model."""
    model = trained(conv_and_dense(optimizer="adam"))
    for write in (model.save, model.save_weights):
        write(tmp_path / "m.safetensors")
        other = Sequential(conv_and_dense().layers[0:0], name="other")
        for layer in conv_and_dense().get_config()["layers"]:
            other.add(
                Sequential.from_config({**model.get_config(), "input_shape": None, "layers": [layer]}).pop()
            )
        other.load_weights(tmp_path / "m.safetensors")
        same_weights(other, model)


@pytest.mark.parametrize("separator", ["/", "."])
def test_names_of_the_layers(tmp_path, separator):
    """In tinycnn's layout, whatever order the file has them in."""
    model, other = network(seed=1), network(seed=2)
    arrays = {separator.join(name.rsplit("/", 1)): array for name, array in model.named_weights()}
    save_file(arrays, tmp_path / "w.safetensors", {"format": "np"})
    other.load_weights(tmp_path / "w.safetensors")
    same_weights(other, model)


@pytest.mark.parametrize("names", ["numbers", "layers"])
def test_names_of_pytorch(tmp_path, names):
    """In PyTorch's layout; "11.weight" comes before "2.weight" in the file."""
    model, other = network(seed=1), network(seed=2)
    save_file(to_torch_state_dict(model, names), tmp_path / "w.safetensors")
    other.load_weights(tmp_path / "w.safetensors")
    same_weights(other, model)


def test_names_that_are_neither_are_matched_by_shape_and_number(tmp_path):
    """The classifier comes first in the file; of two equal layers, fc10 comes after fc9."""
    model, other = (
        Sequential([Dense(4), Dense(4), Dense(4), Dense(3)], seed=i, input_shape=(4,)) for i in (1, 2)
    )
    state = to_torch_state_dict(model)
    names = {"0": "model.fc2", "1": "model.fc9", "2": "model.fc10", "3": "model.aclassifier"}
    renamed = {f"{names[key.split('.')[0]]}.{key.split('.')[1]}": array for key, array in state.items()}
    save_file(renamed, tmp_path / "w.safetensors")
    other.load_weights(tmp_path / "w.safetensors")
    same_weights(other, model)
    save_file(
        {key.replace("fc10", "hidden"): array for key, array in renamed.items()}, tmp_path / "w.safetensors"
    )
    with pytest.raises(ValueError, match=r"model\.fc2, model\.fc9, model\.hidden have the same shapes"):
        other.load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize(("dtype", "size"), [("F16", 2), ("F32", 4), ("F64", 8)])
def test_other_precisions(tmp_path, dtype, size):
    """They become the model's."""
    model, other = network(seed=1), network(seed=2)
    arrays = {name: array.astype(f"<f{size}") for name, array in model.named_weights()}
    save_file(arrays, tmp_path / "w.safetensors")
    assert f'"{dtype}"'.encode() in (tmp_path / "w.safetensors").read_bytes()
    other.load_weights(tmp_path / "w.safetensors")
    for received, expected in zip(other.weights, arrays.values(), strict=True):
        assert received.dtype == np.float32
        np.testing.assert_array_equal(received, expected.astype(np.float32))


def test_brain_floats(tmp_path):
    """The upper halves of float32: 1, -2, the largest, infinity, NaN, the smallest; written by hand."""
    bits = [0x3F80, 0xC000, 0x7F7F, 0x7F80, 0x7FC0, 0x0001]
    model = Sequential([Dense(2, use_bias=False)], input_shape=(3,))
    header = {"dense_1/kernel": {"dtype": "BF16", "shape": [3, 2], "data_offsets": [0, 12]}}
    text = json.dumps(header).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + struct.pack("<6H", *bits))
    with pytest.warns(UserWarning, match="dense_1/kernel"):
        model.load_weights(tmp_path / "w.safetensors")
    expected = [1.0, -2.0, 3.3895314e38, np.inf, np.nan, 9.18355e-41]
    np.testing.assert_allclose(model[0].kernel.ravel(), np.float32(expected), rtol=1e-6)


def test_integers_are_no_weights(tmp_path):
    """A quantised model, say."""
    model = network()
    arrays = {name: array.astype(np.int8) for name, array in model.named_weights()}
    save_file(arrays, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w\.safetensors: .*expected an array of float16, .* received int8"):
        model.load_weights(tmp_path / "w.safetensors")


def test_a_file_without_layers_is_no_model(tmp_path):
    """The error says what to do with it; and what to do before that."""
    save_file({"0.weight": np.zeros((3, 4), np.float32)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w\.safetensors: .*make the model, then call its load_weights"):
        load_model(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w\.safetensors: .*call model\.build\(input_shape\) first"):
        Sequential([Dense(3)]).load_weights(tmp_path / "w.safetensors")


def test_weights_that_do_not_fit(tmp_path):
    """Both lists, and nothing changes."""
    model, wrong = network(seed=1), network(seed=2, units=6)
    before = model.get_weights()
    for arrays in (dict(wrong.named_weights()), to_torch_state_dict(wrong), {"a": before[0]}):
        save_file(arrays, tmp_path / "w.safetensors")
        with pytest.raises(ValueError, match=r"w\.safetensors: .*expected .*\(.*received .*"):
            model.load_weights(tmp_path / "w.safetensors")
        assert all(np.array_equal(a, b) for a, b in zip(model.weights, before, strict=True))


def test_arrays_in_fortran_order_are_written_as_they_are_meant(tmp_path):
    """The library takes memory as it lies."""
    model = conv_and_dense()
    snapshot = saving.Snapshot(
        model.get_config(), [(name, np.asfortranarray(array)) for name, array in model.named_weights()]
    )
    saving.write(tmp_path / "m.safetensors", snapshot)
    assert_same(load_model(tmp_path / "m.safetensors"), model)


def test_without_the_library(tmp_path, monkeypatch):
    """The error has the cure, when reading and when writing."""
    model = conv_and_dense()
    model.save(tmp_path / "m.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for action in (load_model, model.load_weights, model.save):
        with pytest.raises(ImportError, match=r'pip install "tinycnn\[safetensors\]"'):
            action(tmp_path / "m.safetensors")
