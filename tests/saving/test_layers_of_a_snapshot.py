"""Layers and shapes that follow from a description alone."""

import pytest

from tests.networks import every_layer
from tinycnn.saving.structure import layers

pytestmark = pytest.mark.smoke


def test_layers_have_the_shapes_of_the_model_and_no_weights():
    model = every_layer()
    described = layers(model.get_config())
    assert [(type(layer), shape) for layer, shape in described] == [
        (type(layer), layer.input_shape) for layer in model.layers
    ]
    assert not any(layer.built for layer, _ in described)


def test_a_layer_that_does_not_fit_is_named():
    config = every_layer().get_config() | {"input_shape": (2, 2, 2)}
    with pytest.raises(ValueError, match="received"):
        layers(config)
