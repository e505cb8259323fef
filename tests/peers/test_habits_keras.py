"""The first table of docs/keras.md: what a user of Keras types has the same effect, from the same weights."""

import numpy as np
import pytest

from tests.peers.peer_helpers import assert_all_close, assert_close
from tests.peers.test_differences_keras import quiet
from tinycnn import Sequential, load_model, regularizers, to_categorical, training
from tinycnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tinycnn.optimizers import SGD

RNG = np.random.default_rng(8)
N, CLASSES, IMAGE = 23, 3, (7, 6, 2)
X, Y = RNG.random((N, *IMAGE), np.float32), RNG.integers(0, CLASSES, N)
ONE_HOT = to_categorical(Y, CLASSES)
WEIGHTS = RNG.uniform(0, 3, N)
SPARSE, CATEGORICAL = "sparse_categorical_crossentropy", "categorical_crossentropy"
ARRAYS = {"batch_size": 5, "shuffle": False, "verbose": 0}  # batches of 5, 5, 5, 5 and 3


def own_network(*, units=CLASSES, activation="softmax", **regularizers):
    """Without weights that are zero in the beginning, so that a penalty on them counts."""
    layers = [
        Conv2D(4, (3, 2), activation="tanh", algorithm="im2col", **regularizers),
        MaxPooling2D(2, algorithm="im2col"),
        Flatten(),
        Dense(units, activation, **regularizers),
    ]
    model = Sequential(layers, seed=3, input_shape=IMAGE)
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(-0.4, 0.5, w.shape) for w in model.weights])
    return model


def pair(
    keras, *, loss=SPARSE, metrics=("accuracy",), rate=0.25, own_regularizers=(), regularizers=(), **network
):
    """Return the same network in both libraries, compiled."""
    ours = own_network(**network, **dict(own_regularizers))
    ours.compile(SGD(rate), loss, list(metrics))
    layers = keras.layers
    theirs = keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.Conv2D(4, (3, 2), activation="tanh", **dict(regularizers)),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(*ours[-1].weights[1].shape, ours[-1].activation, **dict(regularizers)),
        ]
    )
    theirs.set_weights(ours.get_weights())
    theirs.compile(keras.optimizers.SGD(rate), loss, metrics=list(metrics))
    return ours, theirs


def same(ours, theirs, histories=()):
    """The weights, and the figures of all epochs under the same names, to the rounding of float32."""
    assert_all_close(ours.get_weights(), theirs.get_weights(), 2e-5)
    if histories:
        mine, other = (history.history for history in histories)
        assert set(mine) == set(other)
        assert histories[0].epoch == histories[1].epoch
        for name, values in mine.items():
            assert values == pytest.approx(other[name], rel=2e-5), name


def both(models, *arguments, **options):
    """Fit both; return their histories."""
    return [quiet(model.fit, *arguments, **options) for model in models]


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("how", ["sample_weight", "class_weight"])
def test_weights_of_images_and_classes(keras, how, one_hot):
    """Metrics are not weighted."""
    models = pair(keras, loss=CATEGORICAL if one_hot else SPARSE)
    options = {"sample_weight": WEIGHTS} if how == "sample_weight" else {"class_weight": {0: 2.5, 2: 0.5}}
    histories = both(models, X, ONE_HOT if one_hot else Y, epochs=3, **options, **ARRAYS)
    same(*models, histories)
    plain = pair(keras, loss=SPARSE)[0]
    plain.fit(X, Y, epochs=3, **ARRAYS)
    assert not np.allclose(plain.parameters, models[0].parameters, rtol=1e-2)


def test_validation_with_weights(keras):
    models = pair(keras)
    histories = both(models, X, Y, epochs=2, validation_data=(X[::-1], Y, WEIGHTS), **ARRAYS)
    same(*models, histories)
    assert {"val_loss", "val_accuracy"} < set(histories[0].history)
    ours, theirs = models
    assert ours.evaluate(X, Y, sample_weight=WEIGHTS, batch_size=5) == pytest.approx(
        theirs.evaluate(X, Y, sample_weight=WEIGHTS, batch_size=5, verbose=0), rel=2e-5
    )
    assert ours.evaluate(X, Y, return_dict=True) == pytest.approx(
        theirs.evaluate(X, Y, return_dict=True, verbose=0), rel=2e-5
    )


