"""The page in a browser: drawing, looking, taking apart; the file without a server gives the same answers.

They need Playwright, and a Chromium or Chrome of the system.
"""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.serve.test_app import network, png
from tinycnn import Sequential, load_pretrained
from tinycnn.datasets import load_mnist
from tinycnn.inspection.saliency import receptive_region
from tinycnn.inspection.terms import backward_terms, forward_terms
from tinycnn.inspection.trace import trace
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ReLU,
    Reshape,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)
from tinycnn.serve import views
from tinycnn.serve.explainer import PAGE, unwrapped, write_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
EXECUTABLE = next(filter(None, map(shutil.which, BROWSERS)), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium or Chrome is installed"),
]
rng = np.random.default_rng(0)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=EXECUTABLE, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    """A page; what goes wrong in it is an error of the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    yield page
    context.close()
    assert problems == []


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a process that serves the network of the package."""
    arguments = [sys.executable, "-m", "tinycnn", "serve", "--port", "0"]
    folder = tmp_path_factory.mktemp("serve")
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().split()[0]
        process.kill()


def draw_seven(page, left=20, top=20, side=40):
    """Draw a 7 with the mouse."""
    page.wait_for_selector("#classes button")  # nothing moves any more
    box = page.locator("#paper").bounding_box()
    x, y = box["x"] + left, box["y"] + top
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + side, y, steps=5)
    page.mouse.move(x + side / 2, y + 1.5 * side, steps=5)
    page.mouse.up()


def wait_for(page, selector, text):
    """Wait until an element has a text."""
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).textContent.includes(text)",
        arg=[selector, text],
        timeout=60_000,
    )


def test_a_small_digit_in_a_corner(page, address):
    """It is recognised, and the page says that it would not be without the preparation."""
    page.goto(address)
    page.fill("#pen", "14")
    draw_seven(page, 12, 12, 30)
    wait_for(page, "#verdict", "7, with")
    wait_for(page, "#why", "As it is drawn, without these steps, the network would say")
    assert page.locator("#steps li").count() >= 5
    assert (
        page.inner_text("#classes [aria-checked=true] span") == "7"
    )  # not what the first stroke looked like
    page.uncheck("#prepare")
    wait_for(page, "#why", "Prepared, the network would say 7")
    assert "Unlike MNIST" in page.inner_text("#problem")
    page.click("#clear")
    wait_for(page, "#verdict", "Nothing is drawn yet.")
    assert page.locator("#layers canvas:visible").count() == 0
    page.click("#undo")
    wait_for(page, "#verdict", "with")


def test_drawing_by_keys_alone(page, address):
    """A 1 of arrow keys; then a value is chosen by arrow keys."""
    page.goto(address)
    page.focus("#paper")
    for _ in range(9):
        page.keyboard.press("ArrowUp")
    page.keyboard.press(" ")
    for _ in range(18):
        page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    wait_for(page, "#verdict", "1, with")
    page.locator("#layers canvas").nth(1).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("PageDown")
    wait_for(page, "#detail-body", "conv2d_1, output 1, 0, 1")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement !== document.body")


def test_forward_backward_weights(page, address):
    page.goto(address)
    draw_seven(page)
    wait_for(page, "#verdict", "7, with")
    page.locator("#layers canvas").nth(1).click(position={"x": 20, "y": 20})
    wait_for(page, "#detail-body", "9 products add up to")
    page.check("input[value=backward]")
    page.locator("#classes button").nth(2).click()
    wait_for(page, "#loss", "Loss for class 2")
    assert "-ln" in page.inner_text("#loss")
    wait_for(page, "#detail-body", "conv2d_2, input")
    page.locator("#layers canvas").nth(0).click(position={"x": 30, "y": 30})
    wait_for(page, "#detail-body", "conv2d_1, input 14, 14, 0")
    page.check("input[value=weights]")
    page.wait_for_function("() => document.querySelectorAll('#layers canvas')[1].width > 300")
    page.locator("#layers canvas").nth(1).hover(position={"x": 5, "y": 5})
    wait_for(page, "#layers", "filter 0, channel 0, row 0, column 0")
    for kind, text in (("saliency", "loss of the class"), ("occlusion", "covered")):
        page.check(f"input[value={kind}]")
        wait_for(page, "#pixels-text", text)


