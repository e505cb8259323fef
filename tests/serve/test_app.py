"""The page's server: what it computes, and what it refuses."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.serve.asgi import Client
from tinycnn import Sequential
from tinycnn.datasets import load_mnist, prepare_digit
from tinycnn.inspection.saliency import contributions, occlusion, saliency
from tinycnn.inspection.terms import backward_terms, forward_terms
from tinycnn.inspection.trace import trace
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.serve import guard, views
from tinycnn.serve.app import Site, make_app
from tinycnn.serve.film import Film

pytestmark = pytest.mark.smoke
rng = np.random.default_rng(0)
HOST = "127.0.0.1:8000"


def network(shape=(28, 28, 1), seed=0):
    layers = [
        Conv2D(4, (3, 2), activation="relu"),
        MaxPooling2D(4),
        Dropout(0.3),
        Flatten(),
        Dense(5, activation="softmax"),
    ]
    return Sequential(layers, seed=seed, input_shape=shape)


@pytest.fixture
def model():
    return network()


@pytest.fixture
def client(model):
    return Client(make_app(Site(Film(model)), [HOST]), HOST)


IMAGE = rng.random((28, 28, 1)).astype(np.float32)


def array(value):
    """Return the array of a response."""
    return views.decoded(value, tuple(value["shape"]))


def from_bytes(value):
    """Return the array that bytes stand for, to the nearest of 256 levels."""
    import base64

    levels = np.frombuffer(base64.b64decode(value["data"]), np.uint8).reshape(value["shape"])
    return value["low"] + levels * (value["high"] - value["low"]) / 255


def request(**more):
    return {"image": views.encoded(IMAGE), **more}


def test_the_model_is_described(client, model):
    found = client.get("/api/model").json()
    assert found["digits"] is True
    assert found["input_shape"] == [28, 28, 1]
    assert [layer["name"] for layer in found["layers"]] == [layer.name for layer in model.layers]
    assert found["layers"][0]["output_shape"] == [26, 27, 4]
    assert found["layers"][1]["field"] == [6, 5]
    assert found["parameters"] == model.count_params()
    assert found["frames"] == []


@pytest.mark.parametrize("label", [None, 3])
def test_maps_are_those_of_the_layers(client, model, label):
    """To a level of the bytes that are drawn; probabilities exactly."""
    found = client.post("/api/look", json=request(label=label)).json()
    expected = trace(model, IMAGE, label)
    assert found["output"] == [float(p) for p in expected.output]
    assert found["loss"] == expected.loss
    assert [layer["name"] for layer in found["layers"]] == [layer.name for layer in model.layers]
    for layer in found["layers"]:
        steps = expected.of(layer["name"])
        for part, step in (("sums", steps[0]), ("output", steps[-1])):
            drawn = from_bytes(layer[part])
            step_size = (layer[part]["high"] - layer[part]["low"]) / 255
            np.testing.assert_allclose(drawn, step.y, atol=0.51 * step_size + 1e-7)
            assert layer[part]["high"] == step.y.max()
            gradient = layer[f"{part}_gradient"]
            assert (gradient is None) == (label is None)
            if label is not None:
                assert (gradient["low"], gradient["high"]) == (step.dy.min(), step.dy.max())
    if label is not None:
        assert found["image_gradient"]["shape"] == [28, 28, 1]


def test_the_terms_of_a_number(client, model):
    expected = forward_terms(trace(model, IMAGE).steps[0], (5, 6, 2))
    found = client.post("/api/terms", json=request(layer="conv2d_1", index=[5, 6, 2])).json()
    assert found["region"] == [[5, 7], [6, 7]]
    np.testing.assert_array_equal(array(found["factors"]), expected.factors)
    np.testing.assert_array_equal(array(found["weights"]), expected.weights)
    assert found["positions"] == expected.positions.tolist()
    assert (found["value"], found["bias"], found["operation"]) == (expected.value, expected.bias, "sum")
    assert found["others"] == {"count": 0, "sum": 0}
    after = client.post(
        "/api/terms", json=request(layer="conv2d_1", index=[5, 6, 2], part="activation")
    ).json()
    assert (after["operation"], after["value"]) == ("relu", max(expected.value, 0))
    back = request(layer="conv2d_1", index=[5, 6, 0], part="gradient", label=1)
    found = client.post("/api/terms", json=back).json()
    expected = backward_terms(trace(model, IMAGE, 1).steps[0], (5, 6, 0))
    assert found["value"] == expected.value
    assert array(found["factors"]).tolist() == expected.factors.tolist()


def test_many_terms_are_the_largest_and_the_sum_of_the_others(client, monkeypatch):
    monkeypatch.setattr(views, "MOST_TERMS", 7)
    found = client.post("/api/terms", json=request(layer="dense_1", index=[2])).json()
    products = array(found["factors"]).astype(np.float64) * array(found["weights"])
    assert len(products) == 7
    assert products.sum() + found["others"]["sum"] + found["bias"] == pytest.approx(found["value"], abs=1e-5)
    assert found["others"]["count"] == 6 * 6 * 4 - 7


def test_the_pixels_that_matter(client, model):
    for kind, expected in (
        ({"kind": "saliency", "label": 2}, saliency(model, IMAGE, 2)),
        ({"kind": "occlusion", "label": 2}, occlusion(model, IMAGE, 2)),
        (
            {"kind": "contributions", "layer": "conv2d_1", "index": [3, 4, 1]},
            contributions(model, IMAGE, "conv2d_1", (3, 4, 1)).sum(axis=-1),
        ),
    ):
        found = array(client.post("/api/pixels", json=request(**kind)).json())
        np.testing.assert_allclose(found, expected, atol=1e-6)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_picture_is_prepared(client):
    """As `prepare_digit` does it, each step; beside it what the network would see without."""
    digit = load_mnist()[1][0][0]
    canvas = np.zeros((280, 280), np.uint8)
    canvas[10:94, 10:94] = np.kron(digit, np.ones((3, 3), np.uint8))  # small, in a corner
    found = client.post("/api/picture", content=png(canvas)).json()
    np.testing.assert_array_equal(array(found["prepared"]), prepare_digit(canvas))
    np.testing.assert_allclose(
        array(found["drawn"])[..., 0], canvas.reshape(28, 10, 28, 10).mean((1, 3)) / 255, atol=1 / 255
    )
    assert list(found["steps"])[:4] == ["photo", "grey", "background", "ink"]
    assert found["warnings"]["drawn"] != []
    assert found["warnings"]["prepared"] == []
    empty = client.post("/api/picture", content=png(np.zeros((50, 50), np.uint8))).json()
    assert "expected a digit" in empty["problem"]
    assert "prepared" not in empty


def test_pictures_for_a_model_of_colours():
    """They are reduced to its shape; nothing is prepared."""
    model = network((12, 10, 3))
    pixels = rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
    found = Client(make_app(Site(Film(model)), [HOST]), HOST).post("/api/picture", content=png(pixels)).json()
    expected = pixels.reshape(12, 2, 10, 2, 3).mean((1, 3)) / 255
    np.testing.assert_allclose(array(found["drawn"]), expected, atol=1 / 255)
    assert "prepared" not in found
    flat = Sequential([Dense(3)], seed=0, input_shape=(4,))
    with pytest.raises(ValueError, match="expected a model for images of 1 or 3 channels"):
        views.prepared(png(pixels), flat)


WRONG = [
    ("/api/look", b"{", "body: expected JSON"),
    ("/api/look", b"[1]", "body: expected an object, received list"),
    ("/api/look", b"{}", "image: expected an array of shape"),
    ("/api/look", {"image": {"shape": [28, 28, 1], "data": "!"}}, "image: expected data in base64"),
    (
        "/api/look",
        {"image": {"shape": [28, 28, 1], "data": "AAAA"}},
        "image: expected 3136 bytes, received 3",
    ),
    ("/api/look", {"image": {"shape": [9, 9, 1], "data": ""}}, "image: expected an array of shape"),
    ("/api/look", {"image": views.encoded(np.full((28, 28, 1), np.nan))}, "image: expected finite"),
    ("/api/look", request(label=5), "label: expected a class below 5, received 5"),
    ("/api/look", request(label="5"), "label: expected a whole number"),
    ("/api/look", request(frame=0), "frame: expected a number below 0"),
    ("/api/terms", request(layer="conv2d_1"), "index: expected a list"),
    ("/api/terms", request(layer="conv2d_1", index=[0] * 9), "index: expected a list"),
    ("/api/terms", request(layer="conv2d_1", index=[0, 0]), "index: expected one inside of shape"),
    ("/api/terms", request(layer="conv2d_1", index=[99, 0, 0]), "index: expected one inside of shape"),
    ("/api/terms", request(layer="conv2d_7", index=[0, 0, 0]), "layer: expected one of conv2d_1"),
    ("/api/terms", request(layer=3, index=[0, 0, 0]), "layer: expected"),
    ("/api/terms", request(layer="conv2d_1", index=[0, 0, 0], part="x"), "part: expected 'sums'"),
    ("/api/terms", request(layer="conv2d_1", index=[0, 0, 0], part="gradient"), "trace with a label"),
    ("/api/pixels", request(kind="x"), "kind: expected 'saliency'"),
    ("/api/pixels", request(kind="saliency"), "label: expected the class"),
    ("/api/pixels", request(), "kind: expected"),
    ("/api/terms", request(layer="\ud800", index=[0, 0, 0]), "layer: expected one of conv2d_1"),
    ("/api/weights", {"frame": 3}, "frame: expected a number below 0"),
    ("/api/weights", b"[" * 100_000, "body: expected JSON"),
    ("/api/example", {"number": -1}, "examples: expected"),
    ("/api/predict", {}, "image: expected"),
    ("/api/picture", b"no picture", "picture: expected an image file"),
    ("/api/picture", b"", "picture: expected an image file"),
]


@pytest.mark.parametrize(("path", "body", "message"), WRONG)
def test_wrong_requests(client, path, body, message):
    """400, with the reason; the server goes on."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post(path, content=content)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert client.get("/api/model").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": f"http://{HOST}"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "evil.example"}, 421),  # DNS rebinding
        ({"Host": "127.0.0.1:8001"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": f"https://{HOST}"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Length": "-5"}, 400),
        ({"Content-Length": "99999999999999999999"}, 413),
    ],
)
def test_only_the_page_itself_may_ask(client, headers, status):
    answer = client.get("/api/model", headers=headers)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_bodies_have_a_limit(client):
    """By their header, and by what comes, whatever the header says."""
    assert client.post("/api/picture", content=b"x" * (guard.MOST_BYTES + 1)).status_code == 413
    assert client.post("/api/picture", content=[b"x" * 1_000_000] * 9).status_code == 413
    assert client.post("/api/picture", content=b"x" * 1000).status_code == 400


