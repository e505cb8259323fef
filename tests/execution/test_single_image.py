"""Programs for a single image compute what their layers compute one by one, and only where they may."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

from tests.kernels.cases import numba_threads
from tests.networks import every_instruction, normal_images, with_random_weights
from tinycnn import Sequential, kernels, mnist_cnn
from tinycnn.execution.single_image import Program
from tinycnn.kernels.fused import single_image
from tinycnn.kernels.pool import im2col
from tinycnn.kernels.selection import IMAGES_ONE_BY_ONE
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
)

# float64 has kernels of its own.
DTYPES = ["float32", pytest.param("float64", marks=pytest.mark.slow)]


def assert_close(result, expected):
    """Compare up to rounding, where NumPy had a part in one of them."""
    bound = 20 * np.finfo(expected.dtype).eps * np.abs(expected).max(initial=0)
    np.testing.assert_allclose(result, expected, rtol=0, atol=bound)


def one_by_one(model, x):
    for layer in model.layers:
        x = layer.forward(x)
    return x


def parts(model):
    """What runs for one image: numbers of layers, those of a program in a list."""
    number = model.layers.index
    return [
        [number(layer) for layer in part.layers] if isinstance(part, Program) else number(part)
        for part in model.plan(1, training=False).runnables
    ]


@pytest.fixture
def runs(monkeypatch):
    """A list that grows with each compiled call, by the number of its instructions."""
    calls = []
    run = single_image.interpret
    monkeypatch.setattr(single_image, "interpret", lambda *args: calls.append(len(args[0])) or run(*args))
    return calls


@pytest.mark.parametrize("dtype", DTYPES)
def test_mnist_cnn_is_one_program(dtype, runs):
    """Six instructions, both pools done with the sums; the same bits down to the large dense layer."""
    config = mnist_cnn(seed=0).get_config() | {"dtype": dtype}
    for layers, same in (
        (config["layers"], assert_close),
        (config["layers"][:-1], np.testing.assert_array_equal),
    ):
        model = Sequential.from_config(config | {"layers": layers})
        model.compile(loss="mse")
        model.parameters[...] = np.random.default_rng(5).normal(0, 0.03, model.parameters.size)
        x = normal_images(model)
        same(model.predict(x), one_by_one(model, x))
    assert runs == [6, 5]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_kind_of_instruction(dtype, runs):
    model = every_instruction(dtype)
    x = normal_images(model)
    y = model.predict(x)
    assert len(runs) == 1
    assert y.dtype == model.dtype
    assert_close(y, one_by_one(model, x))


CASES = {
    "direct: strides": ([Conv2D(17, 3, strides=(2, 3))], (11, 13, 5)),
    "direct: dilation": ([Conv2D(33, (2, 3), dilation_rate=(3, 2), padding="same")], (11, 13, 3)),
    "direct: one output": ([Conv2D(1, (7, 5), activation="relu")], (7, 5, 17)),
    "direct, then a pool": ([Conv2D(18, 5), MaxPooling2D(3, strides=2, padding="same")], (13, 11, 2)),
    "winograd 3": ([Conv2D(33, 3, activation="relu")], (15, 11, 17)),
    "winograd 3, whole vectors": ([Conv2D(64, 3, padding="same")], (9, 12, 16)),
    "winograd 2": ([Conv2D(70, 2, use_bias=False)], (13, 10, 33)),
    "winograd, an image that is its own padded form": ([Conv2D(64, 3)], (18, 18, 32)),
    "winograd, a pool that leaves pixels": ([Conv2D(33, 3), MaxPooling2D(3)], (16, 13, 17)),
    "winograd, a pool with gaps": ([Conv2D(33, 3), MaxPooling2D(2, strides=3)], (16, 13, 17)),
    "winograd, a pool that overlaps": ([Conv2D(33, 3), MaxPooling2D(3, strides=1)], (16, 13, 17)),
    "winograd, two pools": ([Conv2D(33, 3), MaxPooling2D(1, strides=2), MaxPooling2D(2)], (16, 13, 17)),
    "winograd, dropout, a pool": ([Conv2D(33, 3), Dropout(0.5), MaxPooling2D(2)], (16, 13, 17)),
    "winograd, a padded pool": ([Conv2D(33, 3), MaxPooling2D(2, padding="same")], (15, 12, 17)),
    "a pool padded at the top only": ([MaxPooling2D((4, 1), strides=(3, 2), padding="same")], (11, 13, 5)),
    "a pool first": ([MaxPooling2D((2, 3), strides=(3, 1))], (11, 13, 5)),
    "dense alone": ([Flatten(), Dense(3)], (5, 4, 2)),
    "dense, fewer inputs than partial sums": ([Flatten(), Dense(21, use_bias=False)], (1, 3, 1)),
    "dense, many": ([Flatten(), Dense(131, activation="relu"), Dense(1)], (31, 7, 3)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_sizes_that_fill_nothing(name, dtype, runs):
    """To the bit, except for small dense layers, which NumPy multiplies outside of programs."""
    layers, input_shape = copy.deepcopy(CASES[name])
    model = with_random_weights(layers, input_shape, dtype)
    same = assert_close if "dense" in name else np.testing.assert_array_equal
    for seed in range(2):
        x = normal_images(model, seed=seed)
        same(model.predict(x), one_by_one(model, x))
    assert len(runs) == 2


def test_nan_and_infinity_go_through():
    model = every_instruction()
    for value in (np.nan, np.inf):
        x = normal_images(model)
        x[0, 3, 4, 1] = value
        with np.errstate(invalid="ignore"):
            expected = one_by_one(model, x)
        assert not np.isfinite(expected).all()
        np.testing.assert_array_equal(model.predict(x), expected)


def test_a_softmax_never_returns_zero():
    """See `activations.softmax`."""
    model = with_random_weights([Flatten(), Dense(4, activation="softmax")], (3, 2, 2), "float32")
    model["dense_1"].params["bias"][...] = [0, 1e4, -1e4, 3]
    y = model.predict(normal_images(model))
    assert y[0, 1] == 1
    assert (y[0, [0, 2, 3]] == np.finfo(np.float32).tiny).all()


class Doubled(Conv2D):
    def forward(self, x, training=False):
        return 2 * super().forward(x, training)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([Conv2D(3, 2, activation="tanh"), Conv2D(3, 2)], [0, [1]]),
        ([Conv2D(3, 2), BatchNormalization()], [[0], 1]),
        ([Conv2D(3, 2), AveragePooling2D()], [[0], 1]),
        ([Conv2D(3, 2), GlobalAveragePooling2D()], [[0], 1]),
        ([Conv2D(3, 2), Activation("relu")], [[0], 1]),
        ([Conv2D(3, 2, algorithm="direct"), Conv2D(3, 2)], [0, [1]]),
        ([Conv2D(3, 2, activation="softmax")], [0]),
        ([Doubled(3, 2), Conv2D(3, 2)], [0, [1]]),
        ([Conv2D(3, 2), Dropout(0.1), Conv2D(3, 2)], [[0, 1, 2]]),
        ([Dropout(0.1), Flatten()], [0, 1]),
        (
            [Conv2D(3, 2), Activation("tanh"), Flatten(), Dense(3), Dense(2, activation="sigmoid")],
            [[0], 1, [2, 3], 4],
        ),
    ],
    ids=repr,
)
def test_what_is_joined(layers, expected):
    """And what is not, runs by itself between the programs."""
    model = with_random_weights(layers, (7, 6, 2))
    assert parts(model) == expected
    x = normal_images(model)
    assert_close(model.predict(x), one_by_one(model, x))


def test_an_image_too_large_for_each_thread_runs_alone():
    """Winograd's kernel for single images leaves it to the one that shares out tiles of batches."""
    model = with_random_weights([Conv2D(32, 3), Conv2D(8, 5)], (120, 120, 32), "float32")
    assert (
        kernels.choose("conv2d", "auto", (3, 3, 32, 32), pixels=118 * 118, images=1).algorithm == "winograd"
    )
    assert parts(model) == [0, [1]]
    x = normal_images(model)
    np.testing.assert_array_equal(model.predict(x), one_by_one(model, x))


