"""What a convolution is said to cost, and the float64 results that everybody is checked against."""

import numpy as np
import pytest
from cases import DEPTHWISE, NETWORK, PASSES, Conv, Depthwise, reference
from checking import adversarial, relative_error
from contestants import Problem, sparse

from tinycnn import kernels
from tinycnn.kernels.conv import naive

FUNCTIONS = [function for _, function in PASSES.values()]
ODD = Conv((3, 2), 2, 5, (2, 3), (2, 1), ((1, 0), (0, 2)), (1, 2), spare=(1, 0))


def test_the_layers_are_those_of_the_network():
    """Sizes as in the table of README.md of the library: inputs, multiply-adds."""
    assert {name: conv.size for name, conv in NETWORK.items()} == {
        "conv1": (28, 28),
        "conv2": (26, 26),
        "conv3": (12, 12),
        "conv4": (11, 11),
    }
    macs = {name: conv.flops(1) // 2 for name, conv in NETWORK.items()}
    assert macs == {"conv1": 194_688, "conv2": 10_616_832, "conv3": 3_964_928, "conv4": 13_107_200}


def test_flops_count_the_multiplications_of_the_definition():
    """One by one."""
    count = 0
    for _ in np.ndindex(3, *ODD.out, ODD.filters, *ODD.kernel, ODD.channels):
        count += 2
    assert ODD.flops(3) == count


def test_traffic_counts_every_operand_and_the_result_once():
    """In bytes of float32; the bias is an operand of the forward pass alone."""
    arrays = ODD.arrays(3)
    x, w, b, dy = (arrays[name].nbytes for name in ("x", "w", "b", "dy"))
    assert ODD.traffic("conv2d", 3) == x + w + b + dy
    assert ODD.traffic("conv2d_grad_input", 3) == ODD.traffic("conv2d_grad_filter", 3) == x + w + dy


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("conv", [ODD, Conv((2, 4), 3, 1, (3, 2))], ids=["odd", "plain"])
def test_the_reference_agrees_with_the_definition(conv, function):
    """Strides, dilation, uneven padding and pixels that no window reaches."""
    arrays = {name: array.astype(np.float64) for name, array in conv.arrays(2).items()}
    defined = getattr(naive, function)(**conv.arguments(function, arrays))
    np.testing.assert_allclose(reference(conv, function, arrays), defined, rtol=1e-12, atol=1e-12)


ODD_DEPTHWISE = Depthwise((3, 2), 5, 2, (2, 3), (2, 1), ((1, 0), (0, 2)), (1, 2), spare=(1, 0))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("conv", [ODD_DEPTHWISE, Depthwise((2, 4), 3, 1, (3, 2))], ids=["odd", "plain"])
def test_the_reference_of_a_depthwise_convolution_agrees_with_its_definition(conv, function):
    arrays = {name: array.astype(np.float64) for name, array in conv.arrays(2).items()}
    operation = getattr(kernels, conv.operation(function))
    defined = operation(**conv.arguments(function, arrays), algorithm="naive")
    np.testing.assert_allclose(reference(conv, function, arrays), defined, rtol=1e-12, atol=1e-12)


def test_costs_of_a_depthwise_convolution():
    """Multiplications one by one, bytes by the arrays; the sizes of MobileNet's layers."""
    conv = ODD_DEPTHWISE
    assert conv.flops(3) == 2 * len(list(np.ndindex(3, *conv.out, 5 * 2, *conv.kernel)))
    x, w, b, dy = (array.nbytes for array in conv.arrays(3).values())
    assert conv.traffic("conv2d", 3) == x + w + b + dy
    sizes = [(one.size, one.out) for one in DEPTHWISE.values()]
    assert sizes == [((32, 32),) * 2, ((32, 32), (16, 16)), ((16, 16),) * 2, ((8, 8),) * 2]


def test_filters_in_the_order_of_others():
    """(F, C / groups, KH, KW), and back."""
    for conv in (ODD, ODD_DEPTHWISE):
        w = conv.arrays(1)["w"]
        first = conv.filters_first(w)
        assert first.shape == (conv.outputs, conv.channels // conv.groups, *conv.kernel)
        np.testing.assert_array_equal(conv.filters_last(first), w)
    assert first[2 * 3 + 1, 0, 1, 2] == w[1, 2, 3, 1]  # filter 1 of channel 3


def test_adversarial_shapes_are_those_promised():
    """Channels, outputs, batches, and each kind of geometry alone and together."""
    shapes = list(adversarial())
    assert {conv.channels for _, conv in shapes} == {1, 3, 17, 33}
    assert {conv.filters for _, conv in shapes} == {1, 3, 17, 33}
    assert {1, 7, 11} <= {conv.out[0] for _, conv in shapes}
    assert {batch for batch, _ in shapes} == {1, 2, 5}
    usual = Conv((1, 1), 1, 1, (1, 1))
    unusual = {
        frozenset(
            key for key in ("strides", "padding", "dilation") if getattr(conv, key) != getattr(usual, key)
        )
        for _, conv in shapes
    }
    kinds = [(), ("strides",), ("padding",), ("dilation",), ("strides", "padding", "dilation")]
    assert unusual == {frozenset(kind) for kind in kinds}


@pytest.mark.slow
@pytest.mark.parametrize("word", ["input", "filter"])
def test_the_sparse_gradients_are_those_of_a_mostly_empty_dense_one(word):
    """The expectation is of the dense gradient, of which one in seven is not zero."""
    conv = Conv((8, 6), 16, 16, (3, 3), pooled=True)
    problem = Problem("a", conv, word, 4, conv.arrays(4))
    entry = sparse(problem)
    assert relative_error(entry.answer(entry.call()), entry.expected) < 5e-6
    assert entry.traffic < conv.traffic(problem.function, 4)
    assert relative_error(problem.expected, entry.expected) > 0.1
