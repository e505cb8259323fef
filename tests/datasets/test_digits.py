"""One's own digits: photos that the tests render, prepared as MNIST's, and what is refused."""

import io
import pickle
import sys
import warnings

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import tinycnn
from tinycnn.datasets import (
    digit_steps,
    load_mnist,
    prepare_digit,
    prepare_digits,
    scale_images,
    unlike_mnist,
)
from tinycnn.datasets.components import boxes, label
from tinycnn.datasets.likeness import _differences

PAPER, INK = (0.9, 0.9, 0.88), (0.15, 0.15, 0.18)
H, W = 180, 240


@pytest.fixture(scope="module")
def mnist():
    return load_mnist()[1]


@pytest.fixture(scope="module")
def model():
    return tinycnn.load_pretrained("mnist_cnn")


def enlarged(image, size):
    """Return a digit of MNIST without its margins, its longer side of `size` pixels, as a mask in [0, 1]."""
    image = image[np.ix_(image.any(axis=1), image.any(axis=0))]
    scale = size / max(image.shape)
    shape = [max(1, round(scale * n)) for n in image.shape[::-1]]
    return np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.BICUBIC)) / 255


def printed(text, size):
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(image).text((-left, -top), text, 255, font=font)
    return np.asarray(image) / 255


def placed(mask, height=H, width=W, y=0.5, x=0.5):
    """Return a mask in a larger one; y and x say where, from 0 to 1."""
    whole = np.zeros((height, width))
    top, left = round(y * (height - mask.shape[0])), round(x * (width - mask.shape[1]))
    whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return whole


def painted(mask, paper=PAPER, ink=INK):
    """Return an RGB image (H, W, 3) of ink on paper."""
    return mask[..., np.newaxis] * np.array(ink) + (1 - mask[..., np.newaxis]) * np.array(paper)


def lit(photo, light):
    """Return a photo under uneven light, given as a function of y and x in [0, 1]."""
    y, x = np.linspace(0, 1, photo.shape[0])[:, None], np.linspace(0, 1, photo.shape[1])[None]
    return photo * light(y, x)[..., np.newaxis]


def noisy(photo, sigma=0.02):
    return photo + np.random.default_rng(0).normal(0, sigma, photo.shape)


def pixels(photo):
    return np.rint(255 * np.clip(photo, 0, 1)).astype(np.uint8)


def jpeg(photo, quality):
    file = io.BytesIO()
    Image.fromarray(pixels(photo)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)) / 255


def lined(photo, rows, columns=(), colour=(0.6, 0.7, 0.9)):
    photo[rows] = np.minimum(photo[rows], colour)
    if len(columns):
        photo[:, columns] = np.minimum(photo[:, columns], colour)
    return photo


def framed(photo):
    photo[8:-8, 8:-8][:2] = photo[8:-8, 8:-8][-2:] = INK
    photo[8:-8, 8:-8][:, :2] = photo[8:-8, 8:-8][:, -2:] = INK
    return photo


def on_a_table(photo):
    table = np.full((H + 60, W + 90, 3), (0.35, 0.22, 0.15))
    table[30:-30, 45:-45] = photo
    return table


def with_specks(photo):
    rng = np.random.default_rng(0)
    for y, x in zip(rng.integers(0, H, 15), rng.integers(0, W, 15), strict=True):
        photo[y : y + 2, x : x + 3] = INK
    return photo


#: By condition, a function from a mask of any size, made by a function of its size, to a photo.
PHOTOS = {
    "dark on light": lambda m: painted(placed(m(100))),
    "light on dark": lambda m: painted(placed(m(100)), INK, PAPER),
    "colours equally bright": lambda m: painted(placed(m(100)), (0.75, 0.35, 0.3), (0.2, 0.6, 0.3)),
    "gradient": lambda m: noisy(lit(painted(placed(m(100))), lambda y, x: 0.25 + 0.75 * (x + y) / 2)),
    "vignette": lambda m: noisy(
        lit(painted(placed(m(100))), lambda y, x: 1 - 1.2 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))
    ),
    "shadow": lambda m: noisy(lit(painted(placed(m(100))), lambda y, x: 1 - 0.5 * (x - 0.3 * y < 0.4))),
    "noise": lambda m: noisy(painted(placed(m(100))), 0.2),
    "jpeg": lambda m: jpeg(noisy(painted(placed(m(100))), 0.05), 12),
    "16 pixels": lambda m: painted(placed(m(16), 24, 29)),
    "1,000 pixels": lambda m: painted(placed(m(700), 1000, 900)),
    "wide": lambda m: painted(placed(m(100), 130, 1000, x=0.8)),
    "tall": lambda m: painted(placed(m(100), 1000, 130, y=0.2)),
    "corner": lambda m: noisy(painted(placed(m(50), y=0, x=1))),
    "ruled": lambda m: noisy(lined(painted(placed(m(100))), range(10, H, 20))),
    "squared": lambda m: noisy(lined(painted(placed(m(100))), range(10, H, 13), range(5, W, 13))),
    "frame": lambda m: framed(painted(placed(m(90)))),
    "table": lambda m: noisy(on_a_table(painted(placed(m(90))))),
    "specks": lambda m: with_specks(painted(placed(m(100)))),
    "faint": lambda m: noisy(painted(placed(m(100)), PAPER, (0.7, 0.7, 0.7))),
    "tight": lambda m: painted(m(150)),
}


