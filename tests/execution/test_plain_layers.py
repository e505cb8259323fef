"""A network of the layers without weights: fused, layer by layer, and one image at a time."""

import numpy as np
import pytest

from tests.networks import CROSSENTROPY, normal_images, plain_layers
from tinycnn import Sequential
from tinycnn.execution.fused import FusedConvReLU, FusedDense
from tinycnn.execution.single_image import Program
from tinycnn.layers import Conv2D, Dense, GaussianNoise, Reshape

DTYPES = ["float32", pytest.param("float64", marks=pytest.mark.slow)]
LABELS = np.random.default_rng(1).integers(0, 5, 23)


def compiled(fuse=True, dtype="float32"):
    model = plain_layers(dtype)
    model.compile("adam", CROSSENTROPY, ["accuracy"], fuse=fuse)
    return model


def layer_by_layer(model, x):
    for layer in model.layers:
        x = layer.forward(x)
    return x


def assert_close(result, expected):
    bound = 50 * np.finfo(expected.dtype).eps * np.abs(expected).max()
    np.testing.assert_allclose(result, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fused_and_layer_by_layer(dtype):
    """The same outputs and gradients, with the same noise."""
    fused, plain = compiled(True, dtype), compiled(False, dtype)
    x = normal_images(fused, 23)
    assert {type(r) for r in fused.plan(23).runnables} > {FusedConvReLU, FusedDense, GaussianNoise}
    for model in (fused, plain):
        model.steps_trained = 4
        model.compute_gradients(x, LABELS)
        assert [x.mask_index for x in model if isinstance(x, GaussianNoise)] == [5, 5]
    assert_close(fused.gradients, plain.gradients)
    assert_close(fused.predict(x), layer_by_layer(plain, x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_single_images(dtype):
    """Programs end at the layers that they have no instruction for; noise and Reshape need none."""
    model = compiled(dtype=dtype)
    names = [[x.name for x in p.layers] for p in model.plan(1, False).runnables if isinstance(p, Program)]
    assert ["gaussian_noise_2", "conv2d_3"] in names
    x = normal_images(model, 3)
    assert_close(model.predict(x), layer_by_layer(model, x))
    assert_close(model.predict(x[1:2]), layer_by_layer(model, x[1:2]))
    assert model.predict(x[:0]).shape == (0, 5)


def test_a_reshape_inside_of_a_program():
    layers = [Reshape((5, 4, 3)), Conv2D(4, 2), GaussianNoise(0.2), Reshape((-1,)), Dense(7), Reshape((7, 1))]
    model = Sequential(layers, seed=0, input_shape=(60,))
    model.compile("sgd", "mse")
    (program,) = model.plan(1, False).runnables
    assert isinstance(program, Program)
    x = normal_images(model)
    assert model.predict(x).shape == (1, 7, 1)
    assert_close(model.predict(x), layer_by_layer(model, x))
