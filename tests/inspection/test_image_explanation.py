"""What a notebook shows of one image: the arrays of the trace, and pictures in their colours."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tinycnn import Sequential
from tinycnn.inspection.saliency import occlusion, saliency
from tinycnn.inspection.trace import trace
from tinycnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tinycnn.support import html

pytestmark = pytest.mark.smoke
rng = np.random.default_rng(0)
IMAGE = rng.random((9, 7, 1)).astype(np.float32)


@pytest.fixture
def model():
    layers = [Conv2D(3, 2, activation="relu"), MaxPooling2D(2), Flatten(), Dense(4, activation="softmax")]
    return Sequential(layers, seed=1, input_shape=(9, 7, 1))


def pictures(text):
    """Return the pictures in a piece of HTML, as arrays."""
    found = re.findall(r"base64,([A-Za-z0-9+/=]+)", text)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in found]


@pytest.mark.parametrize("label", [None, 2])
def test_arrays(model, label):
    found = model.explain_image(IMAGE[np.newaxis], label)
    chosen = int(model(IMAGE[np.newaxis])[0].argmax()) if label is None else label
    assert found.label == chosen
    expected = trace(model, IMAGE, chosen)
    assert found.trace.loss == expected.loss
    np.testing.assert_array_equal(found.trace.output, expected.output)
    np.testing.assert_array_equal(found.saliency, saliency(model, IMAGE, chosen))
    np.testing.assert_allclose(found.occlusion, occlusion(model, IMAGE, chosen), atol=1e-6)
    best = int(expected.output.argmax())
    assert repr(found).startswith(f"<{model.name} of an image: {best}: {expected.output[best]:.1%}, ")


def test_html(model):
    """The image in grey, the map of occlusion in two colours, and the maps of each layer."""
    found = model.explain_image(IMAGE, 1)
    text = found._repr_html_()
    image, _, covered, first, pooled = pictures(text)
    np.testing.assert_array_equal(image, np.repeat(np.rint(IMAGE * 255), 3, axis=-1))
    most = np.abs(found.occlusion).max()
    red = found.occlusion > 0.5 * most
    assert (covered[red][:, 0] > covered[red][:, 2]).all()
    blue = found.occlusion < -0.5 * most
    assert (covered[blue][:, 2] > covered[blue][:, 0]).all()
    assert first.shape == (9, 3 * 7, 3)  # 8 x 6, and a line after each map
    assert pooled.shape == (5, 3 * 4, 3)
    y = found.trace.of("conv2d_1")[-1].y
    np.testing.assert_array_equal(first[:8, 7:13], html.colours(y / y.max())[:, :, 1])
    assert "conv2d_1: 8 x 6 x 3, from 0 to" in text


def test_wrong_images(model):
    for wrong, message in (
        (IMAGE[:5], "expected"),
        (np.stack([IMAGE, IMAGE]), "expected"),
    ):
        with pytest.raises(ValueError, match=message):
            model.explain_image(wrong)
    with pytest.raises(ValueError, match="label: expected a class below 4, received 4"):
        model.explain_image(IMAGE, 4)
    flat = Sequential([Conv2D(2, 3)], seed=0, input_shape=(9, 7, 1))
    with pytest.raises(ValueError, match="expected a flat output"):
        flat.explain_image(IMAGE)


def test_a_name_is_no_markup(model):
    model.name = "<b>"
    layers = [Conv2D(3, 2, name="<i>"), Flatten(), Dense(4)]
    text = Sequential(layers, seed=0, input_shape=(9, 7, 1)).explain_image(IMAGE)._repr_html_()
    assert "<i>" not in text
    assert "&lt;i&gt;" in text


def test_colours_of_numbers():
    found = html.colours(np.array([0, 1, -1, np.nan, np.inf, -0.5]))
    assert found.tolist()[:5] == [
        [255, 255, 255],
        [178, 24, 43],
        [33, 102, 172],
        [128, 128, 128],
        [128, 128, 128],
    ]
    assert found.tolist()[5] == [144, 178, 214]


def test_a_single_probability_is_that_of_class_1():
    """What it loses, class 0 gains; a single output that is no probability stays one."""
    image = rng.random((9, 7, 1))
    for activation, classes in (("sigmoid", 2), (None, 1)):
        layers = [Conv2D(3, 2, activation="relu"), Flatten(), Dense(1, activation=activation)]
        model = Sequential(layers, seed=1, input_shape=(9, 7, 1), dtype="float64")
        output = float(model(image[np.newaxis])[0, 0])
        found = model.explain_image(image)
        assert found.outputs.tolist() == pytest.approx([1 - output, output][-classes:])
        assert found.label == int(output > 0.5 and classes == 2)
        lost = occlusion(model, image, 0)
        for label in (0, 1):
            sign = -1 if classes == 2 and label == 0 else 1
            np.testing.assert_allclose(model.explain_image(image, label).occlusion, sign * lost, atol=1e-12)
