"""Files as Keras 1 and 2 wrote them, on TensorFlow and Theano, made by hand with known values."""

import json
import warnings

import h5py
import numpy as np
import pytest

from tests.saving.saved_models import golden_copy
from tinycnn import Sequential, load_model, saving
from tinycnn.layers import BatchNormalization, Conv2D, Dense, Flatten

pytestmark = pytest.mark.smoke

BACKENDS = ["tensorflow", "cntk", "jax"]


def write(folder, layers, weights, *, optimizer=None, moments=(), version="2.1.6", backend="tensorflow"):
    """Write a file of a Sequential model.

    `layers` are (class_name, config), `weights` (layer, [(name, array)]), `moments` (name, array).
    """
    path = folder / "old.h5"
    entries = [{"class_name": kind, "config": config} for kind, config in layers]
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": entries}).encode()
        group = file.create_group("model_weights")
        for holder in (file, group):
            for name, value in (("keras_version", version), ("backend", backend)):
                if value is not None:
                    holder.attrs[name] = value.encode()
        group.attrs["layer_names"] = [name.encode() for name, _ in weights]
        for name, arrays in weights:
            _arrays(group.create_group(name), arrays)
        if optimizer is not None:
            training = {
                "optimizer_config": optimizer,
                "loss": "mse",
                "metrics": [],
                "sample_weight_mode": None,
            }
            file.attrs["training_config"] = json.dumps({**training, "loss_weights": None}).encode()
            _arrays(file.create_group("optimizer_weights"), moments)
    return path


def _arrays(group, arrays):
    group.attrs["weight_names"] = [name.encode() for name, _ in arrays]
    for name, array in arrays:
        group[name] = array


def old(kind, **config):
    return {"class_name": kind, "config": {"lr": 0.5, "decay": 0.0, **config}}


ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}
SHAPES = [(3, 2), (2, 4)]
DENSE = [
    ("Dense", {"name": "m", "output_dim": 2, "bias": False, "batch_input_shape": [None, 3]}),
    ("Dense", {"name": "v", "output_dim": 4, "bias": False}),
]


def two_dense(folder, optimizer, moments, **options):
    """Two dense layers without bias, whose names are those of Adam's moments."""
    weights = [("m", [("m_W:0", np.ones(SHAPES[0], "f4"))]), ("v", [("v_W:0", np.ones(SHAPES[1], "f4"))])]
    return write(folder, DENSE, weights, optimizer=optimizer, moments=moments, **options)


def kinds(*values, shapes=SHAPES):
    """Arrays of one value for each kind of moment, one kind after the other."""
    return [np.full(shape, value, "f4") for value in values for shape in shapes]


def nameless(arrays, count=7, opening="training/Adam/Variable"):
    """With names of no meaning, as Keras had them to 2.2."""
    named = [(f"{opening}{f'_{i}' * (i > 0)}:0", array) for i, array in enumerate(arrays)]
    return named if count is None else [("Adam/iterations:0", np.int64(count)), *named]


def assert_moments(model, iterations, **values):
    """The optimizer has exactly these moments, each of one value."""
    assert model.optimizer.iterations == iterations
    assert model.optimizer.slots.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(model.optimizer.slots[name], np.float32(value))


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adadelta", "Adam"])
def test_the_rate_was_lr(tmp_path, name):
    """A thousand times the default."""
    model = load_model(two_dense(tmp_path, old(name), []))
    assert model.optimizer.learning_rate == 0.5
    assert type(model.optimizer).__name__ == name


@pytest.mark.parametrize("opening", ["training/Adam/Variable", "training/a/variable", "Variable", "param"])
@pytest.mark.parametrize("version", ["1.2.2", "2.0.8", "2.1.6-tf", "2.2.4", "2.10.0", None])
def test_moments_without_names(tmp_path, version, opening):
    """One kind after the other, whatever the names of the layers."""
    moments = nameless(kinds(0.25, 4.0, 9.0), opening=opening)
    model = load_model(two_dense(tmp_path, old("Adam", amsgrad=True, **ADAM), moments, version=version))
    assert_moments(model, 7, momentum=0.25, velocity=4, velocity_hat=9)