def test_a_few_images_run_one_by_one_and_more_do_not(runs):
    model = every_instruction()
    for count in (0, 1, 2, IMAGES_ONE_BY_ONE, IMAGES_ONE_BY_ONE + 1):
        x = normal_images(model, count)
        runs.clear()
        y = model.predict(x)
        assert len(runs) == (count if count <= IMAGES_ONE_BY_ONE else 0)
        assert y.shape == (count, 5)
        assert_close(y, one_by_one(model, x))
        for i in range(len(runs)):
            np.testing.assert_array_equal(y[i], model.predict(x[i : i + 1])[0])


def test_training_and_what_is_not_compiled_run_layer_by_layer(runs):
    model = every_instruction()
    x = normal_images(model, 2)
    model.forward(x, training=True)
    model.train_on_batch(x, np.zeros((2, 5)))
    model.compile("sgd", "mse", fuse=False)
    model.predict(x)
    fresh = Sequential([Flatten(), Dense(3)], seed=0, input_shape=(3, 2, 1))
    fresh.predict(normal_images(fresh))
    assert runs == []


def test_an_algorithm_that_is_asked_for_is_obeyed(runs, monkeypatch):
    model = every_instruction()
    x = normal_images(model)
    expected = model.predict(x)
    runs.clear()
    with kernels.use_algorithm("naive"):
        assert_close(model.predict(x), expected)
    monkeypatch.setenv("TINYCNN_ALGORITHM", "im2col")
    model.predict(x)
    assert runs == []
    monkeypatch.delenv("TINYCNN_ALGORITHM")
    model["conv2d_2"].algorithm = "direct"
    assert_close(model.predict(x), expected)
    assert runs == [1, 5]  # before and after it
    model["conv2d_2"].algorithm = "auto"
    np.testing.assert_array_equal(model.predict(x), expected)
    assert runs == [1, 5, 6]  # one program again


