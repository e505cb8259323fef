"""Weights alone: the form of Keras 3, older forms that are read, and files that are refused."""

import h5py
import numpy as np
import pytest

from tests.networks import conv_and_dense, every_layer
from tests.saving.hostile_files import MIB
from tests.saving.saved_models import GOLDEN, trained
from tinycnn import Sequential, load_model
from tinycnn.layers import BatchNormalization, Conv2D, Dense, Flatten


def network(units=4, seed=1):
    """Two convolutions, two dense layers, one without a bias, and moving averages."""
    layers = [
        Conv2D(3, 2, padding=1, name="first/one"),
        Conv2D(5, (1, 2), use_bias=False),
        BatchNormalization(),
        Flatten(),
        Dense(7),
        Dense(units),
    ]
    return Sequential(layers, seed=seed, input_shape=(4, 3, 2))


def noisy(model):
    """The model with another value in each weight, also in those that begin with zeros or ones."""
    rng = np.random.default_rng(6)
    model.set_weights([rng.random(array.shape) for array in model.weights])
    return model


def same_weights(received, expected):
    pairs = zip(received.get_weights(), expected.get_weights(), strict=True)
    assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def edited(path, change):
    """A file of weights, changed by a function of the open file."""
    noisy(network()).save_weights(path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def refused(path, match, model=None, memory=30 * MIB):
    """The file is refused by name, soon, and the model stays as it was."""
    import tracemalloc

    model = model or network()
    before = model.get_weights()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match) as caught:
            model.load_weights(path)
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert all(map(np.array_equal, model.get_weights(), before))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(tmp_path, dtype):
    model = every_layer(dtype)
    model.compile("sgd")
    trained(model)
    model.save_weights(tmp_path / "x.weights.h5")
    other = every_layer(dtype)
    assert not np.array_equal(other.parameters, model.parameters)
    other.load_weights(tmp_path / "x.weights.h5")
    same_weights(other, model)
    assert other.steps_trained == 0
    assert model.steps_trained == 4


def test_the_written_form(tmp_path):
    """Class and number for a name, an empty `vars` for a layer without weights, no optimizer."""
    model = noisy(network())
    model.compile("adam", "mse")
    model.save_weights(str(tmp_path / "x.weights.h5"))
    found = {}
    with h5py.File(tmp_path / "x.weights.h5") as file:
        file.visititems(lambda name, item: found.update({name: getattr(item, "shape", dict(item.attrs))}))
    w = {name: array.shape for name, array in model.named_weights()}
    assert found == {
        "vars": {"name": b"sequential"},
        "layers": {},
        "layers/zero_padding2d": {},
        "layers/zero_padding2d/vars": {"name": b"first/one_padding"},
        "layers/conv2d": {},
        "layers/conv2d/vars": {"name": b"first/one"},
        "layers/conv2d/vars/0": w["first/one/kernel"],
        "layers/conv2d/vars/1": w["first/one/bias"],
        "layers/conv2d_1": {},
        "layers/conv2d_1/vars": {"name": b"conv2d_1"},
        "layers/conv2d_1/vars/0": w["conv2d_1/kernel"],
        "layers/batch_normalization": {},
        "layers/batch_normalization/vars": {"name": b"batch_normalization_1"},
        **{f"layers/batch_normalization/vars/{i}": (5,) for i in range(4)},
        "layers/flatten": {},
        "layers/flatten/vars": {"name": b"flatten_1"},
        "layers/dense": {},
        "layers/dense/vars": {"name": b"dense_1"},
        "layers/dense/vars/0": w["dense_1/kernel"],
        "layers/dense/vars/1": (7,),
        "layers/dense_1": {},
        "layers/dense_1/vars": {"name": b"dense_2"},
        "layers/dense_1/vars/0": (7, 4),
        "layers/dense_1/vars/1": (4,),
    }


def test_values_are_where_keras_has_them(tmp_path):
    """gamma, beta, moving_mean, moving_variance."""
    model = noisy(network())
    model.save_weights(tmp_path / "x.weights.h5")
    norm = model.get_layer(index=2)
    with h5py.File(tmp_path / "x.weights.h5") as file:
        values = [file[f"layers/batch_normalization/vars/{i}"][()] for i in range(4)]
        np.testing.assert_array_equal(file["layers/dense_1/vars/0"][()], model["dense_2"].kernel)
    expected = [norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance]
    np.testing.assert_array_equal(values, expected)


def test_more_layers_of_a_class_than_ten(tmp_path):
    """dense_10 comes after dense_9, not after dense_1."""
    model = Sequential([Dense(3) for _ in range(12)], seed=2, input_shape=(3,))
    model.save_weights(tmp_path / "x.weights.h5")
    other = Sequential([Dense(3) for _ in range(12)], seed=3, input_shape=(3,))
    other.load_weights(tmp_path / "x.weights.h5")
    same_weights(other, model)