def test_saving(page, address):
    """The numbers are those that are shown, up to a level of 256."""
    page.goto(address)
    draw_seven(page)
    wait_for(page, "#verdict", "7, with")
    with page.expect_download() as download:
        page.click("#json")
    with open(download.value.path(), encoding="utf-8") as file:
        saved = json.load(file)
    image = np.array(saved["image"]["values"], np.float32).reshape(saved["image"]["shape"])
    expected = trace(load_pretrained("mnist_cnn"), image)
    np.testing.assert_allclose(saved["output"], expected.output, atol=1e-6)
    y = expected.of("conv2d_2")[-1].y
    found = next(layer for layer in saved["layers"] if layer["name"] == "conv2d_2")["output"]
    np.testing.assert_allclose(np.reshape(found["values"], found["shape"]), y, atol=y.max() / 255)
    with page.expect_download() as download:
        page.click("#png")
    with Image.open(download.value.path()) as picture:
        assert picture.height > 500


def test_saving_before_anything_is_shown(page, address):
    page.goto(address)
    page.wait_for_selector("#classes button")
    page.click("#png")
    wait_for(page, "#failure", "Nothing is shown that could be saved")
    draw_seven(page)
    page.wait_for_function("() => document.getElementById('failure').textContent === ''")


def test_logits_are_no_percentages(page, tmp_path):
    """Drawn with the mouse, and a large photo; a second finger adds nothing."""
    model = Sequential([Flatten(), Dense(10)], seed=0, input_shape=(28, 28, 1))
    model.save(tmp_path / "model.npz")
    arguments = [sys.executable, "-m", "tinycnn", "serve", "model.npz", "--port", "0"]
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        page.goto(process.stdout.readline().split()[0])
        draw_seven(page)
        wait_for(page, "#verdict", "with an output of")
        assert "%" not in page.inner_text("#classes")
        page.click("#clear")
        pixels = rng.integers(0, 256, (1900, 1700, 3), dtype=np.uint8)
        pixels[300:1500, 700:900] //= 8
        (tmp_path / "photo.png").write_bytes(png(pixels))  # 9.7 MB, above what the server takes
        page.uncheck("#prepare")
        page.set_input_files("#file", tmp_path / "photo.png")
        wait_for(page, "#verdict", "with an output of")
        process.kill()


def test_a_second_finger_draws_nothing(page, address):
    page.goto(address)
    page.wait_for_selector("#classes button")
    inked = page.evaluate("""() => {
        const paper = document.getElementById("paper");
        const box = paper.getBoundingClientRect();
        paper.setPointerCapture = () => {};
        const send = (kind, pointerId, x, y) => paper.dispatchEvent(new PointerEvent(kind, {
            pointerId, button: 0, clientX: box.left + x, clientY: box.top + y, bubbles: true }));
        send("pointerdown", 1, 40, 40);
        send("pointerdown", 2, 240, 240);
        send("pointermove", 2, 245, 240);
        send("pointerup", 2, 245, 240);
        send("pointermove", 1, 40, 140);
        send("pointerup", 1, 40, 140);
        const lit = (x, y) => paper.getContext("2d").getImageData(x, y, 1, 1).data[0];
        return [lit(40, 90), lit(140, 140), lit(242, 240)];
    }""")
    assert inked == [255, 0, 0]


def test_wrong_files(page, address, tmp_path):
    """A sentence; the page goes on."""
    page.goto(address)
    (tmp_path / "notes.png").write_text("no picture")
    page.set_input_files("#file", tmp_path / "notes.png")
    wait_for(page, "#problem", "notes.png: expected an image")
    pixels = np.kron(load_mnist()[1][0][0], np.ones((4, 4), np.uint8))
    (tmp_path / "seven.png").write_bytes(png(255 - pixels))  # black on white
    page.set_input_files("#file", tmp_path / "seven.png")
    wait_for(page, "#verdict", "7, with")
    assert page.inner_text("#problem") == ""


def test_a_server_that_has_gone(browser, tmp_path):
    """The page says so. The browser itself reports an error, so that the context is one of its own."""
    context = browser.new_context()
    page = context.new_page()
    arguments = [sys.executable, "-m", "tinycnn", "serve", "--port", "0"]
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        page.goto(process.stdout.readline().split()[0])
        draw_seven(page)
        wait_for(page, "#verdict", "7, with")
        process.kill()
    draw_seven(page, 100, 100)
    wait_for(page, "#failure", "Is `tinycnn serve` still running?")
    context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_nothing_is_wider_than_the_screen(browser, address, scheme, width):
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    draw_seven(page)
    wait_for(page, "#verdict", "7, with")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) > 384) == (scheme == "light")
    context.close()


