"""What is saved is loaded, in each format: every layer, option, optimizer and loss, bit for bit."""

import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.networks import by_channel, conv_and_dense, every_layer, plain_layers
from tests.saving.saved_models import FORMATS, assert_same, data, trained
from tinycnn import Sequential, load_model, saving
from tinycnn.layers import LAYERS, Dense, Flatten
from tinycnn.losses import CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy
from tinycnn.optimizers import OPTIMIZERS, SGD, Adadelta, Adam, AdamW, RMSprop
from tinycnn.optimizers.schedules import CosineDecay, ExponentialDecay, OneCycle, Warmup

OPTIONS = [
    SGD(0.02),
    SGD(0.02, momentum=0.7, nesterov=True),
    RMSprop(0.003, rho=0.8, epsilon=1e-5),
    RMSprop(0.003, momentum=0.6),
    RMSprop(0.003, momentum=0.6, centered=True, global_clipnorm=0.9),
    RMSprop(0.003, centered=True),
    Adadelta(0.5, rho=0.9, epsilon=1e-6),
    Adam(0.004, beta_1=0.8, beta_2=0.99, epsilon=1e-6),
    Adam(0.004, amsgrad=True, global_clipnorm=0.7),
    AdamW(0.004, weight_decay=0.02),
    AdamW(0.004, amsgrad=True),
    AdamW(OneCycle(0.004, 9), weight_decay={"dense_*/kernel": 0.3, "*/kernel": 0.1}),
    SGD(CosineDecay(0.01, 9), momentum=0.5, weight_decay=0.1),
    Adam(Warmup(ExponentialDecay(0.004, 5, 0.5), 3)),
]

pytestmark = pytest.mark.parametrize(
    "suffix", [*FORMATS, pytest.param("safetensors", marks=pytest.mark.slow)]
)


def saved(model, folder, suffix, **options):
    """The model after a trip to a file and back."""
    model.save(folder / f"m.{suffix}", **options)
    return load_model(folder / f"m.{suffix}")


@pytest.mark.parametrize("network", [every_layer, plain_layers, by_channel])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_and_option(tmp_path, suffix, dtype, network):
    """After training, so that no weight is what it began with."""
    model = network(dtype)
    layers = (*every_layer(), *plain_layers(), *by_channel())
    assert {type(layer).__name__ for layer in layers} == set(LAYERS)
    model.compile("adam", metrics=["accuracy"])
    trained(model)
    loaded = saved(model, tmp_path, suffix)
    assert_same(loaded, model)
    x, _ = data(model.input_shape, dtype=dtype)
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))


@pytest.mark.parametrize("optimizer", OPTIONS, ids=repr)
def test_every_optimizer_and_slot(tmp_path, suffix, optimizer):
    """All moments, in the places of their parameters."""
    optimizer.iterations, optimizer.slots = 0, {}  # the objects of the list serve twice
    model = trained(conv_and_dense(optimizer=optimizer))
    assert set(optimizer.slots) == set(optimizer.slot_names())
    assert all(slot.any() for slot in optimizer.slots.values())
    assert_same(saved(model, tmp_path, suffix), model)


def test_the_list_of_optimizers_is_whole(suffix):
    """Also when one is added."""
    assert {type(optimizer).__name__.lower() for optimizer in OPTIONS} == set(OPTIMIZERS)


@pytest.mark.parametrize(
    "loss",
    [
        MeanSquaredError(),
        CategoricalCrossentropy(),
        CategoricalCrossentropy(from_logits=True, label_smoothing=0.2),
        SparseCategoricalCrossentropy(from_logits=True),
        SparseCategoricalCrossentropy(label_smoothing=0.1),
    ],
    ids=lambda loss: f"{loss.name}-{loss.get_config()}",
)
@pytest.mark.filterwarnings("ignore:.*the loss expects logits")
@pytest.mark.parametrize("metrics", [[], ["accuracy"], ["acc"]])
def test_every_loss_and_metric(tmp_path, suffix, loss, metrics):
    """Also what Keras' own sparse loss cannot say: label smoothing."""
    model = conv_and_dense(loss=loss, metrics=metrics)
    assert_same(saved(model, tmp_path, suffix), model)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "adadelta"])
