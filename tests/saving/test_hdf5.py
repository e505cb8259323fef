"""Keras' HDF5 form: files of Keras 2 and 3, what tinycnn writes, and the many ways to store one array."""

import json
import sys

import h5py
import numpy as np
import pytest

from tests.networks import conv_and_dense, every_layer
from tests.saving.saved_models import GOLDEN, assert_same, edit_json, golden_copy, trained
from tinycnn import Sequential, load_model, regularizers, saving
from tinycnn.layers import Activation, Conv2D, Dense, Flatten
from tinycnn.optimizers import SGD, Adadelta, AdamW, RMSprop
from tinycnn.saving import hdf5

VERSIONS = [2, 3]


def golden(version=2):
    """Inputs, labels and the probabilities that Keras computed for them."""
    with np.load(GOLDEN / f"small_keras{version}.npz") as arrays:
        return arrays["x"], arrays["labels"], arrays["probabilities"]


def replace(path, name, **options):
    """Store the array at a name in another way."""
    with h5py.File(path, "r+") as file:
        array = file[name][()]
        del file[name]
        file.create_dataset(name, **{"data": array, **options})


@pytest.mark.parametrize("version", VERSIONS)
def test_files_of_keras_predict_the_same(version):
    """To the rounding of float32."""
    x, _, probabilities = golden(version)
    model = load_model(GOLDEN / f"small_keras{version}.h5")
    np.testing.assert_allclose(model.predict(x), probabilities, rtol=0, atol=1e-6)


@pytest.mark.parametrize("version", VERSIONS)
def test_files_of_keras_bring_their_training_along(version):
    """Adam after six steps, with its moments; the loss; the metric."""
    model = load_model(GOLDEN / f"small_keras{version}.h5")
    assert type(model.optimizer).__name__ == "Adam"
    assert model.optimizer.learning_rate == float(np.float32(0.001))
    assert model.optimizer.iterations == 6
    with h5py.File(GOLDEN / f"small_keras{version}.h5") as file:
        stored = file["optimizer_weights"]
        names = [name for name in stored.attrs["weight_names"] if "momentum" in name or "/m/" in name]
        momentum = np.concatenate([stored[name][()].ravel() for name in names])
    np.testing.assert_array_equal(model.optimizer.slots["momentum"], momentum)
    assert (model.optimizer.slots["velocity"] >= 0).all()
    assert model.optimizer.slots["velocity"].any()
    assert model.loss.name == "sparse_categorical_crossentropy"
    assert list(model.metrics) == ["accuracy"]
    assert model.epochs_trained == 0  # Keras does not say


@pytest.mark.parametrize("version", VERSIONS)
def test_names_of_weights_are_the_same_from_both(version):
    """Keras 2 says conv2d/kernel:0, Keras 3 sequential/conv2d/kernel."""
    names = [name for name, _ in saving.read(GOLDEN / f"small_keras{version}.h5").weights]
    layers = ["conv2d", "conv2d_1", "dense", "dense_1"]
    assert names == [f"{layer}/{weight}" for layer in layers for weight in ("kernel", "bias")]