@pytest.mark.parametrize("step", [1, 2])
def test_older_files_of_that_form(tmp_path, step):
    """By another name of the group, and with numbers in other steps, as Keras 2.12 counted."""

    def change(file):
        file.move("layers", "_layer_checkpoint_dependencies")
        old = file["_layer_checkpoint_dependencies"]
        for kind in ("conv2d", "dense"):
            old.move(f"{kind}_1", f"{kind}_{step}") if step > 1 else None
        file.create_dataset("optimizer/vars/0", data=5)
        file.create_dataset("_layer_checkpoint_dependencies/dropout/seed_generator/vars/0", data=[1, 2])

    model = network()
    model.load_weights(edited(tmp_path / "x.weights.h5", change))
    same_weights(model, noisy(network()))


def test_weights_of_keras_2_without_the_model(tmp_path):
    """`save_weights("x.h5")` of Keras 1 and 2: the group of weights alone, at the root."""
    for version in (2, 3):
        whole, path = GOLDEN / f"small_keras{version}.h5", tmp_path / "x.h5"
        with h5py.File(whole) as source, h5py.File(path, "w") as file:
            for name in source["model_weights"]:
                source.copy(f"model_weights/{name}", file)
            for name, value in source["model_weights"].attrs.items():
                file.attrs[name] = value
        expected = load_model(whole)
        model = Sequential.from_config({**expected.get_config(), "seed": 5})
        model.load_weights(path)
        same_weights(model, expected)
        with pytest.raises(ValueError, match=r"weights alone .*: make the network, and call load_weights"):
            load_model(path)


def test_a_whole_model_of_that_name(tmp_path):
    """`save` writes whole models whatever the name, as in Keras; other names of `save_weights` do too."""
    model = noisy(network())
    model.get_layer(index=0).name = "first"
    for name, write in (
        ("x.weights.h5", model.save),
        ("x.h5", model.save_weights),
        ("x.weights.hdf5", model.save_weights),
    ):
        write(tmp_path / name)
        assert load_model(tmp_path / name).get_config() == model.get_config()
        other = network(seed=4)
        other.load_weights(tmp_path / name)
        same_weights(other, model)


def test_a_model_that_is_not_built(tmp_path):
    """The file does not say for which images; a whole model does."""
    model = noisy(network())
    model.save_weights(tmp_path / "x.weights.h5")
    model.save_weights(tmp_path / "x.npz")
    other = Sequential.from_config({**model.get_config(), "input_shape": None})
    with pytest.raises(ValueError, match=r"call model.build\(input_shape\) first"):
        other.load_weights(tmp_path / "x.weights.h5")
    other.load_weights(tmp_path / "x.npz")
    same_weights(other, model)


def test_other_layers_and_shapes(tmp_path):
    """The error gives both lists, and nothing changes."""
    path = tmp_path / "x.weights.h5"
    network().save_weights(path)
    refused(
        path,
        r"expected the weights .*dense_2/kernel \(7, 6\).*received .*dense_2/kernel \(7, 4\)",
        network(6),
    )
    smaller = Sequential([Flatten(), Dense(3)], input_shape=(4, 3, 2))
    refused(
        path,
        r"layers \['dense'\], received \['batch_norm.*'conv2d', 'conv2d_1', 'dense', 'dense_1'\]",
        smaller,
    )
    smaller.save_weights(path)
    refused(path, r"'conv2d', 'conv2d', 'batch_.*'dense', 'dense'\], received \['dense'\]")
    Sequential([Dense(3, use_bias=False)], input_shape=(4,)).save_weights(path)
    refused(
        path, "'dense_1': expected kernel, bias, received 1 arrays", Sequential([Dense(3)], input_shape=(4,))
    )


def test_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        network().load_weights(tmp_path / "none.weights.h5")
    with pytest.raises(ValueError, match="expected a file name ending in"):
        network().save_weights(tmp_path / "x.weights")


def test_a_layer_of_ones_own_is_refused(tmp_path):
    """It could not be read again; the message is that of `save`."""

    class Twice(Dense):
        pass

    with pytest.raises(ValueError, match="expected one of 'Activation'"):
        Sequential([Twice(3)], input_shape=(4,)).save_weights(tmp_path / "x.weights.h5")
    assert not list(tmp_path.iterdir())


KERNEL = "layers/dense/vars/0"


def soft_link(file):
    del file[KERNEL]
    file[KERNEL] = h5py.SoftLink("/layers/dense_1/vars/0")


def external_link(file):
    del file["layers/dense"]
    file["layers/dense"] = h5py.ExternalLink("other.h5", "/layers/dense")