def endless(seen, with_weights):
    i = 0
    while True:
        rows = (np.arange(4 + i % 3) + i) % N
        seen.append(i)
        yield (X[rows], Y[rows], WEIGHTS[rows]) if with_weights else (X[rows], Y[rows])
        i += 1


@pytest.mark.parametrize("with_weights", [False, True])
def test_generators(keras, with_weights):
    """An epoch begins where the one before ended. Keras may take more batches, to look ahead."""
    models, counts, histories = pair(keras), [], []
    for model in models:
        seen = []
        options = {"steps_per_epoch": 3, "epochs": 2, "verbose": 0}
        histories.append(quiet(model.fit, endless(seen, with_weights), **options))
        counts.append(len(seen))
    same(*models, histories)
    ours, theirs = counts
    assert ours == 6
    assert theirs >= 6


@pytest.mark.parametrize("shuffle", [False])
def test_a_sequence_of_keras(keras, shuffle):
    """The same object, given to both, with weights of classes."""

    class Batches(keras.utils.PyDataset):
        ended = 0

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return X[index * 6 :][:6], Y[index * 6 :][:6]

        def on_epoch_end(self):
            self.ended += 1

    models = pair(keras)
    data = [Batches(), Batches()]
    histories = [
        quiet(model.fit, batches, epochs=2, class_weight={1: 3.0}, shuffle=shuffle, verbose=0)
        for model, batches in zip(models, data, strict=True)
    ]
    same(*models, histories)
    assert data[0].ended == 2  # Keras may call it once more, for an epoch that it prepares
    ours, theirs = models
    assert ours.evaluate(Batches()) == pytest.approx(quiet(theirs.evaluate, Batches(), verbose=0), rel=2e-5)
    assert_close(ours.predict(Batches()), quiet(theirs.predict, Batches(), verbose=0), 2e-5)


def test_a_data_loader_of_pytorch(keras, torch):
    """Against arrays: its last batch is smaller too."""
    ours, arrays = pair(keras)[0], pair(keras)[0]
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    ours.fit(torch.utils.data.DataLoader(data, batch_size=5), epochs=2, verbose=0)
    arrays.fit(X, Y, epochs=2, **ARRAYS)
    np.testing.assert_array_equal(ours.parameters, arrays.parameters)
    assert ours.history.history == arrays.history.history


REGULARIZERS = {"L1": (0.03,), "L2": (0.05,), "L1L2": (0.02, 0.04)}


@pytest.mark.parametrize("name", REGULARIZERS)
@pytest.mark.parametrize("which", ["kernel", "bias"])
def test_regularizers(keras, name, which):
    """The loss has the penalty: in the history, in evaluate and in one batch."""
    arguments = REGULARIZERS[name]
    models = pair(
        keras,
        own_regularizers={f"{which}_regularizer": getattr(regularizers, name)(*arguments)},
        regularizers={f"{which}_regularizer": getattr(keras.regularizers, name)(*arguments)},
    )
    ours, theirs = models
    plain = pair(keras)[0]
    before = ours.evaluate(X, Y)
    assert before == pytest.approx(theirs.evaluate(X, Y, verbose=0), rel=2e-5)
    assert before[0] > plain.evaluate(X, Y)[0] + 0.005
    histories = both(models, X, Y, epochs=3, validation_data=(X[:9], Y[:9]), **ARRAYS)
    same(*models, histories)
    assert ours.train_on_batch(X, Y) == pytest.approx(theirs.train_on_batch(X, Y), rel=2e-5)
    same(*models)


def test_a_frozen_layer_has_no_penalty(keras):
    models = pair(
        keras,
        own_regularizers={"kernel_regularizer": regularizers.L2(0.5)},
        regularizers={"kernel_regularizer": keras.regularizers.L2(0.5)},
    )
    ours, theirs = models
    ours[0].trainable = theirs.layers[0].trainable = False
    theirs.compile(keras.optimizers.SGD(0.25), SPARSE, metrics=["accuracy"])
    same(*models, both(models, X, Y, epochs=2, **ARRAYS))


