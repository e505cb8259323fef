"""Each benchmark from its command line to its file, on very little work."""

import json
import subprocess
import sys
from pathlib import Path

import augmentation
import conv
import inference
import numpy as np
import pytest
import scaling
import training
from cases import LAYERS

BENCHMARKS = Path(conv.__file__).parent
PROGRAMS = {"conv": conv, "scaling": scaling, "training": training}
PEERS_REASON = "the peers extra is not installed"


def tables_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["tables"]


def in_subprocess(name, *options, folder):
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_conv(tmp_path, quick_machine, capsys):
    """All passes of one layer: figures that fit each other, and a picture."""
    options = ["--rounds", "1", "--batch-size", "2", "--layers", "conv2", "--algorithms", "im2col,direct"]
    files = ["--json", str(tmp_path / "c.json"), "--roofline", str(tmp_path / "c.png")]
    assert conv.main([*options, *files, "--threads", "1"]) == 0
    (table,) = tables_of(tmp_path / "c.json")
    assert [(row["pass"], row["who"]) for row in table["rows"]] == [
        ("forward", "im2col"),
        ("forward", "direct"),
        ("input gradient", "im2col"),
        ("input gradient", "direct"),
        ("input gradient", "sparse"),
        ("filter gradient", "im2col"),
        ("filter gradient", "direct"),
        ("filter gradient", "sparse"),
    ]
    for row in table["rows"]:
        assert 0 < row["error"] < 5e-6
        assert row["GFLOP/s"] * row["ms"] == pytest.approx(2 * 2 * 10.616832)
        assert row["of FMA"] == pytest.approx(row["GFLOP/s"] / 200)
        assert row["of memory"] == pytest.approx(row["GB/s"] / 40)
        assert row["GFLOP/s"] / row["GB/s"] == pytest.approx(row["FLOP/byte"])
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 120


@pytest.mark.slow
def test_conv_with_a_kernel_of_ones_own(tmp_path, quick_machine, capsys):
    """The example is right everywhere, and stands in the table."""
    options = ["--rounds", "1", "--batch-size", "1", "--algorithms", "", "--json", str(tmp_path / "c.json")]
    assert conv.main([*options, "--mine", str(BENCHMARKS / "example_kernel.py")]) == 0
    rows = tables_of(tmp_path / "c.json")[0]["rows"]
    assert [(row["layer"], row["pass"]) for row in rows] == [(f"conv{i}", "forward") for i in range(1, 5)]
    assert {row["who"] for row in rows} == {"example_kernel.py"}
    assert ", 0 shapes wrong" in capsys.readouterr().out


def test_conv_does_not_time_what_is_wrong(tmp_path, quick_machine, capsys):
    """A row with the reason, no time, and a status that scripts see; a refusal alone is no failure."""
    path = tmp_path / "kernel.py"
    path.write_text(
        "import numpy as np\n"
        "def conv2d(x, w, b=None, *how, **names):\n"
        "    raise ValueError('not today')\n"
        "def conv2d_grad_filter(x, dy, w_shape, *how, **names):\n"
        "    return np.zeros(w_shape, x.dtype)\n"
    )
    options = ["--rounds", "1", "--batch-size", "1", "--algorithms", "", "--layers", "conv1"]
    options += ["--json", str(tmp_path / "c.json"), "--mine", str(path)]
    assert conv.main(options) == 1
    rows = tables_of(tmp_path / "c.json")[0]["rows"]
    assert [row["reason"][:8] for row in rows] == ["refused:", "wrong: r"]
    assert not any("ms" in row for row in rows)
    text = path.read_text(encoding="utf-8").partition("def conv2d_grad_filter")[0]
    path.write_text(text, encoding="utf-8")
    assert conv.main(options) == 0


def test_the_faster_memory_format_stays():
    """And nobody else is left out."""
    rows = [
        {"who": who, "ms": ms} for who, ms in (("a", 9), ("torch", 3), ("torch channels_last", 2), ("b", 1))
    ]
    assert [row["who"] for row in conv.better_format(rows)] == ["a", "torch channels_last", "b"]


