"""The examples run as a newcomer runs them, and answer wrong input with a sentence."""

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tinycnn.datasets import load_mnist, scale_images, write_idx

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments, folder):
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    """A data set in MNIST's format: 300 and 70 of its images, in the other spelling, without gzip."""
    folder = tmp_path_factory.mktemp("data")
    for name, (images, labels), count in zip(("train", "t10k"), load_mnist(), (300, 70), strict=True):
        write_idx(folder / f"{name}-images.idx3-ubyte", images[:count])
        write_idx(folder / f"{name}-labels.idx1-ubyte", labels[:count])
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_set):
    """The folder after a short training, and what was printed."""
    folder = tmp_path_factory.mktemp("run")
    arguments = (
        "--data",
        str(small_set),
        "--epochs",
        "2",
        "--limit",
        "200",
        "--batch-size",
        "32",
        "--seed",
        "4",
    )
    done = run("train_mnist.py", *arguments, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def test_train_mnist_prints_and_writes(trained):
    """The table, a line for each epoch, the accuracy; model, history and picture."""
    folder, printed = trained
    assert "Total params: 1,003,658" in printed
    assert printed.count("Epoch ") == 2
    assert "images)" in printed or "errors in 70 images" in printed
    assert sorted(path.name for path in folder.iterdir()) == [
        "mnist_cnn.csv",
        "mnist_cnn.h5",
        "mnist_cnn.png",
    ]
    with open(folder / "mnist_cnn.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["val_loss"]) > 0


def test_train_mnist_writes_the_model_it_tested(trained, small_set):
    """The accuracy that was printed is that of the file."""
    folder, printed = trained
    model = tinycnn.load_model(folder / "mnist_cnn.h5")
    x, y = load_mnist(small_set)[1]
    errors = int(np.sum(model.predict(scale_images(x)).argmax(axis=1) != y))
    assert f"({errors} errors in 70 images)" in printed
    assert (model.seed, model.epochs_trained) == (4, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--out", "nowhere/m.h5"], "--out: the folder does not exist"),
        (["--out", "model.txt"], "--out: expected a name ending in .h5"),
        (["--epochs", "-1"], "--epochs: expected a whole number >= 0, received -1"),
        (["--batch-size", "0"], "--batch-size: expected a whole number >= 1, received 0"),
        (["--limit", "5"], "--limit: expected a whole number >= 10, received 5"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--learning-rate", "-1"], "learning_rate: expected a number in [0, inf), received -1.0"),
        (["--algorithm", "fft"], "invalid choice: 'fft'"),
        (["--recipe", "slow"], "invalid choice: 'slow'"),
        (["--recipe", "fashion"], "--recipe fashion: expected --data with the folder of Fashion-MNIST"),
        (["--resume", "nowhere"], "--resume: expected a folder that --checkpoint made, received nowhere"),
        (["--resume", "nowhere", "--recipe", "classic"], "--resume: expected no other options"),
        (["--resume", "nowhere", "--epochs", "3"], "--resume: expected no other options"),
        (["--checkpoint", "nowhere/run"], "--checkpoint: the folder does not exist"),
    ],
)
def test_train_mnist_answers_wrong_input_with_a_sentence(tmp_path, arguments, message):
    """No traceback; nothing written; a status that scripts see."""
    done = run("train_mnist.py", *arguments, folder=tmp_path)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_train_mnist_keeps_the_model_at_ctrl_c(tmp_path, small_set):
    """After the first batches: a whole model, a history without lines, the status of Ctrl-C."""
    command = [
        sys.executable,
        "-u",
        str(EXAMPLES / "train_mnist.py"),
        "--data",
        str(small_set),
        "--epochs",
        "500",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("Epoch 1/500"):
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")  # what a shell says of Ctrl-C
    assert "the model so far is kept" in printed
    model = tinycnn.load_model(tmp_path / "mnist_cnn.h5")
    assert model.steps_trained == model.optimizer.iterations > 0
    assert "Test accuracy" not in printed  # it is looked at once, at the end


def test_train_mnist_goes_on_after_a_stop(tmp_path, small_set):
    """Ctrl-C in the middle, then --resume from another folder: the bits of a run that was never stopped."""
    arguments = ["--recipe", "best", "--data", str(small_set), "--epochs", "6", "--batch-size", "32"]
    assert run("train_mnist.py", *arguments, "--out", "whole.npz", folder=tmp_path).returncode == 0
    command = [sys.executable, "-u", str(EXAMPLES / "train_mnist.py"), *arguments, "--checkpoint", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("Epoch 2/6"):
                break
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert "--resume run goes on from here" in printed
    (tmp_path / "elsewhere").mkdir()
    done = run("train_mnist.py", "--resume", "../run", folder=tmp_path / "elsewhere")
    assert done.returncode == 0
    assert done.stderr.startswith("tinycnn: ../run: going on from its checkpoint (")
    assert "Epoch 6/6" in done.stdout
    model, whole = (tinycnn.load_model(tmp_path / name) for name in ("mnist_cnn.h5", "whole.npz"))
    np.testing.assert_array_equal(model.parameters, whole.parameters)
    done = run("train_mnist.py", "--checkpoint", "run", folder=tmp_path)
    assert done.returncode != 0
    assert "run has a training; --resume goes on with it" in done.stderr


def test_a_refused_checkpoint_leaves_the_folder_free(tmp_path, small_set):
    """The corrected command works, where the first one found nothing to train on."""
    arguments = ["--data", str(small_set), "--epochs", "1", "--checkpoint", "run", "--verbose", "0"]
    done = run("train_mnist.py", *arguments, "--learning-rate", "-1", folder=tmp_path)
    assert done.returncode != 0
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "settings.json").write_text("{}")  # of one that ended before its first checkpoint
    assert run("train_mnist.py", *arguments, folder=tmp_path).returncode == 0
    assert run("train_mnist.py", "--resume", "run", folder=tmp_path).returncode == 0


def test_the_picture_of_errors_has_an_end(monkeypatch, tmp_path):
    """A bad model has thousands; a good one after it leaves no picture of the bad one's."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import evaluate_mnist

    drawn = []
    monkeypatch.setattr(
        evaluate_mnist, "plot_images", lambda images, path, *_, **__: drawn.append(len(images))
    )
    outputs = np.eye(10)[np.zeros(1000, int)]
    (tmp_path / "errors.png").write_bytes(b"")
    evaluate_mnist.write_errors(np.zeros((1000, 2, 2, 1)), np.ones(1000, int), outputs, tmp_path)
    assert drawn == [evaluate_mnist.MOST_DRAWN]
    assert len((tmp_path / "errors.csv").read_text().splitlines()) == 1001
    evaluate_mnist.write_errors(np.zeros((1000, 2, 2, 1)), np.zeros(1000, int), outputs, tmp_path)
    assert not (tmp_path / "errors.png").exists()


def test_plain_adam_without_decay(monkeypatch):
    """And AdamW where a recipe has a decay, also with a constant rate."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import recipes

    assert repr(recipes.optimizer(recipes.RECIPES["classic"], 100)) == "Adam()"
    decayed = recipes.optimizer(recipes.Recipe(epochs=1, learning_rate=0.002, weight_decay=0.05), 100)
    assert (type(decayed).__name__, decayed.rate) == ("AdamW", 0.002)
    assert decayed.weight_decay == {"*/kernel": 0.05}


def test_evaluate_mnist(trained, small_set, tmp_path):
    """Of one model: the accuracy that the training printed, and every image that is wrong."""
    folder, printed = trained
    done = run("evaluate_mnist.py", str(folder / "mnist_cnn.h5"), "--data", str(small_set), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    model = tinycnn.load_model(folder / "mnist_cnn.h5")
    x, y = load_mnist(small_set)[1]
    outputs = model.predict(scale_images(x))
    wrong = np.flatnonzero(outputs.argmax(axis=1) != y)
    assert f"({len(wrong)} errors in 70 images)" in printed
    assert f"({len(wrong)} errors in 70 images)" in done.stdout
    for words in ("first half", "second half", "Wilson", "precision  recall", "seed 4, 2 epochs", "commit "):
        assert words in done.stdout
    with open(tmp_path / "errors.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["index"]) for row in rows) == list(wrong)
    assert (tmp_path / "errors.png").exists()
    for row in rows:
        assert int(row["label"]) == y[int(row["index"])] != int(row["prediction"])


def test_evaluate_mnist_of_an_ensemble(trained, small_set, tmp_path):
    """Two files of one model are that model; with views, the outputs change."""
    path = str(trained[0] / "mnist_cnn.h5")
    tables = []
    for arguments in ((path,), (path, path), (path, "--views", "2"), (path, "--on", "validation")):
        done = run("evaluate_mnist.py", *arguments, "--data", str(small_set), folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        tables.append(done.stdout[done.stdout.index("Accuracy") :])
    assert tables[0] == tables[1]
    assert "in 30 images" in tables[3]


def test_validation_images_are_never_trained_on(monkeypatch, tmp_path):
    """The same ones for every seed and limit, and those that evaluate_mnist takes."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import evaluate_mnist
    import train_mnist

    seen = {}

    def fit(model, x, y, validation_data, **arguments):
        seen["trained"], seen["kept"] = x, validation_data[0]
        raise InterruptedError

    def predict(model, images, views):
        seen["evaluated"] = images
        raise InterruptedError

    monkeypatch.setattr(tinycnn.Sequential, "fit", fit)
    monkeypatch.setattr(evaluate_mnist, "predict", predict)
    tinycnn.mnist_cnn(seed=0).save(tmp_path / "m.npz")
    with pytest.raises(InterruptedError):
        evaluate_mnist.main([str(tmp_path / "m.npz"), "--on", "validation"])
    for arguments, count in ((["--seed", "0"], 55_000), (["--seed", "3", "--limit", "9000"], 9_000)):
        with pytest.raises(InterruptedError):
            train_mnist.main([*arguments, "--out", str(tmp_path / "x.h5")])
        np.testing.assert_array_equal(seen["kept"], seen["evaluated"])
        assert len(seen["trained"]) == count
        assert not {image.tobytes() for image in seen["kept"]} & {
            image.tobytes() for image in seen["trained"]
        }


def test_evaluate_mnist_finds_test_images_in_the_training_set(monkeypatch):
    """Pixel for pixel, wherever they are."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import evaluate_mnist

    images = np.random.default_rng(0).integers(0, 256, (9, 5, 4), np.uint8)
    assert evaluate_mnist.shared_images(images[:6], images[6:]) == 0
    assert evaluate_mnist.shared_images(images[:6], images[[7, 2, 8, 5]]) == 2


def test_evaluate_mnist_suspects_a_leak(tmp_path):
    """A model that knows the test images by heart is an error."""
    code = """
import sys
sys.path.insert(0, {examples!r})
import numpy as np
import evaluate_mnist
evaluate_mnist.predict = lambda model, images, views: np.eye(10)[evaluate_mnist.load_mnist()[1][1]]
evaluate_mnist.main([{model!r}])
"""
    tinycnn.mnist_cnn(seed=0).save(tmp_path / "m.npz")
    code = code.format(examples=str(EXAMPLES), model=str(tmp_path / "m.npz"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "error: suspected leak" in done.stderr


def test_layer_by_layer(tmp_path):
    """Every layer is named twice: on the way up and on the way down."""
    done = run("layer_by_layer.py", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for layer in tinycnn.mnist_cnn(seed=0):
        assert done.stdout.count(f"\n{layer.name} ") == 2


def test_augmented_digits_refuses_what_it_cannot_write(tmp_path):
    """With a sentence."""
    for out, message in (
        ("no/a.png", "the folder to write into does not exist"),
        ("a", "expected a suffix such as .png"),
    ):
        done = run("augmented_digits.py", "--out", out, folder=tmp_path)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("recipe", ["fast", "best"])
def test_augmented_digits(tmp_path, recipe):
    """A picture for each recipe with augmentation."""
    done = run("augmented_digits.py", "--recipe", recipe, "--out", "a.png", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_conv_three_ways(tmp_path):
    """The three agree, and the times of the two practical ones are printed."""
    done = run("conv_three_ways.py", "--images", "2", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("naive", "im2col", "direct"):
        assert f"\n{name} " in done.stdout
    assert done.stdout.count("conv2d_4 ") == 2