def test_the_algorithm_of_a_pool_is_obeyed_too(monkeypatch):
    """Though it has no parameters that could change."""
    model = every_instruction()
    x = normal_images(model)
    expected, called = model.predict(x), []
    assert parts(model) == [list(range(9))]
    maxpool2d = im2col.maxpool2d
    monkeypatch.setattr(im2col, "maxpool2d", lambda *args: called.append(1) or maxpool2d(*args))
    model["max_pooling2d_1"].algorithm = "im2col"
    assert parts(model) == [[0, 1], 2, [3, 4, 5, 6, 7, 8]]
    assert_close(model.predict(x), expected)
    assert called == [1]


def test_weights_may_change(runs):
    """In place, by training, or by an assignment, which copies into the array that the program reads."""
    model = every_instruction()
    x = normal_images(model)
    seen = [model.predict(x)]
    model["dense_1"].params["kernel"][3] += 1
    seen.append(model.predict(x))
    model.train_on_batch(normal_images(model, 3), np.ones((3, 5)))
    seen.append(model.predict(x))
    model.set_weights([weight + 0.01 for weight in model.get_weights()])
    seen.append(model.predict(x))
    assert len(runs) == 4
    assert_close(seen[-1], one_by_one(model, x))
    kernel = model["conv2d_2"].params["kernel"].copy()
    model["conv2d_2"].params["kernel"] = kernel + 1
    seen.append(model.predict(x))
    assert_close(seen[-1], one_by_one(model, x))
    assert len(runs) == 5
    assert len({y.tobytes() for y in seen}) == len(seen)
    model["conv2d_2"].params["kernel"] = kernel
    np.testing.assert_array_equal(model.predict(x), seen[-2])


def test_copies_have_programs_of_their_own():
    model = every_instruction()
    x = normal_images(model)
    expected = model.predict(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(x), expected)
        other.parameters += 1
        assert_close(other.predict(x), one_by_one(other, x))
        np.testing.assert_array_equal(model.predict(x), expected)


@pytest.mark.parametrize("layout", ["transposed", "every other", "read-only"])
def test_any_layout_of_images(layout):
    model = every_instruction()
    x = normal_images(model)
    view = {
        "transposed": np.asfortranarray(x),
        "every other": np.repeat(x, 2, axis=2)[:, :, ::2],
        "read-only": x.copy(),
    }[layout]
    view.flags.writeable = layout != "read-only"
    before = view.copy()
    np.testing.assert_array_equal(model.predict(view), model.predict(x))
    np.testing.assert_array_equal(view, before)


def test_wrong_images_are_refused_in_the_words_of_the_layer():
    model = every_instruction()
    for x in (normal_images(model)[:, 1:], normal_images(model).astype(np.float64)):
        with pytest.raises(ValueError, match=r"^conv2d_1: x: expected") as refused:
            model.forward(x)
        with pytest.raises(ValueError, match=r"^conv2d_1: x: expected") as layers:
            one_by_one(model, x)
        assert str(refused.value) == str(layers.value)
    for x in (normal_images(model).tolist(), normal_images(model)[0, 0, 0, 0], np.float32(3)):
        with pytest.raises(ValueError, match=r"^conv2d_1: x: expected"):
            model.forward(x)


def test_results_are_new():
    model = every_instruction()
    x = normal_images(model)
    first = model.predict(x)
    kept = first.copy()
    second = model.predict(-x)
    assert first.flags.writeable
    assert (first != second).any()
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("make", [every_instruction, lambda: mnist_cnn(seed=1)], ids=["small", "mnist_cnn"])
def test_the_number_of_threads_changes_no_bit(make):
    model = make()
    model.compile(loss="mse")
    x, threads = normal_images(model), numba.get_num_threads()
    usual = model.predict(x)
    for count in {1, min(2, threads), threads}:
        with numba_threads(count):
            np.testing.assert_array_equal(model.predict(x), usual)


def test_threads_of_python_do_not_share_memory():
    """Sixteen predictions at once, of images that differ."""
    model = every_instruction()
    x = normal_images(model, 16)
    expected = [model.predict(x[i : i + 1]) for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            found = list(pool.map(lambda i: model.predict(x[i : i + 1]), range(16)))
            np.testing.assert_array_equal(found, expected)