#: The others take more time, and are slow tests.
QUICK = ("shadow", "squared")


@pytest.mark.slow
@pytest.mark.parametrize(
    "condition",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in PHOTOS],
)
def test_photos_of_handwritten_digits(condition, mnist, model):
    """Two digits of each class that the network gets right as they are: it does so on photos of them."""
    x, y = mnist
    chosen = [i for digit in range(10) for i in np.flatnonzero(y == digit)[20:22]]
    images = np.stack(
        [prepare_digit(pixels(PHOTOS[condition](lambda size, i=i: enlarged(x[i], size)))) for i in chosen]
    )
    assert (model.predict(images).argmax(axis=1) == y[chosen]).sum() >= 19


def test_printed_digits(model):
    """Print differs from handwriting: its one has a flag, and may be taken for a seven."""
    images = np.stack([prepare_digit(painted(placed(printed(str(i), 90)))) for i in range(10)])
    assert (model.predict(images).argmax(axis=1) == np.arange(10)).sum() >= 9


def test_mnist_comes_back_unchanged(mnist):
    """As uint8 and as floats; without its margins it is nearly the same."""
    x, _ = mnist
    for image in x[:20]:
        np.testing.assert_array_equal(prepare_digit(image)[..., 0] * np.float32(255), image)
        np.testing.assert_array_equal(prepare_digit(image / 255), prepare_digit(image))
        cut = prepare_digit(np.pad(image, 5))[..., 0]
        assert np.abs(cut - image / 255).mean() < 0.12