@pytest.mark.parametrize(
    ("optimizer", "order"),
    [
        (SGD(momentum=0.5), ["kernel_momentum", "bias_momentum"]),
        (
            RMSprop(momentum=0.5, centered=True),
            [
                "kernel_velocity",
                "bias_velocity",
                "kernel_momentum",
                "bias_momentum",
                "kernel_average_gradient",
                "bias_average_gradient",
            ],
        ),
        (
            Adadelta(),
            [
                "kernel_accumulated_grad",
                "kernel_accumulated_delta",
                "bias_accumulated_grad",
                "bias_accumulated_delta",
            ],
        ),
        (
            AdamW(amsgrad=True),
            [
                "kernel_momentum",
                "kernel_velocity",
                "bias_momentum",
                "bias_velocity",
                "kernel_velocity_hat",
                "bias_velocity_hat",
            ],
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_order_of_moments_is_that_of_keras_3(tmp_path, optimizer, order):
    """Some kinds alternate, parameter by parameter; others come one after the other."""
    model = Sequential([Flatten(), Dense(4, name="d")], seed=1, input_shape=(2, 3, 1))
    model.compile(optimizer, "mse")
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        names = [name.decode() for name in file["optimizer_weights"].attrs["weight_names"]]
    prefix = optimizer.name
    assert names == [f"{prefix}/iteration", f"{prefix}/learning_rate", *(f"{prefix}/d_{x}" for x in order)]


def test_the_written_form(tmp_path):
    """What Keras 2 needs: attributes, order, names, an InputLayer with batch_input_shape, no modules."""
    trained(conv_and_dense(optimizer="adam")).save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert set(file) == {"model_weights", "optimizer_weights"}
        assert file.attrs["backend"] == b"tensorflow"
        weights = file["model_weights"]
        assert weights.attrs["layer_names"].tolist() == [b"conv2d_1", b"flatten_1", b"dense_1"]
        assert list(weights["conv2d_1"].attrs["weight_names"]) == [b"conv2d_1/kernel:0", b"conv2d_1/bias:0"]
        assert len(weights["flatten_1"].attrs["weight_names"]) == 0
        assert weights["conv2d_1/conv2d_1/kernel:0"].shape == (3, 2, 2, 5)
        assert [name.decode() for name in file["optimizer_weights"].attrs["weight_names"]][:4] == [
            "adam/iteration",
            "adam/learning_rate",
            "adam/conv2d_1_kernel_momentum",
            "adam/conv2d_1_kernel_velocity",
        ]
        config = json.loads(file.attrs["model_config"])["config"]
        assert config["layers"][0]["class_name"] == "InputLayer"
        assert config["layers"][0]["config"]["batch_input_shape"] == [None, 4, 6, 2]
        assert b"module" not in file.attrs["model_config"] + file.attrs["training_config"]


def test_texts_have_a_fixed_length(tmp_path):
    """Those of variable length are kept in a global heap, and HDF5's library hangs on a damaged one."""
    trained(conv_and_dense(optimizer="adam")).save(tmp_path / "m.h5")
    assert b"GCOL" not in (tmp_path / "m.h5").read_bytes()
    with h5py.File(tmp_path / "m.h5") as file:
        for name in ("keras_version", "backend", "model_config", "training_config", "tinycnn"):
            assert h5py.check_string_dtype(file.attrs.get_id(name).dtype).length is not None


def deep(count):
    """A model whose description is longer than HDF5's limit of 64 KB for an attribute of the older form."""
    layers = [Activation("relu", name=f"a_rather_long_name_of_a_layer_{i}") for i in range(count)]
    return Sequential([Flatten(), Dense(3), *layers], seed=2, input_shape=(2, 3, 1))


@pytest.mark.parametrize(("count", "superblock"), [(5, 0), (700, 2)])
def test_long_descriptions_take_the_newer_form_of_hdf5(tmp_path, count, superblock):
    """It keeps them outside of the header, also of fixed length. h5py reads both, tinycnn too."""
    model = deep(count)
    model.save(tmp_path / "m.h5")
    content = (tmp_path / "m.h5").read_bytes()
    assert (content[8], b"GCOL" in content) == (superblock, False)
    with h5py.File(tmp_path / "m.h5") as file:
        assert (len(file.attrs["model_config"]) > 64_512) == (count == 700)
    assert_same(load_model(tmp_path / "m.h5"), model)


def test_h5py_is_not_needed_to_read(tmp_path, monkeypatch):
    """`tinycnn.saving.h5` reads."""
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert load_model(GOLDEN / "small_keras3.h5").optimizer.iterations == 6


def test_an_untrained_optimizer_is_written_with_zeros(tmp_path):
    """Keras expects all moments or complains."""
    conv_and_dense(optimizer="adam").save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert len(file["optimizer_weights"].attrs["weight_names"]) == 2 + 2 * 4


@pytest.mark.parametrize(
    ("optimizer", "kinds", "endings"),
    [
        ("adam", ["momentum", "velocity"], ["m:0", "v:0"]),
        ("adadelta", ["accumulated_grad", "accumulated_delta"], ["accum_grad:0", "accum_var:0"]),
    ],
)
def test_optimizers_of_keras_before_2_11(tmp_path, optimizer, kinds, endings):
    """All moments of one kind, then all of the next, with the kind at the end of the name."""
    model = trained(conv_and_dense(optimizer=optimizer))
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        snapshot = saving.read(tmp_path / "m.h5")
        del file["optimizer_weights"]
        old = [(f"{optimizer}/iter:0", np.int64(4))]
        for kind, ending in zip(kinds, endings, strict=True):
            for (name, _), array in zip(snapshot.weights, snapshot.slots[kind], strict=True):
                old.append((f"{optimizer}/{name}/{ending}", array))
        hdf5._write_arrays(file.create_group("optimizer_weights"), old)
    assert_same(load_model(tmp_path / "m.h5"), model)


def test_the_golden_file_in_the_order_of_keras_before_2_11(tmp_path):
    """The same file, its moments sorted as an older Keras would have."""
    path = golden_copy(tmp_path)
    with h5py.File(path, "r+") as file:
        group = file["optimizer_weights"]
        iteration, *names = group.attrs["weight_names"]
        old = [iteration]
        for kind in "mv":
            for name in (name for name in names if name.startswith(f"Adam/{kind}/")):
                old.append(f"{name.replace(f'/{kind}/', '/').removesuffix(':0')}/{kind}:0")
                group.move(name, old[-1])
        group.attrs["weight_names"] = old
    assert_same_slots(load_model(path), load_model(GOLDEN / "small_keras2.h5"))


def assert_same_slots(received, expected):
    assert received.optimizer.iterations == expected.optimizer.iterations
    assert received.optimizer.slots.keys() == expected.optimizer.slots.keys()
    for name, slot in expected.optimizer.slots.items():
        np.testing.assert_array_equal(received.optimizer.slots[name], slot)


def test_an_optimizer_that_keras_had_not_built(tmp_path):
    """It has no moments, and nobody needs to hear of it."""
    path = golden_copy(tmp_path, 3)
    with h5py.File(path, "r+") as file:
        group = file["optimizer_weights"]
        group.attrs["weight_names"] = group.attrs["weight_names"][:2]
        group["adam/iteration"][()] = 0
    model = load_model(path)
    assert (model.optimizer.iterations, model.optimizer.slots) == (0, {})


def test_moments_that_do_not_fit_are_left_out_with_a_warning(tmp_path):
    """The weights are worth having; the training starts afresh."""
    path = golden_copy(tmp_path)
    with h5py.File(path, "r+") as file:
        group = file["optimizer_weights"]
        group.attrs["weight_names"] = group.attrs["weight_names"][:-1]
    with pytest.warns(UserWarning, match="start afresh"):
        model = load_model(path)
    assert (model.optimizer.iterations, model.optimizer.slots) == (0, {})


def test_momentum_that_keras_2_keeps_for_plain_gradient_descent(tmp_path):
    """tf-keras writes an array of zeros for each parameter though the momentum is 0."""
    model = trained(conv_and_dense(optimizer="sgd"))
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        del file["optimizer_weights"]
        zeros = [(f"SGD/m/{name}:0", np.zeros_like(array)) for name, array in model.named_weights()]
        hdf5._write_arrays(file.create_group("optimizer_weights"), [("iteration:0", np.int64(4)), *zeros])
    loaded = load_model(tmp_path / "m.h5")
    assert (loaded.optimizer.iterations, loaded.optimizer.slots) == (4, {})


def test_an_optimizer_without_an_equal_leaves_the_model_not_compiled(tmp_path):
    """A warning says which; the weights are there."""
    x, _, probabilities = golden()
    path = edit_json(
        golden_copy(tmp_path),
        lambda training: training["optimizer_config"].update(class_name="Lion"),
        "training_config",
    )
    with pytest.warns(UserWarning, match="not compiled.*optimizer 'Lion'"):
        model = load_model(path)
    assert model.optimizer is None
    np.testing.assert_allclose(model.predict(x), probabilities, rtol=0, atol=1e-6)


@pytest.mark.parametrize("missing", ["training_config", "optimizer_weights"])
def test_a_part_of_the_training_may_be_missing(tmp_path, missing):
    """Without the first the model is not compiled; without the second it starts afresh. Neither is odd."""
    path = golden_copy(tmp_path)
    with h5py.File(path, "r+") as file:
        del (file.attrs if missing == "training_config" else file)[missing]
    model = load_model(path)
    assert (model.optimizer is None) == (missing == "training_config")
    assert model.optimizer is None or not model.optimizer.slots


KERNEL = "model_weights/dense/dense/kernel:0"
WAYS = {
    "big-endian": {"dtype": ">f4"},
    "float64": {"dtype": "f8"},
    "chunks": {"chunks": (5, 4)},
    "chunks larger than the array": {"chunks": (100, 4), "maxshape": (None, 9)},
    "gzip": {"compression": "gzip", "compression_opts": 9},
    "gzip of chunks that do not shrink": {"compression": "gzip", "chunks": (1, 1)},
    "gzip, shuffle and checksum": {"compression": "gzip", "shuffle": True, "fletcher32": True},
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_ways_to_store_the_same_values(tmp_path, options):
    """What h5py can do, people do."""
    path = golden_copy(tmp_path)
    replace(path, KERNEL, **options)
    replace(path, "optimizer_weights/Adam/v/dense/kernel:0", **options)
    loaded, expected = load_model(path), load_model(GOLDEN / "small_keras2.h5")
    assert all(layer.dtype == np.float32 for layer in loaded)
    np.testing.assert_array_equal(loaded.parameters, expected.parameters)
    assert_same_slots(loaded, expected)


@pytest.mark.parametrize("dtype", ["float16", "int8", "int64", "uint16", "bool"])
def test_other_kinds_of_numbers_are_converted(tmp_path, dtype):
    """Half precision and integers; not truth values, which HDF5 stores as an enumeration."""
    path = golden_copy(tmp_path)
    values = np.arange(28 * 9).reshape(28, 9).astype(dtype)
    replace(path, KERNEL, data=values)
    if dtype == "bool":
        with pytest.raises(ValueError, match="expected numbers, received bool"):
            load_model(path)
    else:
        np.testing.assert_array_equal(load_model(path)["dense"].params["kernel"], values)


def test_values_that_float32_cannot_hold_become_infinite(tmp_path):
    """And a warning names the weight."""
    path = golden_copy(tmp_path)
    replace(path, KERNEL, data=np.full((28, 9), -1e300))
    with pytest.warns(UserWarning, match="NaN or infinite values in dense/kernel"):
        model = load_model(path)
    assert (model["dense"].params["kernel"] == -np.inf).all()


def test_zeros_compress_very_well(tmp_path):
    """The guard against bombs does not take an honest, empty layer for one."""
    model = Sequential([Flatten(), Dense(1000, kernel_initializer="zeros")], input_shape=(30, 70, 1))
    model.save(tmp_path / "m.h5")
    replace(tmp_path / "m.h5", "model_weights/dense_1/dense_1/kernel:0", compression="gzip")
    with h5py.File(tmp_path / "m.h5") as file:
        data = file["model_weights/dense_1/dense_1/kernel:0"]
        assert data.nbytes > 300 * data.id.get_storage_size()
    assert_same(load_model(tmp_path / "m.h5"), model)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_text_may_be_bytes_or_characters(tmp_path, as_bytes):
    """Both, of fixed and of variable length, after who wrote the file."""
    path = golden_copy(tmp_path)

    def change(_, holder):
        for name, value in dict(holder.attrs).items():
            if np.size(value) == 0:
                holder.attrs[name] = np.array([], "S1")
            elif as_bytes:
                holder.attrs[name] = np.char.encode(np.asarray(value, str), "utf-8")
            else:
                kind = h5py.string_dtype("ascii" if name == "backend" else "utf-8")
                holder.attrs.create(name, value, dtype=kind)

    with h5py.File(path, "r+") as file:
        model_config = file.attrs.pop("model_config")
        change("/", file)
        file.visititems(change)
        # of fixed length it would not fit into an attribute
        file.attrs["model_config"] = model_config.encode() if as_bytes else model_config
        assert isinstance(file["model_weights"].attrs["layer_names"][0], bytes if as_bytes else str)
    assert_same_slots(load_model(path), load_model(GOLDEN / "small_keras2.h5"))


@pytest.mark.parametrize("limit", [48, 100, 1000])
def test_long_lists_of_names_are_cut_in_pieces(tmp_path, monkeypatch, limit):
    """layer_names0, layer_names1, ... as Keras does, each within the limit."""
    monkeypatch.setattr(hdf5, "ATTRIBUTE_LIMIT", limit)
    model = every_layer()
    model.compile("adam")
    trained(model).save(tmp_path / "m.h5")
    assert_same(load_model(tmp_path / "m.h5"), model)
    with h5py.File(tmp_path / "m.h5") as file:
        pieces = [value for name, value in file["model_weights"].attrs.items() if "layer_names" in name]
        assert sum(map(len, pieces)) == len(model)
        assert all(0 < piece.nbytes <= limit for piece in pieces)
        assert (len(pieces) > 1) == (limit < 1000)


def test_names_of_more_than_64_kilobytes(tmp_path):
    """The real limit: HDF5 would refuse the attribute."""
    layers = [Activation("tanh", name=f"{i}_{'long' * 300}") for i in range(70)]
    model = Sequential([*layers, Flatten(), Dense(4, name="d" * 40_000)], seed=1, input_shape=(2, 3, 1))
    model.save(tmp_path / "m.h5")
    assert_same(load_model(tmp_path / "m.h5"), model)
    with h5py.File(tmp_path / "m.h5") as file:
        assert "layer_names" not in file["model_weights"].attrs
        assert "layer_names1" in file["model_weights"].attrs


@pytest.mark.parametrize("name", ["a/b", "/a", "a/", ".", ".."])
@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_names_that_hdf5_takes_for_paths(tmp_path, suffix, name):
    """Keras 3 refuses a slash as well."""
    model = Sequential([Flatten(name=name)], input_shape=(2, 3, 1))
    with pytest.raises(ValueError, match=r"layer name: expected one without '/'"):
        model.save(tmp_path / f"m.{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_attribute_can_hold(tmp_path):
    """A single one of more than 64 KB."""
    model = Sequential([Flatten(name="x" * 70_000)], input_shape=(2, 3, 1))
    with pytest.raises(ValueError, match="at most 64512 bytes"):
        model.save(tmp_path / "m.h5")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
@pytest.mark.parametrize("version", VERSIONS)
def test_16_bit_policies_are_computed_in_float32(tmp_path, version, policy):
    """Keras 2 writes the policy by name, Keras 3 as an object."""

    def change(model_config):
        for layer in model_config["config"]["layers"][1:]:
            old = layer["config"]["dtype"]
            layer["config"]["dtype"] = (
                {**old, "config": {"name": policy}} if isinstance(old, dict) else policy
            )

    x, _, probabilities = golden(version)
    path = edit_json(golden_copy(tmp_path, version), change)
    with pytest.warns(UserWarning, match=f"leaves out dtype {policy}, computed in float32"):
        model = load_model(path)
    assert model.dtype == np.float32
    np.testing.assert_allclose(model.predict(x), probabilities, rtol=0, atol=1e-6)


def test_constraints_are_left_out_with_one_warning(tmp_path):
    """They make no difference to what the model predicts; a regularizer beside them is read."""

    def change(model_config):
        for layer in model_config["config"]["layers"]:
            if layer["class_name"] in ("Conv2D", "Dense"):
                layer["config"]["kernel_regularizer"] = {"class_name": "L2", "config": {"l2": 0.03}}
                layer["config"]["bias_constraint"] = {"class_name": "NonNeg", "config": {}}

    x, _, probabilities = golden()
    path = edit_json(golden_copy(tmp_path), change)
    with pytest.warns(UserWarning, match="no such bias_constraint: further") as caught:
        model = load_model(path)
    assert len(caught) == 1
    np.testing.assert_allclose(model.predict(x), probabilities, rtol=0, atol=1e-6)
    found = [layer.kernel_regularizer for layer in model if layer.params]
    assert found == [regularizers.L2(0.03)] * 4


def test_regularizers_come_back(tmp_path):
    """In both formats, and a file without any names none."""
    layers = [
        Conv2D(3, 2, kernel_regularizer=regularizers.L1(0.3), bias_regularizer="l2"),
        Flatten(),
        Dense(4, kernel_regularizer=regularizers.L1L2(0.1, 0.2)),
    ]
    model = Sequential(layers, seed=1, input_shape=(4, 3, 2))
    for name in ("m.h5", "m.npz"):
        model.save(tmp_path / name)
        assert load_model(tmp_path / name).get_config() == model.get_config()
    with h5py.File(tmp_path / "m.h5") as file:
        entries = json.loads(file.attrs["model_config"])["config"]["layers"]
    assert entries[1]["config"]["bias_regularizer"] == {"class_name": "L2", "config": {"l2": 0.01}}
    assert "bias_regularizer" not in entries[3]["config"]


def test_a_frozen_layer_of_keras(tmp_path):
    """Its moments are missing in the file, and the others are where they belong."""
    path = golden_copy(tmp_path)
    with h5py.File(path, "r+") as file:
        group = file["optimizer_weights"]
        names = [name for name in group.attrs["weight_names"] if "/conv2d_1/" not in name]
        group.attrs["weight_names"] = names

    def freeze(model_config):
        model_config["config"]["layers"][2]["config"]["trainable"] = False

    model, whole = load_model(edit_json(path, freeze)), load_model(GOLDEN / "small_keras2.h5")
    assert [layer.name for layer in model if not layer.trainable] == ["conv2d_1"]
    start = sum(p.size for p in model["conv2d"].params.values())
    stop = start + sum(p.size for p in model["conv2d_1"].params.values())
    for name, slot in whole.optimizer.slots.items():
        np.testing.assert_array_equal(model.optimizer.slots[name][:start], slot[:start])
        np.testing.assert_array_equal(model.optimizer.slots[name][stop:], slot[stop:])
        assert not model.optimizer.slots[name][start:stop].any()
