"""The random numbers of the kernels are NumPy's, from any place in the stream on; dropout's masks follow."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.kernels.cases import COMPILED_DTYPES
from tinycnn.execution.fused import FusedConvMaxPool
from tinycnn.kernels.primitives.philox import PER_BLOCK, WORDS, fill_bits, philox, words_needed
from tinycnn.layers import Conv2D, Dropout, MaxPooling2D
from tinycnn.support.randomness import generator, philox_key

UNTOUCHED = np.uint64(0xDEADBEEFDEADBEEF)
words64 = st.integers(0, 2**64 - 1)


def numpys(key, start, count):
    """Numbers of 16 bits from NumPy, whose counter is set to the block where they begin."""
    block = start // PER_BLOCK
    raw = np.random.Generator(np.random.Philox(key=key, counter=block)).bytes(2 * (start % PER_BLOCK + count))
    return np.frombuffer(raw, "<u2")[start % PER_BLOCK :]


def ours(key, start, count):
    """The same from `fill_bits`, which must stay within the room that it asks for."""
    words = np.full(words_needed(count) + 2 * WORDS, UNTOUCHED)
    first = fill_bits(key, start, count, words)
    assert (words[words_needed(count) :] == UNTOUCHED).all()
    assert 0 <= first < PER_BLOCK
    return words.view(np.uint16)[first : first + count]


@settings(deadline=None, max_examples=150)
@given(a=words64, b=words64, start=st.integers(0, 2**40), count=st.integers(0, 100))
@example(a=0, b=0, start=0, count=1)
@example(a=2**64 - 1, b=2**64 - 1, start=15, count=2)  # the sums of the key wrap; two blocks
@example(a=1, b=2, start=15, count=18)  # three blocks for little more than one
@example(a=3, b=4, start=16, count=16)  # one block exactly
@example(a=5, b=6, start=PER_BLOCK * 2**32 - 3, count=40)  # the counter passes 32 bits
def test_the_numbers_are_those_of_numpy(a, b, start, count):
    key = np.array([a, b], np.uint64)
    np.testing.assert_array_equal(ours(key, start, count), numpys(key, start, count))


@pytest.mark.parametrize("start", range(PER_BLOCK + 1))
def test_the_room_suffices_at_every_remainder(start):
    key = philox_key(1, "room")
    for count in range(2 * PER_BLOCK + 2):
        np.testing.assert_array_equal(ours(key, start, count), numpys(key, start, count))


def test_the_words_of_a_block_are_in_numpys_order():
    key = philox_key(5, "order", 1)
    expected = np.random.Philox(key=key).random_raw(12).reshape(3, WORDS)
    np.testing.assert_array_equal([philox(key, block) for block in range(3)], expected)


def test_the_generator_of_a_name_draws_from_its_key():
    """What `Dropout` draws with and what the kernels draw with."""
    name = 7, "dropout", 3
    raw = np.frombuffer(generator(*name).bytes(202), "<u2")
    np.testing.assert_array_equal(ours(philox_key(*name), 0, 101), raw)


def fused_layers(channels, rate, size=(9, 8), filters=17, kernel=2, pool=2, dtype=np.float32, batch=2):
    """Fused layers whose ReLU is on everywhere, so that zeros are what the dropout dropped."""
    layers = Conv2D(filters, kernel, activation="relu"), MaxPooling2D(pool), Dropout(rate, seed=11)
    shape = *size, channels
    for layer in layers:
        layer.build(shape, np.random.default_rng(0), dtype)
        shape = layer.compute_output_shape(shape)
    layers[0].params["bias"] += 100
    return FusedConvMaxPool(*layers, images=batch)


@pytest.mark.parametrize("dtype", COMPILED_DTYPES)
@pytest.mark.parametrize("rate", [0.0, 2**-20, 2**-16, 0.3, 0.5, 1 - 2**-16, 1 - 2**-20])
@pytest.mark.parametrize("channels", [3, 16])  # direct, and winograd
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_fused_layers_drop_what_the_layer_would(channels, rate, dtype, batch):
    """To the bit, for every mask; a pooled image has 4 * 3 * 17 numbers, which are not whole blocks."""
    fused = fused_layers(channels, rate, dtype=dtype, batch=batch)
    x = np.random.default_rng(1).standard_normal((batch, 9, 8, channels)).astype(dtype)
    z = fused.pool.forward(fused.conv.forward(x))
    assert (z > 0).all()
    for index in (0, 1, 70000):
        fused.dropout.mask_index = index
        y = fused.forward(x, training=True)
        assert fused.dropout.mask_index == index + 1
        fused.dropout.mask_index = index
        expected = fused.dropout.forward(z, training=True)
        np.testing.assert_array_equal(y == 0, expected == 0)
        np.testing.assert_allclose(y, expected, rtol=3e-6)
    assert fused.dropout.mask_index == index + 1
    np.testing.assert_allclose(fused.forward(x), z, rtol=3e-6)  # nothing is dropped at inference
    assert fused.dropout.mask_index == index + 1


@pytest.mark.parametrize("channels", [3, 16])
def test_the_share_that_is_dropped(channels):
    """Within five standard deviations of the rate; the mean stays."""
    fused = fused_layers(channels, 0.3, size=(41, 42), filters=33, batch=20)
    y = fused.forward(np.zeros((20, 41, 42, channels), np.float32), training=True)
    assert abs((y == 0).mean() - 0.3) < 5 * np.sqrt(0.21 / y.size)
    assert y.mean() == pytest.approx(100, rel=5 * np.sqrt(0.3 / 0.7 / y.size))