@pytest.mark.filterwarnings("ignore:.*no layer is trainable")
@pytest.mark.parametrize("frozen", [[0], [2], [0, 2]])
def test_frozen_layers_have_no_moments(tmp_path, suffix, optimizer, frozen):
    """The moments of the others go where they belong."""
    model = conv_and_dense(optimizer=optimizer)
    for index in frozen:
        model[index].trainable = False
    trained(model)
    loaded = saved(model, tmp_path, suffix)
    assert_same(loaded, model)
    assert_same(trained(loaded), trained(model))


def test_a_frozen_normalization_keeps_its_averages(tmp_path, suffix):
    """They are weights, and never have moments."""
    model = every_layer()
    model.compile("adam")
    model["normal"].trainable = False
    assert_same(saved(trained(model), tmp_path, suffix), model)


def test_a_model_that_is_not_compiled(tmp_path, suffix):
    """It is not compiled afterwards either."""
    model = conv_and_dense()
    loaded = saved(model, tmp_path, suffix)
    assert_same(loaded, model)
    with pytest.raises(ValueError, match="compile"):
        loaded.fit(*data(model.input_shape))


def test_a_compiled_model_that_was_not_trained(tmp_path, suffix):
    """Its moments have not begun, and begin the same way."""
    model = conv_and_dense(optimizer="adam")
    loaded = saved(model, tmp_path, suffix)
    assert_same(loaded, model)
    assert_same(trained(loaded), trained(model))


def test_without_the_optimizer(tmp_path, suffix):
    """The weights and the position stay; the file is smaller."""
    model = trained(conv_and_dense(optimizer="adam"))
    model.save(tmp_path / f"whole.{suffix}")
    loaded = saved(model, tmp_path, suffix, include_optimizer=False)
    assert (tmp_path / f"m.{suffix}").stat().st_size < (tmp_path / f"whole.{suffix}").stat().st_size
    assert loaded.optimizer is None
    assert loaded.epochs_trained == 1
    np.testing.assert_array_equal(loaded.parameters, model.parameters)


def test_a_model_without_weights(tmp_path, suffix):
    """Nothing but layers is a model too."""
    model = Sequential([Flatten()], seed=4, input_shape=(3, 5, 2))
    assert_same(saved(model, tmp_path, suffix), model)


def test_nan_and_infinity_are_weights(tmp_path, suffix):
    """A run that diverged is to be looked at, so its file can be read. A warning names the weight."""
    model = conv_and_dense()
    model.parameters[:4] = np.nan, np.inf, -np.inf, -0.0
    with pytest.warns(UserWarning, match=rf"m\.{suffix}: NaN or infinite values in conv2d(_\d+)?/kernel$"):
        loaded = saved(model, tmp_path, suffix)
    assert loaded.parameters.tobytes() == model.parameters.tobytes()


def test_moments_that_are_not_finite(tmp_path, suffix):
    """Are named too, once for the file; a checkpoint is read without a word."""
    model = trained(conv_and_dense(optimizer="adam"))
    model.optimizer.slots["velocity"][-1] = np.inf
    model.save(tmp_path / f"m.{suffix}")
    message = r"NaN or infinite values in the optimizer's velocity of dense(_\d+)?/bias$"
    with pytest.warns(UserWarning, match=message) as caught:
        load_model(tmp_path / f"m.{suffix}")
    assert len(caught) == 1
    assert saving.read(tmp_path / f"m.{suffix}", judge=False).slots["velocity"][-1][-1] == np.inf


def test_weights_alone_that_are_not_finite(tmp_path, suffix):
    """`load_weights` warns too."""
    model = conv_and_dense()
    model.parameters[-1] = np.nan
    for name in (f"m.{suffix}", "m.weights.h5"):
        model.save_weights(tmp_path / name)
        with pytest.warns(UserWarning, match="NaN or infinite values in .*bias$") as caught:
            conv_and_dense().load_weights(tmp_path / name)
        assert len(caught) == 1