def test_paths_and_methods(client):
    assert client.get("/api/nothing").status_code == 404
    assert client.get("/api/look").status_code == 405
    assert client.get("/page/../app.py").status_code == 404
    assert client.get("/page/%2e%2e/app.py").status_code == 404


def test_a_film(tmp_path, model):
    """By epochs, whatever the names; of other layers and damaged files none."""
    for name, epochs in (("b.npz", 3), ("a.h5", 7), ("c.npz", 1)):
        kept = network(seed=epochs)
        kept.epochs_trained = epochs
        kept.save(tmp_path / name)
    network((12, 10, 3)).save(tmp_path / "other.npz")
    (tmp_path / "damaged.h5").write_bytes(b"no model")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "link.npz").symlink_to(tmp_path / "nowhere")
    film = Film(model, tmp_path)
    assert [(frame.path.name, frame.epochs) for frame in film.frames] == [
        ("c.npz", 1),
        ("b.npz", 3),
        ("a.h5", 7),
    ]
    assert sorted(film.skipped) == ["damaged.h5", "folder.npz", "link.npz", "other.npz"]
    client = Client(make_app(Site(film), [HOST]), HOST)
    frames = client.get("/api/model").json()["frames"]
    assert frames[1] == {"name": "b.npz", "epochs": 3, "steps": 0}
    for frame, seed in ((0, 1), (2, 7), (None, 0)):
        found = client.post("/api/look", json=request(frame=frame)).json()
        np.testing.assert_allclose(found["output"], network(seed=seed)(IMAGE[np.newaxis])[0], atol=1e-6)
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match="expected"):
            Film(model, folder)
        with pytest.raises(FileNotFoundError, match="expected"):
            Film(None, folder)


