"""Networks as SVG: every layer once and in order, its text, places that do not overlap, any name."""

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tests.networks import every_layer
from tinycnn import Sequential
from tinycnn.inspection import Picture, plot_network
from tinycnn.inspection.blocks import network_picture, network_svg
from tinycnn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPooling2D,
    ReLU,
    Softmax,
)
from tinycnn.support import svg

pytestmark = pytest.mark.smoke
DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
NAMES = [
    '<a> & "b"',
    "'quoted'",
    "طبقة_الأولى",
    "第一层卷积_" * 9,
    "W" * 200,
    "i" * 300,
    "e\u0301" * 80,
    "🙂👩\u200d👩\u200d👧" * 20,
    "\x00\x1b\u202eright to left\ufffe",
    "lone \ud800 surrogate",
    "two\nlines\tand tabs",
    " ",
    "]]>",
]


def network(**options):
    layers = [
        Conv2D(5, (3, 2), activation="relu"),
        BatchNormalization(),
        MaxPooling2D(2),
        Dropout(0.25, name="<drop>"),
        Flatten(),
        Dense(4, activation="softmax"),
    ]
    return Sequential(layers, seed=0, name="a & b", **options)


class Shift(Layer):
    """A layer of the user's, with arguments of every kind."""

    def __init__(self, amount, wrap=True, grid=None, sizes=(1, 2), function=None, name=None):
        super().__init__(name)
        self.amount, self.wrap, self.grid, self.sizes, self.function = amount, wrap, grid, sizes, function

    def forward(self, x, training=False):
        return x

    def backward(self, dy):
        return dy


class Own(Conv2D):
    """A convolution of the user's, whose constructor stores nothing of its own."""

    def __init__(self, secret=3):
        super().__init__(2, 2)


def parse(picture):
    """Return the elements of a picture, with the letter x for the sign of multiplication."""
    return ET.fromstring(str(picture).replace("\u00d7", "x"))


def boxes(root, kind="layer"):
    """Return (lines, (x, y, width, height)) of each box."""
    found = []
    for group in root.findall(f"{SVG}g[@class='{kind}']"):
        rect = group.find(f"{SVG}rect")
        place = tuple(float(rect.get(name)) for name in ("x", "y", "width", "height"))
        found.append(([text.text for text in group.findall(f"{SVG}text")], place))
    return found


def labels(root):
    return [text.text for text in root.findall(f"{SVG}text[@class='array']")]


def arrows(root):
    """Return (start, end) of each arrow."""
    found = []
    for group in root.findall(f"{SVG}g[@class='arrow']"):
        x, y, angle = map(float, re.findall(r"-?[\d.]+", group.get("transform")))
        length = float(group.find(f"{SVG}polygon").get("points").split(",")[0])
        found.append(((x, y), (x + length, y) if angle == 0 else (x, y + length)))
    return found


def assert_places(root, rankdir="TB"):
    """Raise when boxes overlap, arrows do not lead from box to box, or text leaves its box or the picture."""
    _, _, width, height = map(float, root.get("viewBox").split())
    layers = boxes(root)
    ends = boxes(root, "end")
    everything = [ends[0], *layers, ends[1]]
    along = 1 if rankdir == "TB" else 0
    for lines, (x, y, w, h) in everything:
        assert 0 < x < x + w < width
        assert 0 < y < y + h < height
        wide = [svg.width(line, bold=not i) * (12 if i else 13) for i, line in enumerate(lines)]
        assert max(wide) <= w - 20
        assert len(lines) * 16 <= h
    for (_, one), (_, two), (start, end) in zip(everything, everything[1:], arrows(root), strict=False):
        assert start[along] == pytest.approx(one[along] + one[along + 2], abs=0.2)
        assert end[along] == pytest.approx(two[along], abs=0.2)
        assert end[along] - start[along] > 30
        across = 1 - along
        assert one[across] < start[across] == end[across] < one[across] + one[across + 2]
    for number, text in enumerate(root.findall(f"{SVG}text")):
        reach = 12 * svg.width(text.text)
        left = float(text.get("x")) - (reach / 2 if text.get("text-anchor") == "middle" else 0)
        assert 0 < left < left + reach < width
        if rankdir == "LR":  # above its arrow, between two boxes
            (x, _, w, _), (after, *_) = everything[number][1], everything[number + 1][1]
            assert x + w < left < left + reach < after
    return len(arrows(root)) == len(everything) - 1


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
def test_every_layer_once_and_in_order(rankdir):
    """Name, class and arguments, parameters; shapes beside the arrows."""
    root = parse(plot_network(network(input_shape=(9, 8, 2)), rankdir=rankdir))
    assert assert_places(root, rankdir)
    texts = [lines for lines, _ in boxes(root)]
    assert [", ".join(lines) for lines in texts] == [
        "conv2d_1, Conv2D, 5 filters, 3 x 2 kernel, relu, 65 parameters",
        "batch_normalization_1, BatchNormalization, 20 parameters",
        "max_pooling2d_1, MaxPooling2D, 2 x 2 pool",
        "<drop>, Dropout, rate 0.25",
        "flatten_1, Flatten",
        "dense_1, Dense, 4 units, softmax, 184 parameters",
    ]
    assert labels(root) == ["9 x 8 x 2", "7 x 7 x 5", "7 x 7 x 5", "3 x 3 x 5", "3 x 3 x 5", "45", "4"]
    assert [lines for lines, _ in boxes(root, "end")] == [["input"], ["output"]]
    fills = [group.find(f"{SVG}rect").get("fill") for group in root.findall(f"{SVG}g[@class='layer']")]
    assert fills == ["#9ecae1", "#bcbddc", "#a1d99b", "#d9d9d9", "#d9d9d9", "#fdae6b"]