@pytest.mark.slow
def test_training(tmp_path, quick_machine):
    """Two batch sizes of small colour images, and memory in a process of its own."""
    options = ["--rounds", "1", "--batch-size", "2,3", "--image-size", "14x13x3", "--memory"]
    training.main([*options, "--memory-steps", "1", "--json", str(tmp_path / "t.json")])
    steps, memory = tables_of(tmp_path / "t.json")
    assert [row["batch"] for row in steps["rows"]] == [2, 3]
    for row in steps["rows"]:
        assert row["images/s"] == pytest.approx(1e3 * row["batch"] / row["ms"])
    (row,) = memory["rows"]
    assert 10 < row["before MiB"] < row["peak MiB"]
    assert row["growth MiB"] == pytest.approx(row["peak MiB"] - row["before MiB"])


@pytest.mark.slow
def test_augmentation(tmp_path, quick_machine):
    """Each recipe that has some, and all kinds at once, as shares of a step."""
    augmentation.main(["--rounds", "1", "--batch-size", "3", "--json", str(tmp_path / "a.json")])
    (table,) = tables_of(tmp_path / "a.json")
    step, *rows = table["rows"]
    assert [row["what"] for row in rows] == ["fast", "best", "fashion", "best, all bent and erased"]
    for row in rows:
        assert row["of a step"] == pytest.approx(row["ms"] / step["ms"])


@pytest.mark.slow
def test_inference(tmp_path, quick_machine):
    """A batch, and single images with their 99th percentile."""
    inference.main(["--rounds", "1", "--batch-size", "2", "--json", str(tmp_path / "i.json")])
    batches, single = tables_of(tmp_path / "i.json")
    assert [(row["batch"], row["ratio"]) for row in batches["rows"]] == [(2, 1)]
    (row,) = single["rows"]
    assert row["ms 10 %"] <= row["ms"] <= row["ms 90 %"] <= row["ms 99 %"]


