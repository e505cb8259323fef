"""`convert`: a model in another format, and what is refused."""

import numpy as np
import pytest

import tinycnn
from tinycnn.cli import convert


def test_a_converted_model_is_the_same(call, model, tmp_path):
    done = call("convert", "model.h5", "model.npz")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "Read back  predictions differ by 0.0e+00 at most"
    for weight, expected in zip(
        tinycnn.load_model("model.npz").get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(weight, expected)


def test_weights_alone_and_json(call, model, tmp_path):
    done = call("convert", "model.h5", "model.weights.h5", "--json")
    assert done.json == {
        "file": "model.weights.h5",
        "bytes": (tmp_path / "model.weights.h5").stat().st_size,
        "difference": 0.0,
    }


def test_a_suffix_of_pytorch_in_capitals(call, model):
    """It means the same, as in `save_weights`; where PyTorch is missing, the error says so."""
    done = call("convert", "model.h5", "model.PT")
    assert done.status == 0 or "need PyTorch" in done.err


@pytest.mark.parametrize(("options", "moments"), [((), True), (("--no-optimizer",), False)])
def test_the_optimizer_comes_along_unless_it_is_left_out(call, model, options, moments):
    model.compile("adam")
    model.save("model.h5")
    assert call("convert", "model.h5", "model.npz", *options).status == 0
    assert (tinycnn.load_model("model.npz").optimizer is not None) is moments


def test_an_existing_file_is_kept(call, model, tmp_path):
    (tmp_path / "model.npz").write_bytes(b"mine")
    done = call("convert", "model.h5", "model.npz")
    assert (done.status, done.out) == (2, "")
    assert "model.npz: expected a new file, found one" in done.err
    assert (tmp_path / "model.npz").read_bytes() == b"mine"
    assert call("convert", "model.h5", "model.npz", "--overwrite").status == 0


@pytest.mark.parametrize(
    ("out", "words"), [("model.xyz", "expected a file name ending in"), ("no/m.npz", "no")]
)
def test_a_file_that_cannot_be_written(call, model, out, words):
    done = call("convert", "model.h5", out)
    assert (done.status, done.out) == (1, "")
    assert words in done.err


def test_a_file_that_is_read_back_otherwise_is_an_error(call, model, monkeypatch):
    monkeypatch.setattr(convert, "largest_difference", lambda model, other: 0.5)
    done = call("convert", "model.h5", "model.npz")
    assert done.status == 1
    assert "they differ by 5.0e-01" in done.err


def test_the_difference_is_relative_to_the_largest_output(model):
    other = tinycnn.Sequential.from_config(model.get_config())
    other.set_weights([2 * weight for weight in model.get_weights()])
    x = np.random.default_rng(0).random((4, *model.input_shape)).astype(np.float32)
    expected, received = model.predict(x, verbose=0), other.predict(x, verbose=0)
    scale = max(1.0, np.abs(expected).max())
    assert convert.largest_difference(model, other) == pytest.approx(
        np.abs(expected - received).max() / scale
    )


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ((), [28, 28, 1]),
        (("--data-format", "channels_last"), [28, 28, 1]),
        (("--data-format", "channels_first"), [1, 28, 28]),
    ],
)
def test_onnx_with_images_in_either_order(call, model, options, shape):
    onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")
    assert call("convert", "model.h5", "model.onnx", *options).status == 0
    sizes = onnx.load("model.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [size.dim_value for size in sizes][1:] == shape


def test_an_order_of_axes_is_for_onnx(call, model, tmp_path):
    done = call("convert", "model.h5", "model.npz", "--data-format", "channels_first")
    assert done.status == 2
    assert "--data-format: expected a file OUT that ends in .onnx" in done.err
    assert not (tmp_path / "model.npz").exists()