def test_one_batch(keras):
    """Figures are those of the batch, not means over batches."""
    ours, theirs = pair(keras)
    for rows in (slice(0, 5), slice(5, 23)):
        x, y, w = X[rows], Y[rows], WEIGHTS[rows]
        for arguments in ((x, y), (x, y, w)):
            assert ours.test_on_batch(*arguments) == pytest.approx(theirs.test_on_batch(*arguments), rel=2e-5)
            assert ours.train_on_batch(*arguments) == pytest.approx(
                theirs.train_on_batch(*arguments), rel=2e-5
            )
        by_class = {"class_weight": {0: 2.0}}
        assert ours.train_on_batch(x, y, **by_class) == pytest.approx(
            theirs.train_on_batch(x, y, **by_class), rel=2e-5
        )
    same(ours, theirs)
    assert_close(ours.predict_on_batch(X), theirs.predict_on_batch(X), 2e-5)
    assert_close(ours(X), theirs(X), 2e-5)
    ours, theirs = pair(keras, metrics=())
    assert ours.train_on_batch(X, Y) == pytest.approx(theirs.train_on_batch(X, Y), rel=2e-5)


OWN_EVENTS = {"on_evaluate_begin", "on_evaluate_end"}
ALIASES = {"on_batch_begin", "on_batch_end"}  # tinycnn calls them beside on_train_batch_begin and _end


def recorder(base, seen):
    """Return a callback that records each event that Keras has, with its number and the names in its logs."""

    def method(event):
        def with_number(self, number, logs=None):
            seen.append((event, number, sorted(set(logs or {}) - {"samples"})))

        def without(self, logs=None):
            seen.append((event, sorted(set(logs or {}) - {"samples"})))

        return with_number if "batch" in event or "epoch" in event else without

    events = [name for name in dir(base) if name.startswith("on_") and name not in OWN_EVENTS | ALIASES]
    return type("Recorder", (base,), {event: method(event) for event in events})()


def test_events(keras):
    """Of fit with validation, evaluate and predict: the same, in the same order, with the same figures."""
    found = []
    for model, base in zip(pair(keras), (training.Callback, keras.callbacks.Callback), strict=True):
        seen = []
        callback = recorder(base, seen)
        quiet(model.fit, X, Y, epochs=2, validation_data=(X, Y), callbacks=[callback], **ARRAYS)
        quiet(model.evaluate, X, Y, batch_size=5, verbose=0, callbacks=[callback])
        quiet(model.predict, X, batch_size=5, verbose=0, callbacks=[callback])
        found.append(seen)
    assert found[0] == found[1]
    assert len({event for event, *_ in found[0]}) == 14


def test_figures_in_the_logs_of_batches(keras):
    """Means over the epoch so far."""
    found = []
    for model, base in zip(pair(keras), (training.Callback, keras.callbacks.Callback), strict=True):
        seen = []
        events = {"on_train_batch_end": lambda self, batch, logs=None, seen=seen: seen.append(logs["loss"])}
        quiet(model.fit, X, Y, epochs=2, callbacks=[type("Logs", (base,), events)()], **ARRAYS)
        found.append(seen)
    assert found[0] == pytest.approx(found[1], rel=2e-5)


@pytest.mark.parametrize("arguments", [1, 2])
def test_rates_by_epoch(keras, arguments):
    """A function of the epoch, or of the epoch and the rate."""
    function = (lambda epoch: 0.5 / (epoch + 1)) if arguments == 1 else (lambda epoch, rate: rate * 0.5)
    models = pair(keras)
    for model, library in zip(models, (training, keras.callbacks), strict=True):
        callbacks = [library.LearningRateScheduler(function)]
        quiet(model.fit, X, Y, epochs=4, initial_epoch=1, callbacks=callbacks, **ARRAYS)
    same(*models)
    assert models[0].history.epoch == [1, 2, 3]
    assert models[0].optimizer.rate == (0.125 if arguments == 1 else 0.03125)