def test_a_finger(browser, address):
    """The page takes the stroke, and does not scroll."""
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#classes button")
    box = page.locator("#paper").bounding_box()
    client = context.new_cdp_session(page)
    for step, kind in enumerate(["touchStart"] + ["touchMove"] * 12):
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 40 + 15 * step}
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wait_for(page, "#verdict", "1, with")
    assert page.evaluate("window.scrollY") == 0
    context.close()


def test_a_film_plays(page, tmp_path):
    """From the last model round to the first; the maps and the prediction are those of the frame."""
    models = {}
    for step in (0, 30, 400):
        models[step] = kept = network(seed=step)
        kept.steps_trained = step
        kept.save(tmp_path / f"{step}.npz")
    arguments = [sys.executable, "-m", "tinycnn", "serve", "--checkpoint", ".", "--port", "0"]
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        page.goto(process.stdout.readline().split()[0])
        wait_for(page, "#moment", "step 400, epoch 0")
        draw_seven(page)
        wait_for(page, "#verdict", "with")
        page.click("#play")
        wait_for(page, "#moment", "step 0, epoch 0")
        wait_for(page, "#moment", "step 30,")
        page.click("#play")
        page.fill("#frame", "1")
        with page.expect_download() as download:
            page.wait_for_timeout(1500)
            page.click("#json")
        process.kill()
    with open(download.value.path(), encoding="utf-8") as file:
        saved = json.load(file)
    image = np.array(saved["image"]["values"], np.float32).reshape(1, 28, 28, 1)
    np.testing.assert_allclose(saved["output"], models[30](image)[0], atol=1e-6)


# The file without a server.


def everything():
    """Return a network with a layer of each kind that has weights, and geometry that is all different."""
    layers = [
        Conv2D(3, (3, 2), strides=(2, 1), padding="same", activation="relu"),
        MaxPooling2D((2, 3), strides=(1, 2), padding="same"),
        BatchNormalization(),
        Conv2D(4, (2, 3), dilation_rate=(1, 2), padding="same", use_bias=False),
        Activation("sigmoid"),
        AveragePooling2D((3, 2), strides=(2, 2), padding="same"),
        Dropout(0.3),
        Conv2D(5, 2, activation="softmax"),
        GlobalAveragePooling2D(),
        Flatten(),
        Dense(6, activation="tanh"),
        Dense(4, activation="softmax"),
    ]
    model = Sequential(layers, seed=3, input_shape=(28, 28, 1))
    norm = model.layers[2]
    for arrays in (norm.params, norm.state):
        for array in arrays.values():
            array[...] = rng.random(array.shape) + 0.5
    return model


def plain():
    """Return a network with the other layers."""
    layers = [
        GaussianNoise(0.2),
        Conv2D(2, (3, 2), strides=3),
        ReLU(max_value=0.8, negative_slope=0.3, threshold=0.1),
        ZeroPadding2D(((1, 2), (0, 3))),
        UpSampling2D((2, 3), interpolation="bilinear"),
        Softmax(axis=1),
        AveragePooling2D((4, 3)),
        UpSampling2D((1, 2)),
        Reshape((8, 3, -1)),
        Softmax(axis=2),
        Conv2D(5, 2),
        GlobalMaxPooling2D(),
        Reshape((5, 1)),
        Flatten(),
        Dense(4),
        Softmax(),
    ]
    return Sequential(layers, seed=3, input_shape=(28, 28, 1))


