"""`summary`, `inspect` and `explain`: what is printed, and the same as JSON."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tests.cli.test_output import Terminal
from tests.examples.small_mnist import small_network
from tinycnn import kernels
from tinycnn.inspection import plot_network

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def run_folder(tmp_path):
    """The folder of a run of two epochs, with the options that `tinycnn train` keeps."""
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 28, 28, 1), np.float32), rng.integers(0, 10, 20)
    network = small_network(None, seed=4)
    network.compile("adam", metrics=["accuracy"])
    for epochs in (1, 2):  # the second call leaves a previous checkpoint
        network.fit(x, y, batch_size=8, epochs=epochs, verbose=0, checkpoint=tmp_path / "run")
    (tmp_path / "run" / "settings.json").write_text('{"recipe": "fast", "seed": 4, "epochs": null}')
    return tmp_path / "run"


def test_summary_of_the_network_of_the_package(call):
    done = call("summary")
    golden = (GOLDEN / "mnist_cnn_summary.txt").read_text(encoding="utf-8")
    assert done.err == ""
    assert done.status == 0
    assert [line.rstrip() for line in done.out.splitlines()] == [x.rstrip() for x in golden.splitlines()]


def test_summary_as_json(call, model):
    done = call("summary", "model.h5", "--json")
    assert (done.status, done.err) == (0, "")
    layers = done.json["layers"]
    assert [layer["name"] for layer in layers] == [layer.name for layer in model]
    assert [layer["output_shape"] for layer in layers] == [[9, 9, 4], [3, 3, 4], [3, 3, 4], [36], [10]]
    assert [layer["parameters"] for layer in layers] == [40, 0, 0, 0, 370]
    assert layers[0]["weights"] == {"kernel": [3, 3, 1, 4], "bias": [4]}
    assert done.json["parameters"] == done.json["trainable_parameters"] == 410


def test_costs(call, model, monkeypatch):
    """As a table and as JSON, with the batch size that was asked for."""
    monkeypatch.setenv("TINYCNN_ALGORITHM", "im2col")  # nothing is compiled
    done = call("summary", "model.h5", "--cost", "--batch-size", "3")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("layer ")
    assert "a training pass of\n3 images" in done.out
    done = call("summary", "model.h5", "--cost", "--json")
    assert done.json["batch_size"] == 32
    assert [cost["macs"] for cost in done.json["costs"]] == [9 * 9 * 4 * 9, 0, 0, 0, 360, 3276]
    assert [cost["receptive_field"] for cost in done.json["costs"]][-1] == [27, 27]
    assert call("summary", "--cost", "--batch-size", "0").status == 2


def test_a_picture(call, model, tmp_path):
    """Beside the table, or beside JSON; another format is an error."""
    for name, options in (("a.svg", []), ("b.svg", ["--json"])):
        done = call("summary", "model.h5", "--svg", name, *options)
        assert (done.status, done.err) == (0, f"tinycnn: wrote {name}; open it in a browser\n")
        assert (tmp_path / name).read_text(encoding="utf-8") == f"{plot_network(model)}\n"
    assert done.json["parameters"] == 410
    done = call("summary", "model.h5", "--svg", "c.png")
    assert (done.status, done.out) == (1, "")
    assert "expected a file name ending in .svg, received 'c.png'" in done.err


def test_a_file_is_preferred_to_the_network_of_the_package(call, model, tmp_path, run_folder):
    """A folder of this name too: it may hold a checkpoint."""
    run_folder.rename(tmp_path / "mnist_cnn")
    assert call("summary", "--json").json["parameters"] == 410


def test_summary_fits_a_narrow_terminal(call, monkeypatch, model):
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((50, 24)))
    assert call("summary", "model.h5").status == 0
    assert call("explain", "model.h5").status == 0
    assert call("inspect", "model.h5").status == 0
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines[:15])) == 50
    assert len(lines) > 40


def test_inspect_a_model(call, model, tmp_path):
    model.compile("sgd", "categorical_crossentropy", ["accuracy"])
    model.epochs_trained, model.steps_trained = 3, 77
    model[0].trainable = False
    model[-1].params["bias"][3] = np.nan
    model.save(tmp_path / "model.h5")
    facts = call("inspect", "model.h5", "--json").json
    expected = {
        "file": "model.h5",
        "bytes": (tmp_path / "model.h5").stat().st_size,
        "writer": "tinycnn",
        "backend": "tensorflow",
        "name": "sequential",
        "input_shape": [28, 28, 1],
        "dtype": "float32",
        "seed": 4,
        "parameters": 410,
        "trainable_parameters": 370,
        "not_finite": 1,
        "optimizer": repr(model.optimizer),
        "slots": [],
        "loss": "categorical_crossentropy",
        "metrics": ["accuracy"],
        "epochs_trained": 3,
        "steps_trained": 77,
        "checkpoint": None,
    }
    assert {name: facts[name] for name in expected} == expected
    done = call("inspect", "model.h5")
    assert (done.status, done.err) == (0, "")
    for words in ("Written by     tinycnn, for Keras", "410, 370 of them trainable", "40 (not trainable)"):
        assert words in done.out
    assert "1 weights are NaN or infinite" in done.out


@pytest.mark.parametrize(
    ("name", "version"), [("small_keras2.h5", "2."), ("small_keras3.h5", "3."), ("small_keras3.npz", None)]
)
@pytest.mark.filterwarnings("ignore")
def test_inspect_says_who_wrote_a_file(call, name, version):
    """The .npz files hold what Keras predicts, not models."""
    done = call("inspect", GOLDEN / name, "--json")
    if version is None:
        assert (done.status, done.out) == (1, "")
        assert "cannot be loaded" in done.err
        return
    assert (done.status, done.json["writer"]) == (0, "Keras")
    assert done.json["keras_version"].startswith(version)
    assert f"Keras, version {version}" in call("inspect", GOLDEN / name).out


def test_inspect_a_checkpoint(call, run_folder):
    done = call("inspect", "run", "--json")
    assert (done.status, done.err) == (0, "")
    checkpoint = done.json["checkpoint"]
    assert (checkpoint["batches"], checkpoint["ended"]) == (0, False)
    assert sorted(checkpoint["last_epoch"]) == ["accuracy", "loss"]
    assert checkpoint["options"] == {"recipe": "fast", "seed": 4, "epochs": None}
    assert (done.json["epochs_trained"], done.json["slots"]) == (2, ["momentum", "velocity"])
    text = call("inspect", "run").out
    assert "Options        recipe fast, seed 4\n" in text
    assert call("inspect", run_folder / "checkpoint.npz", "--json").json["checkpoint"] == checkpoint


def test_inspect_the_network_of_the_package(call):
    facts = call("inspect", "mnist_cnn", "--json").json
    assert (facts["parameters"], facts["epochs_trained"], facts["optimizer"]) == (1_003_658, 30, None)


def test_a_damaged_checkpoint_names_the_one_before(call, run_folder):
    path = run_folder / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-100])
    done = call("inspect", "run")
    assert (done.status, done.out) == (1, "")
    first, second = done.err.splitlines()
    assert first == "tinycnn: the checkpoint before this one may be whole: run/checkpoint.previous.npz"
    assert second.startswith("tinycnn: error: run/checkpoint.npz: cannot be loaded")
    assert call("inspect", "run/checkpoint.previous.npz").status == 0


@pytest.mark.parametrize("suffix", [".h5", ".npz"])
@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"no model", bytes(5000)])
def test_a_damaged_file_is_the_librarys_error(call, tmp_path, suffix, content):
    (tmp_path / f"bad{suffix}").write_bytes(content)
    for command in ("inspect", "summary", "explain"):
        done = call(command, f"bad{suffix}", "--json")
        assert (done.status, done.out) == (1, "")
        assert done.err.startswith(f"tinycnn: error: bad{suffix}: cannot be loaded: ")
        assert done.err.count("\n") == 1


def test_names_in_a_file_cannot_command_the_terminal(call, tmp_path):
    layers = [tinycnn.layers.Flatten(name="\x1b[2J"), tinycnn.layers.Dense(2, "softmax", name="dense\nline")]
    tinycnn.Sequential(layers, input_shape=(3, 2, 1), name="\x07bell").save(tmp_path / "model.npz")
    for command in ("inspect", "summary", "explain"):
        done = call(command, "model.npz")
        assert done.status == 0
        assert "\x1b" not in done.out
        assert "\x07" not in done.out


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("keras_version", np.arange(5)), ("backend", ["a", "b"]), ("backend", np.zeros((3, 2), np.uint8))],
)
def test_a_hostile_attribute_is_refused(call, model, tmp_path, attribute, value):
    import h5py

    with h5py.File(tmp_path / "model.h5", "r+") as file:
        del file.attrs[attribute]
        file.attrs[attribute] = value
    done = call("inspect", "model.h5")
    assert (done.status, done.out) == (1, "")
    assert f"{attribute}: expected text, received" in done.err


def test_explain_is_the_table_of_the_library(call, capsys, monkeypatch):
    monkeypatch.delenv("TINYCNN_ALGORITHM", raising=False)
    done = call("explain")
    network = tinycnn.load_pretrained("mnist_cnn")
    network.compile()
    assert done == (0, kernels.explain(network) + "\n", "")
    rows = call("explain", "--json", "--layer-by-layer").json["rows"]
    assert rows[0] == {
        "layer": "conv2d_1",
        "pass": "forward",
        "algorithm": "direct",
        "why": "1 to 32 channels: too few for winograd",
    }
    assert "sparse" in {row["algorithm"] for row in call("explain", "--json").json["rows"]}
    assert "sparse" not in {row["algorithm"] for row in rows}


def test_json_of_every_description_is_one_object(call, model):
    for command in ("inspect", "summary", "explain"):
        assert isinstance(json.loads(call(command, "model.h5", "--json").out), dict)