@pytest.mark.parametrize("seed", range(4))
def test_plateaus(keras, seed):
    """The rate of each epoch, for random figures and settings."""
    rng = np.random.default_rng(seed)
    figures = rng.integers(0, 6, 14) / 4 + np.linspace(3, 0, 14)
    settings = {
        "factor": 0.5,
        "patience": int(rng.integers(0, 3)),
        "cooldown": int(rng.integers(0, 4)),
        "min_delta": float(rng.choice([0.0, 0.3])),
        "min_lr": 2**-6,
    }
    found = []
    for model, library in zip(pair(keras), (training, keras.callbacks), strict=True):
        rates = []

        def on_epoch_end(self, epoch, logs=None, rates=rates):
            rates.append(float(self.model.optimizer.learning_rate))
            logs["val_loss"] = figures[epoch]

        script = type("Script", (library.Callback,), {"on_epoch_end": on_epoch_end})()
        callbacks = [script, library.ReduceLROnPlateau(**settings)]
        quiet(model.fit, X[:4], Y[:4], epochs=14, callbacks=callbacks, verbose=0)
        found.append(rates)
    assert found[0] == found[1]
    assert len(set(found[0])) > 1


@pytest.mark.parametrize("seed", range(4))
def test_stopping(keras, seed):
    """After the same epoch, and with the same weights if the best are restored."""
    rng = np.random.default_rng(seed)
    figures = rng.integers(0, 9, 14) / 8
    settings = {
        "patience": int(rng.integers(0, 4)),
        "min_delta": float(rng.choice([0.0, 0.2])),
        "mode": str(rng.choice(["min", "max"])),
        "restore_best_weights": bool(seed % 2),
    }
    models, epochs = pair(keras), []
    for model, library in zip(models, (training, keras.callbacks), strict=True):

        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = figures[epoch]

        script = type("Script", (library.Callback,), {"on_epoch_end": on_epoch_end})()
        callbacks = [script, library.EarlyStopping(**settings)]
        epochs.append(quiet(model.fit, X, Y, epochs=14, callbacks=callbacks, **ARRAYS).epoch)
    assert epochs[0] == epochs[1]
    same(*models)


@pytest.mark.parametrize("best", [False, True])
def test_files_of_a_checkpoint(keras, best, tmp_path):
    """Their names, with epochs counted from 1, and the weights of the last one."""
    names = []
    for model, library in zip(pair(keras), (training, keras.callbacks), strict=True):

        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = [0.5, 0.25, 0.75, 0.125][epoch]

        script = type("Script", (library.Callback,), {"on_epoch_end": on_epoch_end})()
        folder = tmp_path / library.__name__
        folder.mkdir()
        saver = library.ModelCheckpoint(str(folder / "{epoch:02d}-{val_loss:.2f}.h5"), save_best_only=best)
        quiet(model.fit, X, Y, epochs=4, callbacks=[script, saver], **ARRAYS)
        names.append(sorted(path.name for path in folder.iterdir()))
        assert_all_close(load_model(folder / names[-1][-1]).get_weights(), model.get_weights(), 1e-7)
    assert names[0] == names[1]
    assert len(names[0]) == (3 if best else 4)


def test_a_figure_that_a_callback_adds(keras):
    """It is in the history."""
    for model, library in zip(pair(keras), (training, keras.callbacks), strict=True):

        def on_epoch_end(self, epoch, logs=None):
            logs["mine"] = epoch + 0.5

        callback = type("Add", (library.Callback,), {"on_epoch_end": on_epoch_end})()
        history = quiet(model.fit, X, Y, epochs=2, callbacks=[callback], verbose=0).history
        assert history["mine"] == [0.5, 1.5]


@pytest.mark.parametrize("rows", [20, N])
def test_steps_of_arrays(keras, rows):
    """An epoch begins where the one before ended; two epochs are once through 20 images."""
    models = pair(keras)
    same(
        *models, both(models, X[:rows], Y[:rows], epochs=4 if rows == 20 else 2, steps_per_epoch=2, **ARRAYS)
    )


