"""Base class of convolutions: the windows that they move over an image, their bias and their activation.

::

    Convolution -> Conv2D (conv.py); DepthwiseConv2D, SeparableConv2D (depthwise.py)
    (H, W, C) -> explicit padding -> (OH, OW)
"""

import numbers
from collections.abc import Sequence
from typing import Any

from tinycnn import activations, initializers, regularizers
from tinycnn.kernels import geometry
from tinycnn.layers.base import Layer, Shape
from tinycnn.layers.keras_names import WeightNamed
from tinycnn.support import checks
from tinycnn.support.checks import Pads, Pair


class Convolution(Layer):
    """Base class of convolutions of images (N, H, W, C); see `Conv2D` for the arguments."""

    bias = WeightNamed()

    def __init__(
        self,
        kernel_size: int | Pair,
        strides: int | Pair,
        padding: str | int | Pair | Pads,
        dilation_rate: int | Pair,
        activation: str | None,
        use_bias: bool,
        bias_initializer: str,
        bias_regularizer: Any,
        name: str | None,
    ) -> None:
        super().__init__(name)
        self.kernel_size = checks.pair("kernel_size", kernel_size, 1)
        self.strides = checks.pair("strides", strides, 1)
        self.padding = _check_padding(padding)
        self.dilation_rate = checks.pair("dilation_rate", dilation_rate, 1)
        self.activation = activations.check(activation)
        self.use_bias = checks.flag("use_bias", use_bias)
        self.bias_initializer = initializers.check(bias_initializer)
        self.bias_regularizer = regularizers.get("bias_regularizer", bias_regularizer)

    @property
    def _activation(self) -> activations.ActivationPair:
        return activations.get(self.activation)

    def geometry(self) -> tuple[Pair, Pads, Pair]:
        """Return strides, explicit padding and dilation, as the kernels take them."""
        return self.strides, self._pads(self.built_shape), self.dilation_rate

    def _pads(self, input_shape: Shape) -> Pads:
        return geometry.resolve_padding(
            self.padding, input_shape[:2], self.kernel_size, self.strides, self.dilation_rate
        )

    def _output_size(self, input_shape: Shape) -> Pair:
        """Return (OH, OW) for (H, W, C)."""
        checks.shape(f"{self.label}: input_shape (H, W, C)", input_shape, (None, None, None))
        pads = self._pads(input_shape)
        try:
            return geometry.window_output(
                input_shape[:2], self.kernel_size, self.strides, pads, self.dilation_rate
            )
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from None


def _check_padding(padding: str | int | Pair | Pads) -> str | Pads:
    """Return the padding of a convolution: a name, or ((top, bottom), (left, right)); raise ValueError."""
    if isinstance(padding, str):
        return checks.choice("padding", padding, ("valid", "same"))
    sides: Any = (padding, padding) if isinstance(padding, numbers.Integral) else padding
    if not isinstance(sides, Sequence) or len(sides) != 2:
        raise ValueError(
            'padding: expected "valid", "same", a number, (height, width) or ((top, bottom), (left, right)), '
            f"received {padding!r}"
        )
    return checks.pair("padding", sides[0], 0), checks.pair("padding", sides[1], 0)