def test_moments_without_names_of_tensorflow_1(tmp_path):
    """A tf-keras of today in the mode of version 1."""
    moments = nameless(kinds(0.25, 4.0), opening="training/Variable")
    model = load_model(two_dense(tmp_path, old("Adam", **ADAM), moments, version="2.21.0"))
    assert_moments(model, 7, momentum=0.25, velocity=4)


@pytest.mark.parametrize("version", ["2.11.0", "2.15.0", "3.1.0", "x"])
def test_moments_without_names_of_a_later_keras(tmp_path, version):
    """It writes names, and moments in another order: this is not its file."""
    moments = nameless(kinds(0.25, 4.0), opening="param")
    path = two_dense(tmp_path, old("Adam", **ADAM), moments, version=version)
    with pytest.warns(UserWarning, match="moments do not fit the weights: they start afresh"):
        assert_moments(load_model(path), 0)


def test_adam_without_amsgrad_has_arrays_for_it(tmp_path):
    """Of one zero each, from Keras 2.1.3 to 2.3."""
    moments = nameless([*kinds(0.25, 4.0), np.zeros(1), np.zeros(1)])
    model = load_model(two_dense(tmp_path, old("Adam", amsgrad=False, **ADAM), moments))
    assert_moments(model, 7, momentum=0.25, velocity=4)


@pytest.mark.parametrize(
    ("optimizer", "values"),
    [
        (old("RMSprop", rho=0.9, epsilon=None), {"velocity": 4}),
        (old("Adadelta", rho=0.95, epsilon=1e-8), {"accumulated_grad": 4, "accumulated_delta": 9}),
    ],
)
def test_moments_without_a_count_of_steps(tmp_path, optimizer, values):
    """RMSprop and Adadelta did not save it; the moments are worth having."""
    path = two_dense(tmp_path, optimizer, nameless(kinds(*values.values()), None))
    with pytest.warns(UserWarning, match="count of steps is not in the file: it starts at 0"):
        assert_moments(load_model(path), 0, **values)


@pytest.mark.parametrize("version", ["2.1.6", "3.0.0"])
def test_one_kind_of_moments_has_one_order(tmp_path, version):
    """So its names do not matter."""
    moments = nameless(kinds(0.25), 3, "param")
    model = load_model(two_dense(tmp_path, old("SGD", momentum=0.9), moments, version=version))
    assert_moments(model, 3, momentum=0.25)


STYLES = {
    "3": "adam/{layer}_kernel_{long}",
    "2.11": "Adam/{short}/{layer}/kernel:0",
    "2.10": "Adam/{layer}/kernel/{short}:0",
    "2.3": "training/Adam/{short}_{number}:0",
}


@pytest.mark.parametrize("alternating", [False, True])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("version", ["2.3.1", "2.15.0", "3.1.0", None])
def test_names_of_moments_decide(tmp_path, style, alternating, version):
    """In the style of any version, in any order, though the layers are called as the moments are."""
    pairs = [(kind, i) for i in range(2) for kind in (0, 1)]
    moments = [("iteration", np.int64(7))]
    for kind, i in pairs if alternating else sorted(pairs):
        words = {"short": "mv"[kind], "long": ("momentum", "velocity")[kind], "layer": "mv"[i], "number": i}
        moments.append((STYLES[style].format(**words), np.full(SHAPES[i], (0.25, 4.0)[kind], "f4")))
    model = load_model(two_dense(tmp_path, old("Adam", **ADAM), moments, version=version))
    assert_moments(model, 7, momentum=0.25, velocity=4)