@pytest.mark.parametrize("network", [everything, plain])
def test_the_terms_in_a_file_are_those_of_the_library(page, tmp_path, network):
    """For each layer, forward and backward, at several places: positions, factors, weights, and the sum."""
    model = network()
    picture = png(np.kron(load_mnist()[1][0][3], np.ones((4, 4), np.uint8)))
    write_page(model, picture, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    scripts = [unwrapped((PAGE / name).read_text(encoding="utf-8")) for name in ("arrays.js", "file.js")]
    page.add_script_tag(content="\n".join([*scripts, "window.fileSource = fileSource;"]), type="module")
    page.wait_for_function("() => window.fileSource !== undefined")
    packed = text.partition('id="numbers">')[2].partition("<")[0]
    page.evaluate("async (packed) => { window.source = await fileSource(packed); }", packed)
    image = views.decoded(views.prepared(picture, model)["prepared"], (28, 28, 1))
    found = trace(model, image, 2)
    for name in dict.fromkeys(step.name for step in found.steps):
        steps = found.of(name)
        for part, step, expected_of, shape in (
            ("sums", steps[0], forward_terms, steps[0].y.shape),
            ("activation", steps[-1], forward_terms, steps[-1].y.shape),
            ("gradient", steps[0], backward_terms, steps[0].x.shape),
        ):
            for index in places(shape):
                expected = expected_of(step, index)
                request = {"layer": name, "index": index, "part": part, "label": 2}
                answer = page.evaluate(TERMS, request)
                same_terms(answer, expected)
                if part != "gradient":
                    region = receptive_region(model, name, index)
                    assert answer["region"] == (region and [list(span) for span in region])


TERMS = """async (request) => {
    const { factors, weights, ...terms } = await source.terms(request);
    return { ...terms, factors: [...factors.values], weights: [...weights.values] };
}"""


def places(shape):
    """Return the first, the last, and some other indices of an array."""
    some = [tuple(int(i) for i in rng.integers(0, shape)) for _ in range(3)]
    return [tuple(0 for _ in shape), tuple(n - 1 for n in shape), *some]


def same_terms(answer, expected):
    """Compare terms, whatever their order."""

    def listed(positions, factors, weights):
        rows = (
            (tuple(map(int, p)), float(f), float(w))
            for p, f, w in zip(positions, factors, weights, strict=True)
        )
        return sorted(rows)

    measured = listed(answer["positions"], answer["factors"], answer["weights"])
    wanted = listed(expected.positions, expected.factors, expected.weights)
    assert [row[0] for row in measured] == [row[0] for row in wanted]
    np.testing.assert_allclose([r[1:] for r in measured], [r[1:] for r in wanted], rtol=1e-4, atol=1e-7)
    assert answer["operation"] == expected.operation
    np.testing.assert_allclose(answer["value"], expected.value, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(answer["bias"], expected.bias, rtol=1e-4, atol=1e-6)


def test_a_file_opened_from_disk(page, tmp_path):
    pixels = np.zeros((200, 220), np.uint8)
    pixels[20:104, 15:99] = np.kron(load_mnist()[1][0][0], np.ones((3, 3), np.uint8))
    write_page(load_pretrained("mnist_cnn"), png(pixels), tmp_path / "page.html")
    page.goto((tmp_path / "page.html").as_uri())
    wait_for(page, "#verdict", "7, with")
    wait_for(page, "#why", "without these steps, the network would say")
    assert not page.is_visible("#clear")
    page.check("input[value=backward]")
    page.locator("#classes button").nth(3).click()
    wait_for(page, "#loss", "Loss for class 3")
    page.check("input[value=saliency]")
    page.check("input[value=weights]")
    page.wait_for_function("() => document.querySelectorAll('#layers canvas')[1].width > 300")


def test_a_single_probability_has_a_row_for_each_class(page, tmp_path):
    layers = [Conv2D(2, 3, activation="relu"), Flatten(), Dense(1, activation="sigmoid")]
    model = Sequential(layers, seed=1, input_shape=(28, 28, 1))
    picture = png(np.kron(load_mnist()[1][0][3], np.ones((4, 4), np.uint8)))
    write_page(model, picture, tmp_path / "page.html")
    image = views.decoded(views.prepared(picture, model)["prepared"], (28, 28, 1))
    share = float(model(image[np.newaxis])[0, 0])
    page.goto((tmp_path / "page.html").as_uri())
    wait_for(page, "#verdict", f"{int(share > 0.5)}, with")
    rows = page.locator("#classes .number").all_inner_texts()
    assert rows == [f"{100 * (1 - share):.2f} %", f"{100 * share:.2f} %"]
    page.check("input[value=backward]")
    for label in (0, 1):
        page.locator("#classes button").nth(label).click()
        wait_for(page, "#loss", f"Loss for class {label}: ")
        assert " = -ln " in page.inner_text("#loss")
    page.check("input[value=occlusion]")
    wait_for(page, "#pixels-text", "covered")
    assert page.inner_text("#failure") == ""
