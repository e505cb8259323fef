"""One picture in one file: its arrays are the library's, and nothing of it comes from elsewhere."""

import base64
import gzip
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.serve.test_app import array, network, png
from tinycnn import Sequential, activations
from tinycnn.datasets import prepare_digit
from tinycnn.inspection.saliency import contributions, occlusion, saliency
from tinycnn.inspection.trace import trace
from tinycnn.layers import Activation, BatchNormalization, Conv2D, Dense, Flatten
from tinycnn.serve import explainer
from tinycnn.serve.explainer import write_page

pytestmark = pytest.mark.smoke
rng = np.random.default_rng(0)


def digit():
    """Return a picture with a stroke in a corner."""
    pixels = np.zeros((90, 120), np.uint8)
    pixels[8:40, 15:22] = 255
    return pixels


def numbers(text):
    """Return the numbers in a page."""
    packed = re.search(r'id="numbers">([^<]+)<', text).group(1)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_the_arrays_are_those_of_the_layers(tmp_path):
    model, path = network(), tmp_path / "page.html"
    written = write_page(model, png(digit()), path)
    found = numbers(path.read_text(encoding="utf-8"))
    image = prepare_digit(digit())
    np.testing.assert_array_equal(array(found["image"]), image)
    expected = trace(model, image)
    assert written["class"] == int(expected.output.argmax())
    assert written["bytes"] == path.stat().st_size
    for step, described in zip(expected.steps, found["steps"], strict=True):
        np.testing.assert_array_equal(array(described["y"]), step.y)
        for name, weight in step.layer.params.items():
            np.testing.assert_array_equal(array(described[name]), weight)
    assert found["labels"] == [0, 1, 2, 3, 4]
    for label in found["labels"]:
        back = trace(model, image, label)
        assert found["losses"][label] == back.loss
        for step, dy in zip(back.steps, found["gradients"][label]["dy"], strict=True):
            np.testing.assert_array_equal(array(dy), step.dy)
        np.testing.assert_array_equal(array(found["gradients"][label]["image"]), back.image_gradient)
        np.testing.assert_array_equal(array(found["saliency"][label]), saliency(model, image, label))
        np.testing.assert_allclose(
            array(found["occlusion"][label]), occlusion(model, image, label), atol=1e-6
        )
        added = contributions(model, image, "dense_1", (label,)).sum(-1)
        np.testing.assert_array_equal(array(found["contributions"][label]), added)
    drawn = array(found["picture"]["drawn"])
    np.testing.assert_allclose(found["other"], model(drawn[np.newaxis])[0], atol=1e-6)
    shown = Image.open(io.BytesIO(base64.b64decode(found["source"])))
    assert np.array_equal(np.asarray(shown)[..., 0], digit())


def test_as_drawn(tmp_path):
    path = tmp_path / "page.html"
    write_page(network(), png(digit()), path, as_drawn=True)
    found = numbers(path.read_text(encoding="utf-8"))
    assert found["prepare"] is False
    np.testing.assert_array_equal(array(found["image"]), array(found["picture"]["drawn"]))


def test_only_the_most_probable_classes_have_gradients(tmp_path, monkeypatch):
    monkeypatch.setattr(explainer, "MOST_CLASSES", 2)
    model, path = network(), tmp_path / "page.html"
    write_page(model, png(digit()), path)
    found = numbers(path.read_text(encoding="utf-8"))
    best = np.argsort(found["output"])[-2:]
    assert found["labels"] == sorted(best.tolist())
    assert len(found["gradients"]) == len(found["occlusion"]) == 2
    assert [i for i, map_ in enumerate(found["contributions"]) if map_] == found["labels"]


def test_slopes_are_derivatives():
    """Of softmax as a matrix; of batch normalisation as they are at inference."""
    x, step = rng.normal(size=(4, 5)), 1e-6
    for name in ("relu", "sigmoid", "softmax"):
        y = activations.get(name).function(x)
        found = explainer.slopes_of(Activation(name), y, 1 if name == "softmax" else None)
        for j in range(5):
            moved = x.copy()
            moved[:, j] += step
            slope = (activations.get(name).function(moved) - y) / step
            expected = slope if name == "softmax" else slope[:, j]
            measured = found[..., j] if name == "softmax" else found[:, j]
            np.testing.assert_allclose(measured, expected, atol=1e-5)
    layers = [Conv2D(3, 2), BatchNormalization(), Flatten(), Dense(2)]
    model = Sequential(layers, seed=0, input_shape=(6, 5, 1), dtype="float64")
    norm = model.layers[1]
    norm.params["gamma"][...], norm.state["moving_variance"][...] = [2, 3, 4], [5, 6, 7]
    step_of = trace(model, rng.random((6, 5, 1))).of(norm.name)[0]
    slopes = array(explainer.described(step_of)["slopes"])
    np.testing.assert_allclose(
        slopes[1, 2], np.array([2, 3, 4]) / np.sqrt(np.array([5, 6, 7]) + 1e-3), rtol=1e-6
    )


def test_the_page_is_whole(tmp_path):
    """No import, no export, no file and no address is left in it; each name is declared once."""
    path = tmp_path / "page.html"
    write_page(network(), png(digit()), path)
    text = path.read_text(encoding="utf-8")
    without = re.sub(r'id="numbers">[^<]+<', "", text)
    assert not re.search(r"^(import|export)\b", without, re.M)
    assert not re.search(r"(src|href)=\"(?!data:)|https?://|url\(|@import", without)
    assert "default-src 'none'" in without
    script = without[without.index('<script type="module">') :]
    names = re.findall(r"^(?:async )?(?:const|let|function|class) (\w+)", script, re.M)
    assert len(names) > 60
    assert sorted(names) == sorted(set(names))
    scripts = {path.stem for path in explainer.PAGE.glob("*.js")}
    assert set(explainer.SCRIPTS) == scripts


def test_wrong_pictures_and_models(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    for model, content, message in (
        (network(), b"no picture", "picture: expected an image file"),
        (network(), png(np.zeros((50, 50), np.uint8)), "--as-drawn explains"),
        (Sequential([Dense(3)], seed=0, input_shape=(4,)), png(digit()), "expected a model for images"),
        (Sequential([Conv2D(2, 3)], seed=0, input_shape=(28, 28, 1)), png(digit()), "expected a flat output"),
    ):
        with pytest.raises(ValueError, match=message):
            write_page(model, content, path)
    monkeypatch.setattr(explainer, "MOST_PARAMETERS", 10)
    with pytest.raises(ValueError, match="expected at most 10 parameters"):
        write_page(network(), png(digit()), path)
    assert not path.exists()
    with pytest.raises(OSError, match="folder"):
        write_page(network(), png(digit()), tmp_path / "no" / "page.html")


def test_a_model_of_logits_or_of_nan(tmp_path):
    """No probability is said of logits; NaN is refused, and no file is left."""
    model = Sequential([Flatten(), Dense(4)], seed=0, input_shape=(28, 28, 1))
    found = write_page(model, png(digit()), tmp_path / "page.html", as_drawn=True)
    output = numbers((tmp_path / "page.html").read_text(encoding="utf-8"))["output"]
    assert (found["class"], found["output"], found["probability"]) == (np.argmax(output), max(output), None)
    model.layers[1].params["bias"][2] = np.nan
    with pytest.raises(ValueError, match="expected finite ones"):
        write_page(model, png(digit()), tmp_path / "nan.html", as_drawn=True)
    assert not (tmp_path / "nan.html").exists()
