"""Figures in real experiment loggers: TensorBoard's event files, and the files of MLflow, read back."""

import numpy as np
import pytest

from tests.networks import dense_only as network
from tests.networks import dense_only_data as data
from tests.peers.conftest import import_peer
from tinycnn.training import LambdaCallback, MetricsLogger

X, Y = data()
NAMES = {"loss", "accuracy", "val_loss", "val_accuracy"}


def fit(model, *callbacks, **arguments):
    """Train two epochs of four steps."""
    return model.fit(
        X,
        Y,
        batch_size=16,
        epochs=2,
        validation_data=(X[:9], Y[:9]),
        callbacks=callbacks,
        verbose=0,
        **arguments,
    )


def assert_columns(found, history, steps, name="{}"):
    """Raise unless {name: [(step, value)]} are the figures of a history, as float32."""
    for column, values in history.history.items():
        assert [step for step, _ in found[name.format(column)]] == steps
        np.testing.assert_array_equal([value for _, value in found[name.format(column)]], np.float32(values))


@pytest.fixture(params=["torch.utils.tensorboard", "tensorboardX"])
def summary_writer(request):
    import_peer("tensorboard")
    return import_peer(request.param).SummaryWriter


def events(folder):
    """Return what TensorBoard reads in a folder."""
    accumulator = import_peer("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(
        str(folder), size_guidance={"scalars": 0, "histograms": 0}
    )
    return accumulator.Reload()


def test_tensorboard(summary_writer, tmp_path):
    """Figures of epochs, and histograms."""
    model = network()
    with summary_writer(str(tmp_path)) as writer:
        history = fit(model, MetricsLogger(writer, prefix="run/", histogram_freq=2))
    read = events(tmp_path)
    tags = read.Tags()
    assert set(tags["scalars"]) == {f"run/{name}" for name in NAMES | {"learning_rate"}}
    found = {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in tags["scalars"]}
    assert_columns(found, history, [1, 2], "run/{}")
    assert found["run/learning_rate"] == [(1, np.float32(0.01)), (2, np.float32(0.01))]
    assert set(tags["histograms"]) == {f"run/{name}" for name, _ in model.named_weights()}
    for name, array in model.named_weights():
        (event,) = read.Histograms(f"run/{name}")
        value = event.histogram_value
        assert (event.step, value.num) == (2, array.size)
        np.testing.assert_allclose([value.min, value.max], [array.min(), array.max()], rtol=1e-6)
        np.testing.assert_allclose(value.sum, array.sum(dtype=float), rtol=1e-5, atol=1e-6)


def test_batches_and_a_second_writer(summary_writer, tmp_path):
    """Another writer of the folder goes on where the first one ended."""
    model = network()
    for number in range(2):
        with summary_writer(str(tmp_path), filename_suffix=f".{number}") as writer:
            fit(model, MetricsLogger(writer, update_freq="batch"))
    read = events(tmp_path)
    assert [event.step for event in read.Scalars("batch_loss")] == list(range(1, 17))
    found = [(event.step, event.value) for event in read.Scalars("epoch")]
    assert found == [(4, 1), (8, 2), (12, 3), (16, 4)]
    last = [event.value for event in read.Scalars("batch_accuracy")][3::4]
    assert last == [event.value for event in read.Scalars("accuracy")]


def test_flush(tmp_path):
    """A run is in the file before the writer is closed. (tensorboardX leaves that to a thread.)"""
    import_peer("tensorboard")
    writer = import_peer("torch.utils.tensorboard").SummaryWriter(str(tmp_path), flush_secs=3600)
    fit(network(), MetricsLogger(writer))
    assert [event.step for event in events(tmp_path).Scalars("loss")] == [1, 2]
    writer.close()


def test_not_finite(summary_writer, tmp_path):
    """NaN and infinities reach the event file."""
    add = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(nan=np.nan, top=-np.inf))
    with summary_writer(str(tmp_path)) as writer:
        fit(network(), MetricsLogger(writer), add)
    read = events(tmp_path)
    assert [(event.step, event.value) for event in read.Scalars("top")] == [(1, -np.inf), (2, -np.inf)]
    assert np.isnan([event.value for event in read.Scalars("nan")]).tolist() == [True, True]


@pytest.mark.filterwarnings("ignore")  # MLflow's about its files
def test_mlflow(tmp_path, monkeypatch):
    """The module, with its files on this machine."""
    mlflow = import_peer("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    add = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(nan=np.nan))
    with mlflow.start_run() as run:
        history = fit(network(), MetricsLogger(mlflow), add)
    client = mlflow.MlflowClient()
    found = {
        name: [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]
        for name in (*NAMES, "nan")
    }
    for name, values in history.history.items():
        np.testing.assert_array_equal(found[name], list(enumerate(values, start=1)))