def test_frames_are_ordered_by_steps(tmp_path):
    """Then by name, numbers in it as numbers; a step that was saved twice is one frame."""
    steps = {"epoch_10.npz": 0, "epoch_9.npz": 0, "x.npz": 30, "checkpoint.npz": 30, "a.npz": 400}
    for name, count in steps.items():
        kept = network(seed=count)
        kept.steps_trained = count
        kept.save(tmp_path / name)
    film = Film(None, tmp_path)
    names = [frame.path.name for frame in film.frames]
    assert names == ["epoch_9.npz", "epoch_10.npz", "x.npz", "a.npz"]
    assert film.model.seed == 400  # the page begins with the last
    assert film.skipped == []


def test_a_model_that_keras_trained_has_the_steps_of_its_optimizer(tmp_path):
    for name, iterations in (("late.h5", 50), ("soon.h5", 7)):
        kept = network()
        kept.compile("adam", "sparse_categorical_crossentropy")
        kept.optimizer.iterations = iterations
        kept.save(tmp_path / name)
    film = Film(None, tmp_path)
    assert [(frame.path.name, frame.steps) for frame in film.frames] == [("soon.h5", 7), ("late.h5", 50)]


def test_kernels_as_bytes(client, model):
    """Of layers that have one; a very large one is left out."""
    found = {
        layer["name"]: layer["kernel"] for layer in client.post("/api/weights", json={}).json()["layers"]
    }
    assert list(found) == [layer.name for layer in model.layers]
    assert [name for name, kernel in found.items() if kernel] == ["conv2d_1", "dense_1"]
    kernel = model.layers[0].params["kernel"]
    drawn = from_bytes(found["conv2d_1"])
    np.testing.assert_allclose(drawn, kernel, atol=(kernel.max() - kernel.min()) / 255)