def test_the_result_is_made_as_mnists():
    """float32 in [0, 1], a longer side of 20 pixels, the centre of mass in the middle."""
    image = prepare_digit(pixels(painted(placed(printed("7", 120), y=0.1, x=0.9))))
    assert (image.dtype, image.shape, image.min(), image.max()) == (np.float32, (28, 28, 1), 0, 1)
    rows, columns = (np.flatnonzero(image[..., 0].any(axis=axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    assert unlike_mnist(image) == []


def test_thin_strokes_stay_visible():
    """One pixel in a picture of 1,500."""
    paper = np.full((1500, 1200), 230, np.uint8)
    paper[200:1300, 600] = 30
    image = prepare_digit(paper)[..., 0]
    assert image.max() == 1
    assert 1.5 <= image[14].sum() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LA"])
def test_modes_of_pillow(mode, mnist):
    """The same digit from each."""
    grey = Image.fromarray(pixels(painted(placed(enlarged(mnist[0][0], 100))))).convert("L")
    expected = prepare_digit(grey)
    if mode == "I;16":
        image = Image.fromarray((np.asarray(grey).astype(np.uint16)) * 257)
    else:
        image = grey.convert(mode, dither=Image.Dither.NONE)
    assert np.abs(prepare_digit(image) - expected).mean() < 0.05


@pytest.mark.parametrize("colour", [0, 255])
def test_what_is_transparent_is_background(colour, mnist):
    """Also where digit and background would have the same colour."""
    mask = placed(enlarged(mnist[0][0], 100))
    layers = np.full((H, W, 4), colour, np.uint8)
    layers[..., 3] = pixels(mask)
    expected = prepare_digit(mask)
    assert np.abs(prepare_digit(Image.fromarray(layers)) - expected).mean() < 0.02
    assert np.abs(prepare_digit(layers) - expected).mean() < 0.02


def test_a_photo_is_turned_upright(tmp_path, mnist):
    photo = Image.fromarray(pixels(painted(placed(enlarged(mnist[0][0], 100)))))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated clockwise
    photo.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(prepare_digit(tmp_path / "turned.png"), prepare_digit(photo))


def row(texts, size=80, gap=25):
    """Return a mask of printed digits side by side."""
    masks = [np.pad(printed(text, size), ((20, 20), (gap, gap))) for text in texts]
    height = max(mask.shape[0] for mask in masks)
    return np.hstack([np.pad(mask, ((0, height - mask.shape[0]), (0, 0))) for mask in masks])


def test_digits_in_a_row(model):
    """Each as if it were alone, from left to right; and refused where one is expected."""
    photo = pixels(painted(row("30482")))
    found = prepare_digits(photo)
    assert found.shape == (5, 28, 28, 1)
    assert model.predict(found).argmax(axis=1).tolist() == [3, 0, 4, 8, 2]
    with pytest.raises(ValueError, match=r"expected one digit, found 5 side by side; use .*prepare_digits"):
        prepare_digit(photo)
    assert prepare_digits(pixels(painted(row("6")))).shape == (1, 28, 28, 1)


def test_digits_that_touch_or_are_in_two_rows_are_refused():
    touching = row("308", gap=0)
    touching[50:56] = np.maximum.accumulate(touching[50:56], axis=1)
    with pytest.raises(ValueError, match="expected a gap beside each digit"):
        prepare_digits(pixels(painted(np.pad(touching, 30))))
    mask = row("23")
    with pytest.raises(ValueError, match="expected one row of digits"):
        prepare_digits(pixels(painted(np.vstack([mask, mask]))))


def test_a_broken_stroke_is_one_digit():
    """A five whose bar is apart, and a seven that is cut in two."""
    five, seven = placed(printed("5", 120)), placed(printed("7", 120))
    rows = np.flatnonzero(five.any(axis=1))
    five[rows[0] + 14 : rows[0] + 20] = 0
    seven[88:92] = 0
    assert prepare_digits(five).shape == prepare_digits(seven).shape == (1, 28, 28, 1)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.full((50, 60), 0.7), ValueError, "expected a digit, found nothing that stands out"),
        (np.zeros((28, 28), np.uint8), ValueError, "expected a digit, found nothing"),
        (np.random.default_rng(0).random((90, 70)), ValueError, "expected"),
        (np.full((50, 60), np.nan), ValueError, "received NaN or infinity"),
        (np.full((50, 60), 200.0), ValueError, "divide pixels from 0 to 255 by 255"),
        (np.zeros((50, 60), np.int64), ValueError, r"received int64; .* image.astype\(np.uint8\)"),
        (np.zeros((0, 60)), ValueError, "expected at least 8 x 8 pixels, received 60 x 0"),
        (np.zeros((5, 28, 28, 1)), ValueError, r"received shape \(5, 28, 28, 1\)"),
        (np.broadcast_to(np.uint8(0), (9000, 9000)), ValueError, "expected at most 64,000,000 pixels"),
        (
            [[0, 1]],
            TypeError,
            "expected a path, a PIL.Image.Image or a NumPy array of one image, received list",
        ),
        (None, TypeError, "received NoneType"),
    ],
)
def test_what_is_refused(image, error, message):
    with pytest.raises(error, match=message):
        prepare_digit(image)


def test_files_that_are_refused(tmp_path, monkeypatch):
    """No file, no image, half an image, a folder, too many pixels."""
    with pytest.raises(FileNotFoundError):
        prepare_digit(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("a digit")
    with pytest.raises(ValueError, match=r"text\.png: expected an image that Pillow can read"):
        prepare_digit(str(tmp_path / "text.png"))
    Image.fromarray(pixels(noisy(np.full((90, 90, 3), 0.5)))).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"half\.png: the image is damaged or incomplete"):
        prepare_digit(tmp_path / "half.png")
    with pytest.raises(ValueError, match="expected an image file, received a folder"):
        prepare_digit(tmp_path)
    for most in (70_000_000, 50_000_000, 10_000_000):  # Pillow says nothing, warns, raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        Image.new("1", (9000, 7500)).save(tmp_path / "large.png")
        with pytest.raises(ValueError, match="expected at most 64,000,000 pixels"):
            prepare_digit(tmp_path / "large.png")


def test_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "tinycnn\[image\]"'):
        prepare_digit("a.png")