@pytest.mark.parametrize("units", [1, 4])
def test_binary_crossentropy(keras, units):
    models = pair(
        keras, loss="binary_crossentropy", metrics=["binary_accuracy"], units=units, activation="sigmoid"
    )
    y = np.random.default_rng(2).integers(0, 2, (N, units)).astype(np.float32)
    histories = both(models, X, y, epochs=3, validation_data=(X, y), sample_weight=WEIGHTS, **ARRAYS)
    same(*models, histories)
    if units == 1:
        models = pair(keras, loss="bce", units=1, activation="sigmoid")
        same(*models, both(models, X, y[:, 0], epochs=2, **ARRAYS))


@pytest.mark.parametrize("loss", ["mse", "mae", "mean_squared_error", "mean_absolute_error"])
def test_targets_of_one_axis(keras, loss):
    models = pair(keras, loss=loss, metrics=["mae"], units=1, activation="linear", rate=0.02)
    y = np.random.default_rng(2).random(N).astype(np.float32)
    same(*models, both(models, X, y, epochs=2, **ARRAYS))


def test_functions_as_metrics(keras):
    """Of arrays in one, of tensors in the other; by their names, beside names of Keras."""

    def probability(y_true, y_pred):
        return (y_true * y_pred).sum(axis=-1)

    def distance(y_true, y_pred):
        return abs(y_true - y_pred)

    def tensors(y_true, y_pred):
        return keras.ops.sum(y_true * y_pred, axis=-1)

    tensors.__name__ = "probability"
    ours, theirs = pair(keras, loss=CATEGORICAL)
    ours.compile(SGD(0.25), CATEGORICAL, ["acc", probability, distance, "mse"])
    theirs.compile(keras.optimizers.SGD(0.25), CATEGORICAL, metrics=["acc", tensors, distance, "mse"])
    y = ONE_HOT.astype(np.float32)
    same(ours, theirs, both((ours, theirs), X, y, epochs=2, validation_data=(X, y), **ARRAYS))
    assert list(ours.history.history)[:5] == ["loss", "acc", "probability", "distance", "mse"]


def test_intermediate_outputs(keras):
    """A model of Keras' that ends earlier."""
    ours, theirs = pair(keras)
    found = ours.activations(X)
    assert len(found) == len(theirs.layers)
    for layer, output in zip(theirs.layers, found.values(), strict=True):
        part = keras.Model(theirs.inputs, layer.output)
        assert_close(output, part.predict(X, verbose=0), 2e-5)


def test_layers_by_name_and_number(keras):
    """And the errors of wrong ones are ValueErrors in both."""
    for model in pair(keras):
        name = model.layers[2].name
        assert model.get_layer(name) is model.get_layer(name=name) is model.get_layer(index=2)
        assert model.get_layer(index=-2) is model.layers[2]
        for arguments in ({"name": "none"}, {"index": 4}, {}, {"name": name, "index": 2}):
            with pytest.raises(ValueError, match=r"layer|index"):
                model.get_layer(**arguments)


def test_one_hot_rows(keras):
    theirs = keras.utils.to_categorical
    for x, classes in (([1, 0, 3], None), (np.array([[2], [0]], np.uint8), 5), ([[0, 1, 1], [1, 0, 0]], 2)):
        ours, expected = to_categorical(x, classes), theirs(x, classes)
        assert ours.dtype == expected.dtype == np.float64
        np.testing.assert_array_equal(ours, expected)


def test_no_layer_is_trainable(keras):
    """Both warn."""
    ours, theirs = pair(keras)
    ours.trainable = theirs.trainable = False
    theirs.compile("sgd", SPARSE)
    with pytest.warns(UserWarning, match="no layer is trainable"):
        ours.fit(X, Y, verbose=0)
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        theirs.fit(X, Y, verbose=0)


def test_add_pop_and_shapes(keras):
    """Counts of parameters, shapes of weights, and which are trainable."""
    ours, theirs = pair(keras)
    ours.pop(), theirs.pop()
    ours.add(Dense(5)), theirs.add(keras.layers.Dense(5))
    ours[0].trainable = theirs.layers[0].trainable = False
    assert ours.count_params() == theirs.count_params()
    for kind in ("weights", "trainable_weights", "non_trainable_weights"):
        shapes = [[tuple(w.shape) for w in getattr(model, kind)] for model in (ours, theirs)]
        assert shapes[0] == shapes[1]