def test_a_large_kernel_is_left_out(client, monkeypatch):
    monkeypatch.setattr(views, "MOST_WEIGHTS", 24)
    layers = client.post("/api/weights", json={}).json()["layers"]
    assert [layer["name"] for layer in layers if layer["kernel"]] == ["conv2d_1"]  # 3 x 2 x 1 x 4


def test_confusion_and_examples(tmp_path):
    """Counted on the examples by the model of a frame; without examples, 400."""
    for seed in (1, 2):
        kept = network(seed=seed)
        kept.steps_trained = seed
        kept.save(tmp_path / f"{seed}.npz")
    images, classes = rng.random((23, 28, 28, 1)).astype(np.float32), rng.integers(0, 5, 23)
    site = Site(Film(None, tmp_path), views.Examples(images, classes))
    client = Client(make_app(site, [HOST]), HOST)
    assert client.get("/api/model").json()["examples"] == 23
    for frame in (0, 1, 0):
        found = client.post("/api/confusion", json={"frame": frame}).json()
        expected = np.zeros((5, 5), int)
        np.add.at(expected, (classes, network(seed=frame + 1)(images).argmax(1)), 1)
        assert found == {"matrix": expected.tolist(), "images": 23, "correct": int(np.trace(expected))}
    found = client.post("/api/example", json={"number": 23 + 4}).json()
    np.testing.assert_array_equal(array(found["image"]), images[4])
    assert found["class"] == classes[4]
    for name in ("confusion", "example"):
        answer = Client(make_app(Site(Film(network())), [HOST]), HOST).post(
            f"/api/{name}", json={"number": 0}
        )
        assert answer.status_code == 400
        assert "examples: expected" in answer.json()["error"]


def test_the_output_alone(client, model):
    found = client.post("/api/predict", json=request()).json()
    np.testing.assert_allclose(found["output"], model(IMAGE[np.newaxis])[0], atol=1e-6)


def test_numbers_that_are_not_finite(model):
    """400 and the reason, not a number that JSON has no word for."""
    broken = network()
    broken.layers[0].params["kernel"][...] = np.nan
    client = Client(make_app(Site(Film(broken)), [HOST]), HOST)
    for body in (request(), request(label=1)):
        answer = client.post("/api/look", json=body)
        assert answer.status_code == 400
        assert "expected finite ones, received NaN or infinity" in answer.json()["error"]


def test_a_frame_whose_file_has_gone(tmp_path):
    network().save(tmp_path / "a.npz")
    client = Client(make_app(Site(Film(None, tmp_path)), [HOST]), HOST)
    (tmp_path / "a.npz").unlink()
    answer = client.post("/api/weights", json={"frame": 0})
    assert answer.status_code == 400
    assert "a.npz" in answer.json()["error"]


def test_a_link_on_another_site_opens_the_page(client):
    """A visit alone: nothing is read, and no other path is opened."""
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=visit).status_code == 200
    assert client.get("/api/model", headers=visit).status_code == 403
    assert client.get("/", headers=visit | {"Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert client.get("/", headers=visit | {"Origin": "http://evil.example"}).status_code == 403


def test_the_page_knows_what_outputs_are():
    """Probabilities, or numbers; an output that is not flat is refused."""
    for last, expected in (("softmax", True), ("sigmoid", True), (None, False), ("relu", False)):
        model = Sequential([Flatten(), Dense(3, activation=last)], seed=0, input_shape=(9, 8, 1))
        assert views.description(model)["probabilities"] is expected
    maps = Sequential([Conv2D(3, 2)], seed=0, input_shape=(9, 8, 1))
    with pytest.raises(ValueError, match=r"expected a flat output, received \(8, 7, 3\)"):
        views.check_model(maps)


def test_occlusion_of_both_classes_of_a_single_probability():
    """Class 0 gains what class 1 loses; there is no third."""
    layers = [Conv2D(2, 3, activation="relu"), Flatten(), Dense(1, activation="sigmoid")]
    model = Sequential(layers, seed=1, input_shape=(28, 28, 1))
    client = Client(make_app(Site(Film(model)), [HOST]), HOST)
    lost = occlusion(model, IMAGE, 0)
    for label, sign in ((1, 1), (0, -1)):
        found = client.post("/api/pixels", json=request(kind="occlusion", label=label)).json()
        np.testing.assert_allclose(array(found), sign * lost, atol=1e-6)
    answer = client.post("/api/pixels", json=request(kind="occlusion", label=2))
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "label: expected a class below 2, received 2",
    )
