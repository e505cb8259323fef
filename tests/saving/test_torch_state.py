"""State dicts of PyTorch as arrays of NumPy. tests/peers/test_saving_torch.py compares predictions."""

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.layers import LAYERS, BatchNormalization, Conv2D, Dense, Dropout, Flatten, Layer
from tinycnn.saving import from_torch_state_dict, keras_weights, to_torch_state_dict, torch_modules

pytestmark = pytest.mark.smoke


def network(seed=1, units=5):
    """Sizes that all differ; every weight has random values."""
    layers = [
        Conv2D(3, 2, activation="relu"),
        Conv2D(4, (1, 3), padding=((0, 0), (0, 1)), use_bias=False),
        BatchNormalization(scale=False),
        Flatten(),
        Dropout(0.5),
        BatchNormalization(),
        Dense(7, activation="tanh"),
        Dense(units),
    ]
    model = Sequential(layers, seed=seed, input_shape=(4, 6, 2))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.random(array.shape) + 0.1 for array in model.weights])
    return model


def same_weights(received, expected):
    for (name, a), b in zip(received.named_weights(), expected.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_layouts_and_numbers():
    """By the definitions, element by element: F before C, C before H and W, outputs before inputs."""
    model = network()
    state = to_torch_state_dict(model)
    assert {name: array.shape for name, array in state.items()} == {
        "0.weight": (3, 2, 2, 2),
        "0.bias": (3,),
        "3.weight": (4, 3, 1, 3),  # 1 is the ReLU, 2 a ZeroPad2d
        "4.weight": (4,),
        "4.bias": (4,),
        "4.running_mean": (4,),
        "4.running_var": (4,),
        "7.weight": (48,),  # 5 is the Flatten, 6 the Dropout
        "7.bias": (48,),
        "7.running_mean": (48,),
        "7.running_var": (48,),
        "8.weight": (7, 48),
        "8.bias": (7,),
        "10.weight": (5, 7),
        "10.bias": (5,),
    }
    assert state["0.weight"][2, 1, 0, 1] == model[0].kernel[0, 1, 1, 2]
    assert (state["4.weight"] == 1).all()
    h, w, c = 2, 1, 3  # of an image (3, 4, 4)
    ours, theirs = (h * 4 + w) * 4 + c, (c * 3 + h) * 4 + w
    np.testing.assert_array_equal(state["8.weight"][:, theirs], model[6].kernel[ours])
    assert state["7.running_var"][theirs] == model[5].state["moving_variance"][ours]
    np.testing.assert_array_equal(state["10.weight"], model[7].kernel.T)


def test_names_of_the_layers():
    state = to_torch_state_dict(network(), names="layers")
    assert list(state)[:4] == [
        "conv2d_1.weight",
        "conv2d_1.bias",
        "conv2d_2.weight",
        "batch_normalization_1.weight",
    ]
    with pytest.raises(ValueError, match="names: expected one of 'layers', 'numbers', received 'keras'"):
        to_torch_state_dict(network(), names="keras")


@pytest.mark.parametrize(
    ("prefix", "holder"),
    [
        ("", None),
        ("model.", "state_dict"),
        ("module.", "model_state_dict"),
        ("_orig_mod.module.", "model"),
        ("", "net"),
    ],
)
def test_there_and_back(prefix, holder):
    """Whatever the keys begin with, with counters, and in a checkpoint."""
    model, other = network(seed=1), network(seed=2)
    state = {prefix + name: array for name, array in to_torch_state_dict(model).items()}
    state[f"{prefix}4.num_batches_tracked"] = state["n_averaged"] = np.array(9)
    from_torch_state_dict(other, state if holder is None else {"epoch": 3, holder: state, "optimizer": {}})
    same_weights(other, model)


def test_arrays_are_copies():
    model = network()
    state, before = to_torch_state_dict(model), model.get_weights()
    for array in state.values():
        array[...] = 0
    assert all(np.array_equal(a, b) for a, b in zip(model.weights, before, strict=True))


class FakeTensor:
    """What is used of a tensor on a graphics card, of bfloat16."""

    class dtype:
        def __str__(self):
            return "torch.bfloat16"

    dtype = dtype()

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return FakeFloat(self.array)


class FakeFloat(FakeTensor):
    def numpy(self):
        return self.array


def test_tensors_of_bfloat16():
    model, other = network(seed=1), network(seed=2)
    from_torch_state_dict(other, {name: FakeTensor(a) for name, a in to_torch_state_dict(model).items()})
    same_weights(other, model)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_precisions(dtype):
    model, other = network(seed=1), network(seed=2)
    state = {name: array.astype(dtype) for name, array in to_torch_state_dict(model).items()}
    from_torch_state_dict(other, state)
    for a, b in zip(other.weights, model.weights, strict=True):
        np.testing.assert_array_equal(a, b.astype(dtype))
        assert a.dtype == np.float32


def test_numbers_that_are_too_large_become_infinite():
    model = network()
    state = {name: array.astype(np.float64) for name, array in to_torch_state_dict(model).items()}
    state["10.bias"][2] = 1e300
    from_torch_state_dict(model, state)
    assert model[7].bias[2] == np.inf


CHANGES = {
    "one module too few": (
        lambda s: s.pop("10.weight") is s.pop("10.bias"),
        r"module dense_2 weight .* received no more",
    ),
    "one module too many": (
        lambda s: s.update({"11.weight": np.ones(3)}),
        r"expected no more modules, received 11 weight \(3,\)",
    ),
    "a tensor of the outermost module": (
        lambda s: s.update({"mean": np.ones(3)}),
        r"expected no more modules, received the outermost module mean \(3,\); .*, 10, the outermost module",
    ),
    "another checkpoint": (
        lambda s: s.update({"weights": dict(s)}),
        r"received dict for 'weights'; of a checkpoint, state_dict, .* checkpoint\['weights'\], to tinycnn",
    ),
    "a bias too many": (
        lambda s: s.update({"3.bias": np.ones(4)}),
        r"module conv2d_2 .* received 3 weight .* bias",
    ),
    "a bias too few": (
        lambda s: s.pop("8.bias"),
        r"module dense_1 .*bias \(7,\), received 8 weight \(7, 48\);",
    ),
    "no averages": (lambda s: s.pop("7.running_var"), r"module batch_normalization_2 .* received 7 weight"),
    "Keras' layout": (
        lambda s: s.update({"10.weight": np.ones((7, 5))}),
        r"dense_2 weight \(5, 7\).* \(7, 5\)",
    ),
    "a scale, where there is none": (
        lambda s: s.update({"4.weight": np.full(4, 2.0)}),
        r"4\.weight: expected 1 everyw",
    ),
    "integers": (
        lambda s: s.update({"10.bias": np.arange(5)}),
        r"10\.bias: expected an array of .*received int64",
    ),
    "an object": (lambda s: s.update({"10.bias": "x"}), r"tensors by name, received str for '10\.bias'"),
    "a list": (lambda s: s.update({"10.bias": [1.0] * 5}), r"tensors by name, received list for '10\.bias'"),
    "a number for a name": (lambda s: s.update({5: np.ones(5)}), r"tensors by name, received ndarray for 5"),
}


@pytest.mark.parametrize(("change", "match"), CHANGES.values(), ids=CHANGES)
def test_what_does_not_fit(change, match):
    """The first difference, and both lists; nothing changes."""
    model, state = network(seed=1), to_torch_state_dict(network(seed=2))
    change(state)
    before = model.get_weights()
    with pytest.raises(ValueError, match=match):
        from_torch_state_dict(model, state)
    assert all(np.array_equal(a, b) for a, b in zip(model.weights, before, strict=True))


def test_modules_in_another_order():
    """The order is that of the computation; both are listed."""
    model, state = network(), to_torch_state_dict(network())
    moved = {name: state[name] for name in sorted(state)}  # "10.weight" before "3.weight"
    with pytest.raises(
        ValueError, match=r"expected in all conv2d_1 .*; conv2d_2 .*received the modules 0, 10, 3, 4"
    ):
        from_torch_state_dict(model, moved)


def test_a_constant_scale_may_be_missing():
    """`affine=False` is what a layer without gamma and beta is; one with gamma needs it."""
    model, other = (
        Sequential([BatchNormalization(scale=False, center=False)], input_shape=(3,)) for _ in "ab"
    )
    model.set_weights([np.float32([1, 2, 3]), np.float32([4, 5, 6])])
    assert list(to_torch_state_dict(model)) == ["0.running_mean", "0.running_var"]
    from_torch_state_dict(other, to_torch_state_dict(model) | {"0.weight": np.ones(3), "0.bias": np.zeros(3)})
    same_weights(other, model)
    with pytest.raises(ValueError, match=r"0\.bias: expected 0 everywhere"):
        from_torch_state_dict(other, to_torch_state_dict(model) | {"0.bias": np.full(3, np.nan, np.float32)})


def test_a_model_that_is_not_built():
    for call in (to_torch_state_dict, lambda model: from_torch_state_dict(model, {})):
        with pytest.raises(ValueError, match=r"call model\.build\(input_shape\) first"):
            call(Sequential([Dense(3)]))


def test_something_that_is_no_dictionary():
    with pytest.raises(TypeError, match="state_dict: expected a dictionary of tensors, received list"):
        from_torch_state_dict(network(), [1])


def test_every_layer_with_weights_has_tensors():
    """A new layer with weights needs an entry, here and among Keras' weights."""
    assert set(keras_weights.WEIGHTS) <= set(torch_modules.TENSORS)
    assert set(torch_modules.TENSORS) >= {
        name for name, cls in LAYERS.items() if cls.param_shapes is not Layer.param_shapes
    }


def test_a_layer_without_an_entry(monkeypatch):
    model = network()
    monkeypatch.delitem(torch_modules.TENSORS, "Dense")
    with pytest.raises(ValueError, match=r"dense_1: expected one of BatchNormalization, .*received Dense"):
        to_torch_state_dict(model)
