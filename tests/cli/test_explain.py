"""`explain` of a picture: a page, or a reason."""

import numpy as np
import pytest
from PIL import Image

from tests.serve.test_app import network
from tests.serve.test_explainer import digit, numbers
from tinycnn import Sequential
from tinycnn.layers import Dense, Flatten

pytestmark = pytest.mark.smoke


@pytest.fixture
def files(tmp_path):
    """A picture and a model in the test's folder."""
    Image.fromarray(digit()).save(tmp_path / "digit.PNG")
    network().save(tmp_path / "model.h5")
    return tmp_path


def test_a_page(call, files):
    done = call("explain", "digit.PNG", "--model", "model.h5", "-o", "page.html")
    assert done.status == 0
    found = numbers((files / "page.html").read_text(encoding="utf-8"))
    best = int(np.argmax(found["output"]))
    share = max(found["output"])
    assert done.out == f"{best}, with {share:.1%}. Wrote page.html; open it in a browser.\n"
    assert found["prepare"] is True
    done = call("explain", "digit.PNG", "--model", "model.h5", "-o", "page.html", "--as-drawn", "--json")
    assert done.json["file"] == "page.html"
    assert numbers((files / "page.html").read_text(encoding="utf-8"))["prepare"] is False


@pytest.mark.parametrize(("units", "activation"), [(3, None), (1, None), (1, "sigmoid")])
def test_what_is_no_share_is_no_percentage(call, files, units, activation):
    """A single probability is that of class 1."""
    model = Sequential([Flatten(), Dense(units, activation=activation)], seed=0, input_shape=(28, 28, 1))
    model.save(files / "other.npz")
    done = call("explain", "digit.PNG", "--model", "other.npz", "-o", "page.html")
    output = numbers((files / "page.html").read_text(encoding="utf-8"))["output"]
    best, value = int(np.argmax(output)), max(output)
    said = f"{best}, with an output of {value:.4g}"
    if activation == "sigmoid":
        said = f"{int(value > 0.5)}, with {max(value, 1 - value):.1%}"
    elif units == 1:
        said = f"The output is {value:.4g}"
    assert done.out == f"{said}. Wrote page.html; open it in a browser.\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["digit.PNG"], 2, "digit.PNG: expected -o with the name of the page"),
        (["model.h5", "-o", "page.html"], 2, "--out: expected a picture to explain, received model.h5"),
        (["model.h5", "--as-drawn"], 2, "--as-drawn: expected a picture"),
        (["--model", "model.h5"], 2, "--model: expected a picture"),
        (["none.png", "-o", "page.html"], 1, "none.png: No such file"),
        (["damaged.png", "-o", "page.html"], 1, "damaged.png: picture: expected an image file"),
        (["digit.PNG", "-o", "no/page.html"], 1, "no"),
    ],
)
def test_wrong_arguments(call, files, arguments, status, message):
    (files / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = call("explain", *arguments)
    assert done.status == status
    assert message in done.err
    assert done.err.count("\n") == 1
    assert not (files / "page.html").exists()