@pytest.mark.slow
def test_scaling(tmp_path, quick_machine, monkeypatch):
    """Every part, and the picture."""
    monkeypatch.setattr(scaling, "WORK", scaling.WORK[:2])
    monkeypatch.setattr(scaling, "CHANNELS", (1, 3))
    monkeypatch.setattr(scaling, "TURN", 1e-5)
    options = ["--rounds", "1", "--batch-size", "2", "--image-size", "14x13x3", "--image-batch", "2"]
    files = ["--json", str(tmp_path / "s.json"), "--plot", str(tmp_path / "s.png")]
    scaling.main([*options, *files])
    steps, images, channels, crossing = tables_of(tmp_path / "s.json")
    for table in (steps, images, channels):
        assert table["rows"][0]["speed-up"] == 1
    assert images["rows"][0]["images of"] == "14x13x3"
    assert [row["MFLOP"] for row in crossing["rows"]] == sorted(row["MFLOP"] for row in crossing["rows"])
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("training", ["--peers", "jax"], "--peers: expected names of torch, keras, received 'jax'"),
        ("training", ["--image-size", "5x5x1"], "--image-size: too small for the network"),
        ("conv", ["--mine", "nowhere.py"], "--mine: expected a Python file, received 'nowhere.py'"),
        (
            "conv",
            ["--layers", "conv5"],
            "--layers: expected names of conv1, conv2, conv3, conv4, depthwise1, ",
        ),
        ("scaling", ["--json", "nowhere/s.json"], "--json: expected a folder that exists"),
    ],
)
def test_wrong_input_is_answered_with_a_sentence(tmp_path, monkeypatch, capsys, name, options, message):
    """No traceback, nothing written, a status that scripts see."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        PROGRAMS[name].main(options)
    assert stop.value.code not in (0, None)
    assert message in f"{stop.value.code}{capsys.readouterr().err}"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("size", ["28x28x1", "15x22x3"])
def test_all_peers_predict_the_same(tmp_path, size):
    """The program itself stops unless they do; images that are not square show an axis that was mixed up."""
    for peer in ("torch", "keras", "onnxruntime"):
        pytest.importorskip(peer, reason=PEERS_REASON)
    options = [
        "--peers",
        "torch,keras,onnxruntime",
        "--rounds",
        "1",
        "--batch-size",
        "3",
        "--image-size",
        size,
    ]
    done = in_subprocess("inference", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "All 5 predict the same" in done.stdout
    batches, single = tables_of(tmp_path / "inference.json")
    assert len(batches["rows"]) == len(single["rows"]) == 5


@pytest.mark.slow
def test_training_beside_the_peers(tmp_path):
    """Steps and memory of all of them."""
    for peer in ("torch", "keras"):
        pytest.importorskip(peer, reason=PEERS_REASON)
    options = [
        "--peers",
        "torch,keras",
        "--rounds",
        "1",
        "--batch-size",
        "3",
        "--memory",
        "--memory-steps",
        "1",
    ]
    done = in_subprocess("training", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [len(table["rows"]) for table in tables_of(tmp_path / "training.json")] == [4, 4]


@pytest.mark.slow
def test_convolutions_of_the_peers_are_right(tmp_path):
    """Every pass of every layer: one that is wrong has no time."""
    for peer in ("torch", "onnxruntime"):
        pytest.importorskip(peer, reason=PEERS_REASON)
    options = ["--peers", "torch,onnxruntime", "--rounds", "1", "--batch-size", "3", "--algorithms", ""]
    options += ["--layers", ",".join(LAYERS)]
    done = in_subprocess("conv", *options, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = tables_of(tmp_path / "conv.json")[0]["rows"]
    assert len(rows) == 8 * (2 + 1 + 1)
    assert all(np.isfinite(row["ms"]) for row in rows)


@pytest.mark.slow
def test_recipe(tmp_path):
    """Both train, and both learn; compiling takes longer."""
    pytest.importorskip("torch", reason=PEERS_REASON)
    options = ["--rounds", "1", "--epochs", "1", "--limit", "2560", "--json", "r.json"]
    done = in_subprocess("recipe", *options, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (table,) = tables_of(tmp_path / "r.json")
    ours, cold, torch = table["rows"]
    assert cold["s"] > ours["s"]
    for row in (ours, cold, torch):
        assert 0.5 < row["val accuracy"] < 1
    assert torch["times tinycnn"] == pytest.approx(torch["s"] / ours["s"])


@pytest.mark.slow
def test_accuracy(tmp_path):
    """A line for each seed, the same ones when it goes on after a stop; the errors are those of the model."""
    import accuracy

    import tinycnn
    from tinycnn.datasets import load_mnist, scale_images, write_idx

    for name, (images, labels), count in zip(("train", "t10k"), load_mnist(), (300, 70), strict=True):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte", images[:count])
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", labels[:count])
    options = ["--recipe", "fast", "--epochs", "1", "--data", str(tmp_path), "--work", str(tmp_path / "work")]
    for seeds in ("1", "2"):
        accuracy.main([*options, "--seeds", seeds, "--out", str(tmp_path)])
    lines = (tmp_path / "fast.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",") == accuracy.COLUMNS
    x, y = load_mnist(tmp_path)[1]
    for seed, line in enumerate(lines[1:]):
        row = dict(zip(accuracy.COLUMNS, line.split(","), strict=True))
        model = tinycnn.load_model(tmp_path / "work" / f"fast-{seed}" / "model.h5")
        wrong = model.predict(scale_images(x)).argmax(axis=1) != y
        assert (model.seed, int(row["seed"])) == (seed, seed)
        assert int(row["test_errors"]) == wrong.sum() == int(row["first_half"]) + int(row["second_half"])
        assert 0 <= int(row["val_errors"]) <= 30
    assert len(lines) == 3
    assert row["options"] == f"--data {tmp_path.name} --epochs 1"
    with pytest.raises(SystemExit, match=r"fast\.csv has runs with other options: give another --out"):
        accuracy.main([*options, "--epochs", "2", "--out", str(tmp_path)])
    (tmp_path / "fast.csv").unlink()
    with pytest.raises(SystemExit, match="fast-0 has a run with other options: give another --work"):
        accuracy.main([*options, "--epochs", "2", "--out", str(tmp_path)])


def test_accuracy_summary():
    """By hand: 1 % and 3 % of errors in 200 images."""
    import accuracy

    assert accuracy.summary([2, 6], 200) == "2 seeds: mean 98.000 %, sd 1.414, min 97.00, max 99.00"
    assert accuracy.summary([2], 200).startswith("1 seeds: mean 99.000 %, sd 0.000")