def test_steps(mnist):
    """In order, in [0, 1], the last one the result."""
    photo = pixels(painted(placed(enlarged(mnist[0][0], 100))))
    steps = digit_steps(photo)
    assert list(steps) == ["photo", "grey", "background", "ink", "cut out", "20 x 20", "28 x 28"]
    np.testing.assert_array_equal(steps["28 x 28"], prepare_digit(photo)[..., 0])
    assert steps["photo"].shape == (H, W, 3)
    assert max(steps["20 x 20"].shape) == 20
    for picture in steps.values():
        assert (picture.dtype, picture.min() >= 0, picture.max() <= 1) == (np.float32, True, True)
    assert np.abs(steps["ink"] - placed(enlarged(mnist[0][0], 100))).mean() < 0.02


def test_components():
    """Two that touch at a corner are one; a spiral is one; numbers go row by row."""
    mask = np.array([[0, 1, 0, 0, 1], [1, 0, 0, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 0, 0]], bool)
    labels = label(mask)
    np.testing.assert_array_equal(labels, [[0, 1, 0, 0, 2], [1, 0, 0, 0, 2], [0] * 5, [3, 3, 3, 0, 0]])
    assert boxes(labels) == [(0, 2, 0, 2, 2), (0, 2, 4, 5, 2), (3, 4, 0, 3, 3)]
    spiral = np.ones((9, 9), bool)
    spiral[1, :8] = spiral[1:8, 7] = spiral[7, 1:8] = spiral[3:8, 1] = spiral[3, 1:6] = False
    assert label(spiral).max() == 1
    assert label(np.zeros((3, 4), bool)).max() == 0


def shifted(x, by):
    return np.pad(x, ((0, 0), (by, 0), (0, 0), (0, 0)))[:, : x.shape[1]]


CHANGES = {
    "light background": lambda x: 1 - x,
    "centre of mass": lambda x: shifted(x, 6),
    "more than 1 pixel from": lambda x: shifted(x, 2),
    "grey background": lambda x: 0.3 + 0.7 * x,
    "more than half of the pixels": lambda x: np.maximum(x, 0.1),
    "not in": lambda x: 255 * x,
    "NaN": lambda x: x * np.nan,
    "no pixel above": lambda x: x / 2,
    "another size": lambda x: np.pad(x[:, ::2, ::2], ((0, 0), (7, 7), (7, 7), (0, 0))),
    "one value": lambda x: 0 * x,
}


@pytest.mark.parametrize("difference", CHANGES)
def test_images_unlike_mnist_are_found(difference, mnist):
    """Every single one of 2,000."""
    x = CHANGES[difference](scale_images(mnist[0][:2000]))
    assert any(text.startswith("2000 of 2000") and difference in text for text in unlike_mnist(x))
    assert np.logical_or.reduce(list(_differences(x.reshape(len(x), -1)).values())).all()


@pytest.mark.slow
def test_no_image_of_mnist_raises_a_false_alarm():
    for images, _ in load_mnist():
        assert unlike_mnist(scale_images(images)) == []


def test_shapes_for_unlike_mnist(mnist):
    x = 1 - scale_images(mnist[0][:3])
    assert unlike_mnist(x[0]) == unlike_mnist(x[0, ..., 0]) == unlike_mnist(x[:1])
    assert unlike_mnist(x[:0]) == []
    x[1:] = 1 - x[1:]
    assert unlike_mnist(x)[0].startswith("1 of 3 images have a light background")
    for wrong in (x[..., :14, :], np.zeros((2, 28, 28, 1), np.uint8), x[None]):
        with pytest.raises(ValueError, match="images: expected floats of shape"):
            unlike_mnist(wrong)


def test_the_network_warns_of_images_unlike_mnist(tmp_path, mnist):
    """Once for each call, at the caller's line; copies and pickles do too, a file does not."""
    x, y = scale_images(mnist[0][:3]), mnist[1][:3]
    model = tinycnn.load_pretrained("mnist_cnn")
    model.compile()
    for network in (model, pickle.loads(pickle.dumps(model))):
        for call in (lambda m: m.predict(1 - x, batch_size=1), lambda m: m.evaluate(1 - x, y)):
            with pytest.warns(UserWarning, match=r"3 of 3 images .* light .*prepare_digit") as caught:
                call(network)
            assert len(caught) == 1
            assert caught[0].filename == __file__
        network.predict(x)
        network.evaluate(x, y)
    model.save(tmp_path / "m.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tinycnn.load_model(tmp_path / "m.npz").predict(1 - x)
        model.input_check = None
        model.predict(1 - x)
    assert tinycnn.mnist_cnn().input_check is None