def test_for_those_who_do_not_see_it():
    root = parse(plot_network(network(input_shape=(9, 8, 2))))
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.find(f"{SVG}title").text == "a & b: 6 layers, 269 parameters"
    description = root.find(f"{SVG}desc").text
    assert description.startswith("input; conv2d_1 (Conv2D): 9 x 8 x 2 to 7 x 7 x 5, 65 parameters; ")
    assert description.endswith("dense_1 (Dense): 45 to 4, 184 parameters; output")
    assert root.find(f"{SVG}g[@class='layer']/{SVG}title").text.startswith("conv2d_1 (Conv2D): 9 x 8 x 2 to ")
    assert "prefers-color-scheme: dark" in root.find(f"{SVG}style").text


def test_what_is_shown():
    """Each switch, alone."""
    model = network(input_shape=(9, 8, 2))
    model[0].trainable = False

    def shown(**options):
        root = parse(plot_network(model, **options))
        return [lines for lines, _ in boxes(root)], labels(root)

    assert shown(show_layer_names=False)[0][0] == ["Conv2D", "5 filters, 3 x 2 kernel, relu", "65 parameters"]
    assert shown(show_layer_names=False)[0][4] == ["Flatten"]
    assert shown(show_layer_activations=False)[0][5][1] == "Dense, 4 units"
    assert shown(show_params=False)[0][5] == ["dense_1", "Dense, 4 units, softmax"]
    assert shown(show_shapes=False)[1] == []
    assert shown(show_shapes=False, show_dtype=True)[1] == ["float32"] * 7
    assert shown(show_dtype=True)[1][5] == "45, float32"
    trainable = shown(show_trainable=True)[0]
    assert trainable[0][2] == "65 parameters (not trainable)"
    assert trainable[1][2] == "20 parameters (trainable)"
    assert trainable[2] == ["max_pooling2d_1", "MaxPooling2D, 2 x 2 pool"]
    rects = parse(plot_network(model, show_trainable=True)).findall(f"{SVG}g/{SVG}rect")
    assert [rect.get("stroke-dasharray") is not None for rect in rects] == [False, True, *[False] * 6]


def test_arguments():
    """Those that are not their defaults, and what every reader asks for; none about random numbers."""
    texts = [
        ", ".join(lines[1:]) for lines, _ in boxes(parse(plot_network(every_layer(), show_params=False)))
    ]
    assert texts == [
        "Conv2D, 5 filters, 3 x 2 kernel, padding (1, 2), (0, 3), relu",
        "BatchNormalization, momentum 0.8, epsilon 0.002, no center",
        "Activation, tanh",
        "AveragePooling2D, 2 x 3 pool, stride 1 x 2",
        "Conv2D, 7 filters, 2 x 2 kernel, stride 2 x 1, padding same, no bias, leaky_relu",
        "Dropout, rate 0.25",
        "MaxPooling2D, 2 x 2 pool, padding same",
        "Conv2D, 6 filters, 2 x 2 kernel, dilation 3 x 1",
        "BatchNormalization, no scale",
        "GlobalAveragePooling2D",
        "Flatten",
        "Dense, 9 units, sigmoid",
        "BatchNormalization",
        "Dropout, rate 0.5",
        "Dense, 4 units, no bias",
        "Dense, 3 units, softmax",
    ]