@pytest.mark.parametrize(
    "moments",
    [
        nameless(kinds(0.25)),
        nameless(kinds(0.25, 4.0)[:-1]),
        nameless(kinds(0.25, 4.0, shapes=SHAPES[::-1])),
        nameless([*kinds(0.25, 4.0), np.zeros(1)]),
        nameless([]),
        [*nameless(kinds(0.25)), ("Adam/m/v:0", np.ones(SHAPES[0])), ("Adam/v/v:0", np.ones(SHAPES[1]))],
        [("iterations:0", np.int64(7)), *((f"Adam/m_{i}:0", a) for i, a in enumerate(kinds(0.25, 4.0)))],
        [("a", np.float32(7)), ("b", np.float32(0.5)), ("c", np.float32(0)), *nameless(kinds(0.25, 4), None)],
    ],
)
def test_moments_that_are_not_clear(tmp_path, moments):
    """Training starts with fresh ones, and a warning says so."""
    with pytest.warns(UserWarning, match="start afresh"):
        assert_moments(load_model(two_dense(tmp_path, old("Adam", **ADAM), moments)), 0)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u1"])
def test_the_count_of_steps_of_any_type(tmp_path, dtype):
    """Keras 1 counted in floats."""
    moments = [("iterations", np.array(9, dtype)), *nameless(kinds(0.25), None)]
    assert_moments(load_model(two_dense(tmp_path, old("SGD", momentum=0.5), moments)), 9, momentum=0.25)


def test_the_rate_beside_the_count_of_steps(tmp_path):
    """Keras 3 reads it there, last."""
    path = golden_copy(tmp_path, 3)
    with h5py.File(path, "r+") as file:
        file["optimizer_weights/adam/learning_rate"][()] = 0.25
    assert load_model(path).optimizer.learning_rate == 0.25


CONV = {"nb_filter": 3, "nb_row": 3, "nb_col": 2, "border_mode": "valid", "dim_ordering": "tf"}
LAYERS = [
    ("Convolution2D", {"name": "convolution2d_1", **CONV, "batch_input_shape": [None, 5, 6, 2]}),
    ("BatchNormalization", {"name": "batchnormalization_1", "mode": 0, "axis": -1, "epsilon": 0.5}),
    ("Flatten", {"name": "flatten_1"}),
    ("Dense", {"name": "dense_1", "output_dim": 4}),
]


def images():
    rng = np.random.default_rng(4)
    kernel, dense = rng.normal(size=(3, 2, 2, 3)), rng.normal(size=(45, 4))
    averages = [rng.random(3) + 1 for _ in range(4)]
    arrays = [kernel, rng.normal(size=3), *averages, dense, rng.normal(size=4)]
    return [array.astype("f4") for array in arrays], rng.random((2, 5, 6, 2)).astype("f4")


def with_images(folder, arrays, optimizer=None, **options):
    """Convolution, normalisation and a dense layer, with the names of Keras 1."""
    names = [f"batchnormalization_1_{name}" for name in ("gamma", "beta", "running_mean", "running_std")]
    weights = [
        ("convolution2d_1", [("convolution2d_1_W", arrays[0]), ("convolution2d_1_b", arrays[1])]),
        ("batchnormalization_1", list(zip(names, arrays[2:6], strict=True))),
        ("flatten_1", []),
        ("dense_1", [("dense_1_W", arrays[6]), ("dense_1_b", arrays[7])]),
    ]
    trainable = [array for i, array in enumerate(arrays) if i not in (4, 5)]
    moments = nameless([np.square(array) for array in trainable], 6)
    return write(folder, LAYERS, weights, optimizer=optimizer, moments=moments, **options)


def expected(arrays):
    """The same network, made here."""
    layers = [Conv2D(3, (3, 2)), BatchNormalization(epsilon=0.5), Flatten(), Dense(4)]
    model = Sequential(layers, input_shape=(5, 6, 2))
    model.set_weights(arrays)
    return model


@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_of_cross_correlations(tmp_path, backend):
    """As they are."""
    arrays, x = images()
    model = load_model(with_images(tmp_path, arrays, backend=backend))
    np.testing.assert_array_equal(model.predict(x), expected(arrays).predict(x))


