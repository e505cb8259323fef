"""Weights between tinycnn and PyTorch: depthwise and separable convolutions, and layers without weights."""

import pytest

from tests.peers.test_saving_torch import IMAGE, assert_same_predictions, conv, network, tensors
from tests.peers.torch_networks import torch_network
from tinycnn.layers import (
    Dense,
    DepthwiseConv2D,
    Flatten,
    GaussianNoise,
    GlobalMaxPooling2D,
    InputLayer,
    ReLU,
    Reshape,
    SeparableConv2D,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)
from tinycnn.saving import from_torch_state_dict, to_torch_state_dict

NETWORKS = {
    "depthwise and separable": lambda: [
        DepthwiseConv2D((3, 2), padding="same", depth_multiplier=2, activation="relu"),
        DepthwiseConv2D(3, strides=2, padding=((1, 0), (2, 1)), use_bias=False),
        SeparableConv2D(5, (2, 3), dilation_rate=(1, 2), depth_multiplier=3, activation="tanh"),
        SeparableConv2D(4, 2, padding=((0, 1), (1, 0)), use_bias=False),
        Flatten(),
        Dense(7),
    ],
    "layers without weights": lambda: [
        InputLayer(IMAGE),
        ZeroPadding2D(((1, 0), (2, 1))),
        conv(4, 3),
        ReLU(),
        UpSampling2D((2, 3)),
        GaussianNoise(0.2),
        Reshape((6, 144, 4)),
        Reshape((3456,)),
        Softmax(),
        Dense(12, activation="relu"),
        Reshape((3, 4, 1)),
        conv(5, 2),
        Flatten(),
        Dense(3),
    ],
    "a global maximum": lambda: [conv(5, 3), GlobalMaxPooling2D(), Dense(4)],
}


@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS)
def test_both_ways(torch, layers):
    """To PyTorch, and back into a model with other weights."""
    model = network(*layers())
    theirs = torch_network(torch, model)
    theirs.load_state_dict(tensors(torch, model), strict=True)
    assert_same_predictions(torch, theirs, model)
    other = network(*layers())
    other.parameters[...] = 0
    from_torch_state_dict(other, theirs.state_dict())
    assert_same_predictions(torch, theirs, other)


def test_a_reshape_that_mixes_channels_is_refused():
    """The values would be others in PyTorch; a dense layer before it cannot make up for that."""
    for layers in (
        [conv(4, 3), Reshape((9, 11, 4)), Reshape((18, 22))],
        [Flatten(), Reshape((11, 13, 3)), Reshape((39, 11))],
    ):
        model = network(*layers, image=IMAGE)
        with pytest.raises(ValueError, match=r"reshape_\d: expected a Reshape that keeps the channels"):
            to_torch_state_dict(model)
    with pytest.raises(ValueError, match=r"reshape_1: .* from \(12,\) to \(2, 3, 2\)"):
        to_torch_state_dict(network(Flatten(), Dense(12), Reshape((2, 3, 2))))