def test_layers_of_the_user():
    """Any class, in the colour of its base class; without arrays, functions and what is not stored."""
    layers = [
        Shift(np.float32(0.5), wrap=False, grid=np.ones((3, 3)), sizes=[4, 5], function=np.tanh, name="a"),
        Shift("left & right", name="b"),
        Own(),
        Flatten(),
        Dense(1),
    ]
    picture = plot_network(Sequential(layers, seed=0, input_shape=(6, 5, 3)))
    texts = [lines for lines, _ in boxes(parse(picture))]
    assert texts[0] == ["a", "Shift, amount 0.5, no wrap, sizes 4 x 5"]
    assert texts[1] == ["b", "Shift, amount left & right"]
    assert texts[2] == ["own_1", "Own", "26 parameters"]
    assert texts[4] == ["dense_1", "Dense, 1 unit", "41 parameters"]
    assert str(picture).count("#9ecae1") == 1


def test_many_arguments():
    """Lines are wrapped, and cut after the fourth."""
    layer = Shift("x" * 90, sizes=tuple(range(40)), grid="g" * 90, wrap=False, function="f" * 90)
    root = parse(plot_network(Sequential([layer, Flatten(), Dense(2)], seed=0, input_shape=(2, 3, 1))))
    ((lines, _), *_) = boxes(root)
    assert lines[0] == "shift_1"
    assert lines[-1] == "…"
    assert len(lines) == 5
    assert assert_places(root)


@pytest.mark.parametrize("style", ["TB", "LR", "blocks"])
def test_any_name(style):
    """Escaped, of characters that XML has, in one line, and shortened."""
    layers = [*(Dropout(0.5, name=name) for name in NAMES[:-1]), Dense(2, name=NAMES[-1])]
    model = Sequential(layers, seed=0, input_shape=(3,), name='<m & "n">\x07')
    options = {"style": "blocks"} if style == "blocks" else {"rankdir": style}
    picture = plot_network(model, **options)
    picture.svg.encode("utf-8")
    root = parse(picture)
    if style == "blocks":
        assert root.get("aria-label") == '<m & "n">\ufffd'
        assert root.find(f"{SVG}desc").text.startswith('<m & "n">\ufffd: input 3, ')
        ET.fromstring(network_svg(model))
        ET.fromstring(model._repr_html_())
        return
    assert root.get("aria-label") == f'<m & "n">\ufffd: {len(NAMES)} layers, 8 parameters'
    assert assert_places(root, style)
    shown = [lines[0] for lines, _ in boxes(root)]
    assert shown[:3] == NAMES[:3]
    assert shown[-1] == "]]>"
    assert "two lines and tabs" in shown
    assert "lone \ufffd surrogate" in shown
    assert "Dropout" in shown  # has a blank name
    assert "\ufffd\ufffd\ufffdright to left\ufffd" in shown
    assert re.fullmatch(r"W{4,}…W{3,}", shown[4])
    assert re.fullmatch(r"(e\u0301)+…(e\u0301)+", shown[6])


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("count", [1, 200])
def test_one_layer_and_two_hundred(count, rankdir):
    layers = [Dropout(i / 256, name=f"layer_{i}") for i in range(count)]
    root = parse(plot_network(Sequential(layers, seed=0, input_shape=(7, 5, 3)), rankdir=rankdir))
    assert [lines[0] for lines, _ in boxes(root)] == [layer.name for layer in layers]
    assert len(arrows(root)) == len(labels(root)) == count + 1
    assert assert_places(root, rankdir)


def test_a_model_that_is_not_built():
    """Has names and arguments; blocks need sizes."""
    root = parse(plot_network(network(), show_trainable=True))
    assert root.get("aria-label") == "a & b: 6 layers"
    assert boxes(root)[0][0] == ["conv2d_1", "Conv2D, 5 filters, 3 x 2 kernel, relu"]
    assert (labels(root), len(arrows(root))) == ([], 7)
    with pytest.raises(ValueError, match=r"call model\.build\(input_shape\) before it is drawn"):
        plot_network(network(), style="blocks")