def test_kernels_of_theano(tmp_path):
    """Its convolution is one: sum of x[i - a, j - b] w[a, b], so the kernel is read upside down."""
    arrays, x = images()
    model = load_model(with_images(tmp_path, arrays, old("SGD", momentum=0.5), backend="theano"))
    w = arrays[0]
    conv = np.zeros((2, 3, 5, 3), "f4")
    for i, j, a, b in np.ndindex(3, 5, 3, 2):
        conv[:, i, j] += x[:, i + 2 - a, j + 1 - b] @ w[a, b]
    np.testing.assert_allclose(model[0].forward(x), conv + arrays[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model[0].params["kernel"], w[::-1, ::-1])
    np.testing.assert_array_equal(model["dense_1"].params["kernel"], arrays[6])
    momentum = model.optimizer.slots["momentum"]
    np.testing.assert_array_equal(momentum[: w.size], np.square(w[::-1, ::-1]).ravel())
    assert model.optimizer.iterations == 6


@pytest.mark.parametrize(
    ("window", "strides", "differs"),
    [([3, 3], [1, 1], False), ([3, 2], [1, 1], True), ([3, 3], [2, 1], True)],
)
@pytest.mark.parametrize("backend", ["theano", "tensorflow"])
def test_padding_of_theano(tmp_path, backend, window, strides, differs):
    """Half a window on each side: the same for odd windows that move pixel by pixel."""
    conv = {"nb_filter": 3, "nb_row": window[0], "nb_col": window[1], "border_mode": "same"}
    conv |= {"subsample": strides, "name": "c", "batch_input_shape": [None, 6, 6, 2], "bias": False}
    kernel = np.ones((*window, 2, 3), "f4")
    path = write(tmp_path, [("Convolution2D", conv)], [("c", [("c_W", kernel)])], backend=backend)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_model(path)
    messages = [str(warning.message) for warning in caught]
    assert [message.startswith("c: Theano pads 'same'") for message in messages] == (
        [True] if differs and backend == "theano" else []
    )


def test_names_of_weights_do_not_matter(tmp_path):
    """Averages are told from parameters by their place; they have no moments."""
    arrays, _ = images()
    path = with_images(tmp_path, arrays, old("SGD", momentum=0.5))
    names = [name.split("/")[1] for name, _ in saving.read(path).weights]
    kinds = ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "kernel", "bias"]
    assert names == kinds
    momentum = load_model(path).optimizer.slots["momentum"]
    trainable = [array for i, array in enumerate(arrays) if i not in (4, 5)]
    np.testing.assert_array_equal(momentum, np.square(np.concatenate([a.ravel() for a in trainable])))


@pytest.mark.parametrize(("backend", "message"), [(None, "no backend"), ("plaidml", "the backend 'plaidml'")])
def test_backends_that_are_unknown(tmp_path, backend, message):
    """Keras reads them as TensorFlow's. It may be wrong, so a warning says it."""
    arrays, x = images()
    path = with_images(tmp_path, arrays, backend=backend, version=None)
    with pytest.warns(UserWarning, match=f"the file names {message}: its convolution kernels are read as"):
        model = load_model(path)
    np.testing.assert_array_equal(model.predict(x), expected(arrays).predict(x))


@pytest.mark.parametrize("backend", [None, "plaidml", "theano"])
def test_a_backend_matters_to_convolutions_only(tmp_path, backend):
    """A dense layer has one orientation."""
    path = two_dense(tmp_path, None, [], backend=backend)
    assert load_model(path).count_params() == 6 + 8


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            [("m", [("a", np.ones((3, 2)))])],
            r"weights: expected those of \['m', 'v'\], received those of \['m'\]",
        ),
        (
            [("m", [("a", np.ones((3, 2))), ("b", np.ones(2))]), ("v", [("c", np.ones((2, 4)))])],
            "layer 'm': expected kernel, received 2 arrays",
        ),
    ],
)
def test_weights_that_are_not_those_of_the_layers(tmp_path, weights, message):
    """Counted layer by layer."""
    with pytest.raises(ValueError, match=message):
        load_model(write(tmp_path, DENSE, weights))


def test_weights_are_found_by_order(tmp_path):
    """Groups may have other names than the layers, as in Keras."""
    weights = [("x", [("W", np.full(SHAPES[0], 2.0))]), ("y", [("W", np.full(SHAPES[1], 3.0))])]
    model = load_model(write(tmp_path, DENSE, weights, optimizer=old("SGD"), moments=[]))
    assert (model["m"].params["kernel"] == 2).all()
    assert (model["v"].params["kernel"] == 3).all()