def external_data(file):
    shape = file[KERNEL].shape
    del file[KERNEL]
    file.create_dataset(KERNEL, shape, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual_data(file):
    shape = file[KERNEL].shape
    del file[KERNEL]
    layout = h5py.VirtualLayout(shape, "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape)
    file.create_virtual_dataset(KERNEL, layout)


def a_bomb(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (2**20, 2**20), "f4", chunks=(2**10, 2**10), compression="gzip")


def one_large_chunk(file):
    del file[KERNEL]
    file.create_dataset(
        KERNEL, (84, 7), "f4", chunks=(2**14, 2**13), maxshape=(None, None), compression="gzip"
    )


def a_group_for_an_array(file):
    del file[KERNEL]
    file.create_group(KERNEL)


def an_array_for_a_group(file):
    del file["layers/dense"]
    file["layers/dense"] = 1.0


def an_array_for_all(file):
    del file["layers"]
    file["layers"] = 1.0


def text(file):
    del file[KERNEL]
    file[KERNEL] = "weights"


def a_gap_in_the_numbers(file):
    file.move(KERNEL, "layers/dense/vars/2")


def a_layer_in_a_layer(file):
    file["layers/dense/cell/vars/0"] = [1.0]


def nothing_at_all(file):
    for name in list(file):
        del file[name]


def bytes_that_nothing_names(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (84, 7), "V2")


def bytes_of_another_name(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (84, 7), "V2").attrs["dtype"] = "float8_e4m3fn"


def more_bytes_than_bfloat16(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (84, 7), "V3").attrs["dtype"] = "bfloat16"


def a_bomb_of_bfloat16(file):
    del file[KERNEL]
    file.create_dataset(KERNEL, (2**14, 2**14), "V2", chunks=(2**10, 2**10)).attrs["dtype"] = "bfloat16"


def one_group_by_many_names(file):
    """Ten thousand arrays from a few, by hard links: of layers, and of arrays."""
    for i in range(400):
        file[f"layers/flatten/vars/{i}"] = file[KERNEL]
    for i in range(400):
        file[f"layers/flatten_{i + 1}"] = file["layers/flatten"]


def one_old_layer_by_many_names(file):
    del file["layers"]
    file["a/x"] = 1.0
    file["a"].attrs["weight_names"] = np.array([b"x"] * 8000)
    file.attrs["layer_names"] = np.array([b"a"] * 8000)


def names_without_end(file):
    del file["layers"]
    file.attrs["layer_names"] = [b"a"] * 3
    file["a"] = 1.0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (soft_link, "/layers/dense/vars/0 is a link to elsewhere"),
        (external_link, "/layers/dense is a link to elsewhere"),
        (external_data, "/layers/dense/vars/0 is not an array within this file"),
        (virtual_data, "/layers/dense/vars/0 is not an array within this file"),
        (a_bomb, "the arrays declare .* bytes, in a file of"),
        (one_large_chunk, "the arrays declare .* bytes, in a file of"),
        (a_group_for_an_array, "/layers/dense/vars/0: expected an array, received a group"),
        (an_array_for_a_group, "/layers/dense: expected a group, received an array"),
        (an_array_for_all, "/layers: expected a group, received an array"),
        (text, "/layers/dense/vars/0: expected numbers, received"),
        (a_gap_in_the_numbers, "/layers/dense/vars holds nothing at '0'"),
        (a_layer_in_a_layer, "/layers/dense/cell: expected a layer without layers"),
        (nothing_at_all, "no attribute layer_names"),
        (bytes_that_nothing_names, "expected numbers, received opaque data: bfloat16, perhaps"),
        (bytes_of_another_name, "expected numbers, received opaque data"),
        (more_bytes_than_bfloat16, "expected numbers, received opaque data"),
        (a_bomb_of_bfloat16, "the arrays declare .* bytes, in a file of"),
        (one_group_by_many_names, "expected at most 16384 weights"),
        (one_old_layer_by_many_names, "expected at most 16384 weights"),
        (names_without_end, "/a: expected a group, received an array"),
    ],
)
def test_hostile_files(tmp_path, change, match):
    refused(edited(tmp_path / "x.weights.h5", change), match)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"x" * 3000])
def test_files_that_are_no_hdf5(tmp_path, content):
    (tmp_path / "x.weights.h5").write_bytes(content)
    refused(tmp_path / "x.weights.h5", "received")


def test_bytes_that_were_changed(tmp_path):
    """Each is read, or refused with a ValueError that names the file."""
    path = tmp_path / "x.weights.h5"
    conv_and_dense().save_weights(path)
    whole, rng, model = path.read_bytes(), np.random.default_rng(3), conv_and_dense()
    errors = []
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            model.load_weights(path)
        except ValueError as error:
            errors.append(str(error))
    assert len(errors) > 3
    assert all(str(path) in error for error in errors)