def test_the_same_model_has_the_same_picture():
    assert str(plot_network(network(input_shape=(9, 8, 2)))) == str(
        plot_network(network(input_shape=(9, 8, 2)))
    )


def test_blocks():
    """The cuboids of the notebooks, on a background."""
    model = network(input_shape=(9, 8, 2))
    picture = plot_network(model, style="blocks")
    assert picture.svg == network_picture(model)
    inner = re.search(r"<polygon.*</text>", network_svg(model))[0]
    assert inner in picture.svg
    root = parse(picture)
    assert len(root.findall(f".//{SVG}polygon")) == 3 * 5
    assert root.find(f"{SVG}desc").text.startswith("a & b: input 9x8x2, conv2d_1 7x7x5, ")
    texts = root.findall(f".//{SVG}text")
    width = float(root.get("width"))
    lines = {}
    for text in texts:
        bold = text.get("font-weight") == "bold"
        start = float(text.get("x"))
        lines.setdefault(text.get("y"), []).append((start, start + 11 * svg.width(text.text, bold)))
    for spans in lines.values():
        assert spans[-1][1] < width
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(spans))


def test_a_file(tmp_path):
    """Written whole or not at all, under .svg alone."""
    model = network(input_shape=(9, 8, 2))
    picture = plot_network(model, tmp_path / "network.svg")
    assert isinstance(picture, Picture)
    assert (tmp_path / "network.svg").read_bytes() == f"{picture}\n".encode()
    assert picture._repr_svg_() == picture.svg == str(picture)
    assert "picture.save" in repr(picture)
    picture.save(tmp_path / "again.SVG")
    assert (tmp_path / "again.SVG").read_bytes() == (tmp_path / "network.svg").read_bytes()
    for name in ("network.png", "network", "svg"):
        with pytest.raises(
            ValueError, match=rf"path: expected a file name ending in \.svg, received '.*{name}'"
        ):
            plot_network(model, tmp_path / name)
    with pytest.raises(FileNotFoundError, match="the folder to write into does not exist"):
        plot_network(model, tmp_path / "no" / "network.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.SVG", "network.svg"]


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("model.h5", {}, "model: expected a tinycnn.Sequential, received 'model.h5'"),
        (Dense(2), {}, r"model: expected a tinycnn.Sequential, received Dense\(units=2\)"),
        (Sequential(seed=0), {}, r"sequential: expected at least one layer, received none; call model.add"),
        (None, {"rankdir": "BT"}, "rankdir: expected one of 'LR', 'TB', received 'BT'"),
        (None, {"style": "cuboids"}, "style: expected one of 'blocks', 'boxes', received 'cuboids'"),
        (None, {"show_shapes": 1}, "show_shapes: expected True or False, received 1"),
        (None, {"style": "blocks", "rankdir": "LR"}, "style: expected 'boxes' with these options"),
    ],
)
def test_errors(model, options, message):
    with pytest.raises(ValueError, match=message):
        plot_network(network() if model is None else model, **options)


def test_the_picture_in_the_documents_is_current():
    """`plot_network(tinycnn.mnist_cnn(), "docs/images/mnist_cnn.svg")` writes it."""
    text = (DOCS / "images" / "mnist_cnn.svg").read_text(encoding="utf-8")
    assert text == f"{plot_network(tinycnn.mnist_cnn(seed=0))}\n"


def test_widths_of_text():
    """Bounds of each kind of character; marks take no room, and belong to the letter before them."""
    assert svg.width("") == svg.width("\u0301\u200d") == 0
    assert svg.width("il") < svg.width("ab") < svg.width("AB") < svg.width("MW") < svg.width("第一")
    assert svg.width("abc", bold=True) > svg.width("abc")
    assert svg.shortened("abc", svg.width("abc")) == "abc"
    for most in (3, 5.5, 9):
        for text in NAMES:
            short = svg.shortened(svg.clean(text), most)
            assert svg.width(short) <= most + 1e-9


def test_an_activation_layer():
    """Says its function once; that of a ReLU with a slope is no leaky_relu, which has another slope."""
    layers = [Dense(2), Activation("softmax"), Softmax(), ReLU(6.0), ReLU(negative_slope=0.1)]
    root = parse(plot_network(Sequential(layers, seed=0)))
    assert [", ".join(lines[1:]) for lines, _ in boxes(root)[1:]] == [
        "Activation, softmax",
        "Softmax",
        "ReLU, max value 6",
        "ReLU, negative slope 0.1",
    ]