def test_two_saves_are_the_same_bytes(tmp_path, suffix):
    """No dates, no random numbers: a checksum of the file is one of the model."""
    model = trained(conv_and_dense(optimizer="adam"))
    model.save(tmp_path / f"a.{suffix}")
    model.save(tmp_path / f"b.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_paths_may_be_text_and_in_capitals(tmp_path, suffix):
    """M.H5 is an HDF5 file."""
    model = conv_and_dense()
    model.save(str(tmp_path / f"m.{suffix.upper()}"))
    assert_same(load_model(str(tmp_path / f"m.{suffix.upper()}")), model)


def test_names_of_any_language(tmp_path, suffix):
    """Layers and the model itself."""
    model = Sequential(
        [Flatten(), Dense(3, name="Schicht ä 層")], seed=1, input_shape=(2, 3, 1), name="Netz é"
    )
    assert_same(saved(model, tmp_path, suffix), model)


def test_before_build_there_is_nothing_to_save(tmp_path, suffix):
    """And no file appears."""
    with pytest.raises(ValueError, match=r"call model\.build\(input_shape\) before save"):
        Sequential([Flatten()]).save(tmp_path / f"m.{suffix}")
    assert not list(tmp_path.iterdir())


def test_what_could_not_be_read_is_not_written(tmp_path, suffix):
    """A layer, an optimizer and a loss of the user's own."""

    class Twice(Flatten):
        pass

    class Slow(SGD):
        pass

    class Huge(MeanSquaredError):
        name = "huge"

    others = [
        Sequential([Twice()], input_shape=(2, 3, 1)),
        conv_and_dense(optimizer=Slow()),
        conv_and_dense(loss=Huge()),
    ]
    for model, name in zip(others, ["Twice", "slow", "huge"], strict=True):
        with pytest.raises(ValueError, match=rf"expected one of .*received '{name}'"):
            model.save(tmp_path / f"m.{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_save_that_fails_keeps_the_old_file(tmp_path, suffix, monkeypatch):
    """The disk is full at the third array, or while a file is written at once: the file is as it was."""
    model = conv_and_dense()
    model.save(tmp_path / f"m.{suffix}")
    before = (tmp_path / f"m.{suffix}").read_bytes()
    holder, method, last = {
        "h5": (h5py.Group, "create_dataset", 3),
        "safetensors": (Path, "write_bytes", 1),
    }.get(suffix, (zipfile.ZipFile, "open", 3))
    write, calls = getattr(holder, method), []

    def fill(*arguments, **options):
        calls.append(arguments)
        if len(calls) == last:
            raise OSError("no space left")
        return write(*arguments, **options)

    monkeypatch.setattr(holder, method, fill)
    with pytest.raises(OSError, match="no space left"):
        model.save(tmp_path / f"m.{suffix}")
    assert (tmp_path / f"m.{suffix}").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [f"m.{suffix}"]


def test_weights_of_another_dtype_are_not_written(tmp_path, suffix, monkeypatch):
    """Objects least of all: NumPy would pickle them."""
    model = conv_and_dense()
    weights = model.named_weights()
    for dtype in (object, np.float16):
        other = [*weights[:3], ("dense_1/bias", weights[3][1].astype(dtype))]
        monkeypatch.setattr(model, "named_weights", lambda other=other: other)
        with pytest.raises(ValueError, match=r"dense_1/bias: expected an array of float32, received"):
            model.save(tmp_path / f"m.{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_missing_file(tmp_path, suffix):
    """The system's own error."""
    with pytest.raises(FileNotFoundError, match=f"none.{suffix}"):
        load_model(tmp_path / f"none.{suffix}")


def test_a_folder(tmp_path, suffix):
    """Read or written."""
    (tmp_path / f"m.{suffix}").mkdir()
    with pytest.raises((IsADirectoryError, PermissionError)):
        load_model(tmp_path / f"m.{suffix}")
    with pytest.raises(IsADirectoryError):
        conv_and_dense().save(tmp_path / f"m.{suffix}")


@pytest.mark.parametrize("name", ["m", "m.keras3", "m.{}.gz"])
def test_an_unknown_suffix(tmp_path, suffix, name):
    """Both ways, with the ones that there are."""
    path = tmp_path / name.format(suffix)
    with pytest.raises(ValueError, match=r"ending in \.h5, \.hdf5, \.keras, \.npz, \.onnx, "):
        conv_and_dense().save(path)
    path.touch()
    with pytest.raises(ValueError, match=r"ending in \.h5, \.hdf5, \.keras, \.npz, \.onnx, "):
        load_model(path)


def test_reading_blames_the_file_for_what_fails_with_it(tmp_path, suffix):
    """An error of any kind while a model is made of a snapshot; but not a warning made an error."""
    path = tmp_path / f"m.{suffix}"
    conv_and_dense().save(path)

    def make(path):
        with saving.reading(path):
            raise KeyError("key")

    with pytest.raises(ValueError, match=rf"m\.{suffix}: cannot be loaded: KeyError: 'key'"):
        make(path)
    with pytest.raises(UserWarning, match="mild"), saving.reading(path):
        warnings.warn("mild", stacklevel=1)
