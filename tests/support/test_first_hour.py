"""What a user of another library gives at first, and what the message tells him to do instead."""

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten
from tinycnn.losses import CategoricalCrossentropy
from tinycnn.optimizers import SGD, Adam
from tinycnn.optimizers.schedules import CosineDecay
from tinycnn.regularizers import L2

pytestmark = pytest.mark.smoke
rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (7, 5, 4, 1))
Y = np.arange(7) % 3


def network(*first):
    model = Sequential([*first, Flatten(), Dense(3, activation="softmax")], seed=0, input_shape=(5, 4, 1))
    model.compile(SGD(1e-6))
    return model


@pytest.mark.parametrize(
    "x", [PIXELS.astype(np.float32), PIXELS.astype(np.float64), 1.0 * (PIXELS > 99) * 255]
)
def test_unscaled_pixels_are_warned_of(x):
    """Once for a run, with the cure; also from a generator, of which no batch is lost."""
    with pytest.warns(UserWarning, match="x: whole numbers from 0 to 2.*divide them by 255") as seen:
        network().fit(x, Y, epochs=2, verbose=0)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    batches = ((x[i : i + 1], Y[i : i + 1]) for i in range(7))
    with pytest.warns(UserWarning, match="whole numbers"):
        history = network().fit(batches, steps_per_epoch=7, verbose=0)
    assert history.epoch == [0]


@pytest.mark.parametrize(
    "x",
    [
        PIXELS / 255,
        (PIXELS > 128).astype(float),  # black and white
        PIXELS + 0.5,
        PIXELS - 128.0,
        PIXELS * 3.0,
        PIXELS % 17.0,  # counts
    ],
    ids=["scaled", "binary", "fractions", "centred", "larger", "small"],
)
def test_other_images_are_not(x):
    network().fit(x, Y, verbose=0)


def test_a_network_that_scales_them_itself_is_not_warned_of():
    network(BatchNormalization()).fit(PIXELS.astype(float), Y, verbose=0)
    model = Sequential([Dense(3, activation="softmax")], seed=0, input_shape=(4,))
    model.compile(SGD(1e-6))
    model.fit(PIXELS[:, 0, :, 0].astype(float), Y, verbose=0)  # features, which are no pixels


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, r"x: expected an array of floats in \[0, 1\], received NoneType$"),
        ("images/", r"received str$"),
        ({"a": 1}, r"received dict$"),
        (PIXELS > 9, r"received an array of bool$"),
        (PIXELS * 1j, r"received an array of complex128$"),
        (PIXELS, r"received an array of int64; for pixels from 0 to 255 use tinycnn.datasets.scale_images$"),
        ([[1.0, 2.0], [3.0]], r"x: expected images of one shape: "),
        (
            PIXELS[..., 0] / 255,
            r"received \(7, 5, 4\); add the axis of the channels by x\[..., np.newaxis\]$",
        ),
        (PIXELS[0] / 255, r"received \(5, 4, 1\); for one image use x\[np.newaxis\]$"),
        (np.moveaxis(PIXELS, -1, 1) / 255, r"received \(7, 1, 5, 4\); move .* by np.moveaxis\(x, 1, -1\)$"),
        (PIXELS[:, :4] / 255, r"x: expected shape \(None, 5, 4, 1\), received \(7, 4, 4, 1\)$"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
)
def test_images_of_another_kind(x, message):
    """The same from `predict` and `fit`."""
    model = network()
    for call in (model.predict, lambda x: model.fit(x, Y, verbose=0)):
        with pytest.raises(ValueError, match=message):
            call(x)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (PIXELS / 255, None, "y: expected labels for 7 images, received none$"),
        (PIXELS / 255, Y[:6], r"y: expected labels for 7 images, received shape \(6,\)$"),
        (PIXELS[:0] / 255, Y[:0], r"x: expected at least one image, received shape \(0, 5, 4, 1\)$"),
        (
            PIXELS / 255,
            np.eye(3)[Y],
            r"y: expected one class number .* categorical_crossentropy, or y.argmax",
        ),
        (
            PIXELS / 255,
            Y.astype(float),
            r"y: expected whole numbers .*, received float64; use y.astype\(int\)$",
        ),
        (PIXELS / 255, Y.astype(str), r"y: expected whole numbers .*, received <U"),
    ],
    ids=["none", "fewer", "empty", "one-hot", "floats", "text"],
)
def test_labels_that_do_not_fit(x, y, message):
    with pytest.raises(ValueError, match=message):
        network().fit(x, y, verbose=0)


def test_class_numbers_for_a_loss_that_takes_rows():
    for loss in ("categorical_crossentropy", "mse", "binary_crossentropy"):
        model = network()
        model.compile(SGD(), loss)
        for y in (Y, Y[:, np.newaxis]):
            with pytest.raises(
                ValueError, match=r"^y: .*class numbers; use them with sparse_categorical_cross"
            ):
                model.fit(PIXELS / 255, y, verbose=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2D(3, 3, input_shape=(8, 8, 1)), "Conv2D: .*'input_shape'; give it to Sequential"),
        (lambda: Dense(3, input_dim=4), "Dense: .*'input_dim'; give input_shape to Sequential"),
        (lambda: Conv2D(3, 3, data_format="channels_first"), r"images are \(N, H, W, C\), the channels last"),
        (lambda: Conv2D(3, 3, activaton="relu"), "'activaton'; did you mean 'activation'?"),
        (lambda: Dropout(0.3, noise=1), "Dropout: unexpected argument 'noise'; expected rate"),
        (lambda: Adam(lr=0.1), "Adam: .*'lr'; it is called learning_rate"),
        (lambda: SGD(decay=0.1), "'decay'; give a schedule of tinycnn.optimizers.schedules as learning_rate"),
        (lambda: CategoricalCrossentropy(from_logit=True), "did you mean 'from_logits'?"),
        (lambda: CosineDecay(0.1, 10, alpa=0.1), "did you mean 'alpha'?"),
        (lambda: L2(l1=0.1), "L2: unexpected argument 'l1'; expected l2"),
    ],
)
def test_arguments_that_a_constructor_does_not_have(make, message):
    """A TypeError, as Python's own; with the name that is meant."""
    with pytest.raises(TypeError, match=message):
        make()


def test_a_class_of_ones_own_may_take_any_argument():
    class Loud(Dropout):
        def __init__(self, rate, **options):
            super().__init__(rate)
            self.options = options

    assert Loud(0.5, input_shape=3).options == {"input_shape": 3}


def test_an_optimizer_may_be_a_class():
    """As a loss may: a new one, with its defaults."""
    model = network()
    model.compile(Adam)
    assert repr(model.optimizer) == "Adam()"


def test_other_arguments_of_a_run(tmp_path):
    (tmp_path / "file").write_text("")
    model, x = network(), PIXELS / 255
    with pytest.raises(
        TypeError, match=r"augment: expected a tinycnn.datasets.Augmentation .*, received True"
    ):
        model.fit(x, Y, augment=True)
    with pytest.raises(ValueError, match=r"checkpoint: expected a folder, received the file .*file"):
        model.fit(x, Y, checkpoint=tmp_path / "file", verbose=0)
    with pytest.raises(ValueError, match=r"expected no batch axis, received \(None, 8, 8, 1\)"):
        Sequential([Dense(3)], input_shape=(None, 8, 8, 1))
    with pytest.raises(ValueError, match=r"ending in .*, received .*m.pth'"):
        model.save(tmp_path / "m.pth")
