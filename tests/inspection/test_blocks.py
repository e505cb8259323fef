"""What notebooks show of models and layers: well-formed, with the numbers that are there."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tinycnn import Sequential
from tinycnn.inspection.blocks import network_html, network_svg
from tinycnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.support import html

pytestmark = pytest.mark.smoke
SVG = "{http://www.w3.org/2000/svg}"


def network(**options):
    layers = [Conv2D(5, (3, 2)), BatchNormalization(), MaxPooling2D(2), Flatten(), Dense(4, name="<last>")]
    return Sequential(layers, seed=0, **options)


def test_the_picture_of_a_network():
    """Three faces for each array, its text below, a description for those who do not see it."""
    root = ET.fromstring(network_svg(network(input_shape=(9, 8, 2), name="a & b")))
    assert root.get("role") == "img"
    assert root.get("aria-label").startswith("a & b: input 9x8x2, conv2d_1 7x7x5, ")
    assert len(root.findall(f"{SVG}polygon")) == 3 * 5
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert texts[:5] == ["input", "9x8x2", "conv2d_1", "7x7x5", "window 3x2"]
    assert "<last>" in texts
    _, _, width, height = map(float, root.get("viewBox").split())
    for polygon in root.findall(f"{SVG}polygon"):
        for point in polygon.get("points").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    for text in root.findall(f"{SVG}text"):
        assert float(text.get("y")) < height


def test_text_is_legible_on_a_narrow_page():
    """A row that is wider than the page becomes smaller as far as one can read it, and scrolls then."""
    root = ET.fromstring(network(input_shape=(9, 8, 2))._repr_html_())
    assert root[0].get("style") == "overflow-x: auto"
    row = root[0][0]
    least = float(re.search(r"min-width: (\d+)px", row.get("style"))[1])
    assert float(row.get("font-size")) * least / float(row.get("viewBox").split()[2]) > 7.9


def test_a_model_in_a_notebook():
    """Names are escaped; before it is built, its layers alone."""
    model = network(input_shape=(9, 8, 2))
    root = ET.fromstring(model._repr_html_())
    assert model._repr_html_() == network_html(model)
    rows = [[cell.text for cell in row] for row in root.find("table/tbody")]
    assert rows[0] == ["conv2d_1", "Conv2D", "(None, 7, 7, 5)", "65"]
    assert rows[-1] == ["<last>", "Dense", "(None, 4)", "184"]
    assert "".join(root.itertext()).endswith("269 parameters in all")
    assert ET.fromstring(network()._repr_html_()).text == repr(network())


def test_a_layer_in_a_notebook():
    """Its weights with their ranges, its first filters as pictures; what has no weights has no table."""
    model = network(input_shape=(9, 8, 2))
    root = ET.fromstring(f"<p>{model.layers[0]._repr_html_()}</p>")
    kernel = model.layers[0].params["kernel"]
    rows = [[cell.text for cell in row] for row in root.find("div/table/tbody")]
    figures = [f"{f(kernel):.3g}" for f in (np.min, np.mean, np.std, np.max)]
    assert rows[0] == ["kernel", "3x2x2x5", *figures]
    assert rows[1] == ["bias", "5", "0", "0", "0", "0"]
    assert len(root.findall(f".//{SVG}rect")) == 5 * 6
    assert root.find(f"{SVG}svg").get("aria-label") == "conv2d_1: 5 of 5 filters, channel 0"
    moments = ET.fromstring(model.layers[1]._repr_html_())
    names = [row[0].text for row in moments.find("table/tbody")]
    assert names == ["gamma", "beta", "moving_mean", "moving_variance"]
    dropout = ET.fromstring(Dropout(0.3)._repr_html_())
    assert dropout.find("table") is None
    assert dropout.find("code").text == "Dropout(rate=0.3)"
    assert ET.fromstring(Conv2D(3, 3)._repr_html_()).find("table") is None  # not built


def test_squares():
    """White at 0, red and blue at the ends, grey for what is no number; no more than are readable."""
    arrays = [np.array([[0.0, -2.0, 1.0]])] * 70
    root = ET.fromstring(html.squares(arrays, "label"))
    colours = [rect.get("fill") for rect in root.findall(f"{SVG}rect")]
    assert len(colours) == 3 * html.MOST
    assert colours[:3] == ["#ffffff", "#2166ac", "#d88c95"]
    with np.errstate(invalid="ignore"):
        broken = ET.fromstring(html.squares([np.array([[np.nan, 1.0]])], "label"))
    assert broken.findall(f"{SVG}rect")[0].get("fill") == "#808080"
    assert (
        ET.fromstring(html.squares([np.zeros((2, 2))], "label")).find(f"{SVG}rect").get("fill") == "#ffffff"
    )
