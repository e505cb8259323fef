"""The differences that docs/keras.md lists: `test_<id>` runs tinycnn and Keras 3 for the row of that id."""

import csv
import inspect
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tests.peers.conftest import import_peer
from tinycnn import Sequential, layers, losses, metrics, optimizers, to_categorical, training
from tinycnn.inspection import plot_network
from tinycnn.layers import Dense, Dropout, Flatten
from tinycnn.optimizers import SGD
from tinycnn.regularizers import REGULARIZERS

PAGE = Path(tinycnn.__file__).parents[1] / "docs" / "keras.md"
RNG = np.random.default_rng(5)
X, Y = RNG.random((23, 8), np.float32), RNG.integers(0, 3, 23)
SPARSE = "sparse_categorical_crossentropy"


def network(seed=4, last="softmax"):
    return Sequential([Dense(7, "relu"), Dense(3, last)], seed=seed, input_shape=(8,))


def ours(*, metrics=("accuracy",), loss=SPARSE, seed=4, rate=0.1, last="softmax"):
    model = network(seed, last)
    model.compile(SGD(rate), loss, list(metrics))
    return model


def theirs(keras, *, metrics=("accuracy",), loss=SPARSE, rate=0.1, last="softmax"):
    """The same network in Keras, with the same weights."""
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((8,)), dense(7, "relu"), dense(3, last)])
    model.compile(keras.optimizers.SGD(rate), loss, metrics=list(metrics))
    model.set_weights(network(last=last).get_weights())
    return model


def quiet(function, *arguments, **options):
    """Call a function of Keras, silently and without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def said(function, *arguments, **options):
    """Return the warnings of a function, as one text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments, **options)
    return " ".join(str(warning.message) for warning in caught if "__array__" not in str(warning.message))


def counter(base, event):
    """Return a callback of either library, and the list of the numbers that `event` came with."""
    seen = []
    method = {event: lambda self, number, logs=None: seen.append(number)}
    return type("Counter", (base,), method)(), seen


def script(base, **figures):
    """Return a callback of either library that replaces figures in the logs of an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        logs.update({name: values[epoch] for name, values in figures.items()})

    return type("Script", (base,), {"on_epoch_end": on_epoch_end})()


def test_compile_defaults(keras):
    model = Sequential([Dense(3, "softmax")], input_shape=(8,))
    model.compile()
    assert (type(model.optimizer), type(model.loss)) == (
        optimizers.Adam,
        losses.SparseCategoricalCrossentropy,
    )
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, "softmax")])
    model.compile()
    assert isinstance(model.optimizer, keras.optimizers.RMSprop)
    with pytest.raises(ValueError, match="No loss to compute"):
        quiet(model.fit, X, Y, verbose=0)


def test_evaluation_batch(keras):
    x, y = np.tile(X, (9, 1)), np.tile(Y, 9)  # 207 images
    for model, base, expected in (
        (ours(), training.Callback, [2, 2, 7]),
        (theirs(keras), keras.callbacks.Callback, [7, 7, 7]),
    ):
        counts = []
        for event, run in (
            ("on_test_batch_end", lambda c, model=model: model.evaluate(x, y, verbose=0, callbacks=[c])),
            ("on_predict_batch_end", lambda c, model=model: model.predict(x, verbose=0, callbacks=[c])),
            ("on_train_batch_end", lambda c, model=model: model.fit(x, y, verbose=0, callbacks=[c])),
        ):
            callback, seen = counter(base, event)
            quiet(run, callback)
            counts.append(len(seen))
        assert counts == expected


def test_validation_split(keras):
    """Of rows sorted by class, the last are of one class. A rate of 0, so that nothing changes."""
    order = np.argsort(Y)
    x, y = X[order], Y[order]
    history = theirs(keras, rate=0.0).fit(x, y, validation_split=0.3, verbose=0).history
    model = ours(rate=0.0)
    count = int(0.3 * 23) + 1
    last = model.evaluate(x[-count:], y[-count:])[0]
    assert history["val_loss"][0] == pytest.approx(last, rel=1e-5)
    _, kept = training.batches.split(y, 0.3, model.seed)
    counts, all_counts = np.bincount(y[kept], minlength=3), np.bincount(y)
    assert (np.abs(counts - 0.3 * all_counts) < 1).all()
    history = model.fit(x, y, validation_split=0.3, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(model.evaluate(x[kept], y[kept])[0], rel=1e-6)
    assert history["val_loss"][0] != pytest.approx(last, rel=1e-3)


def test_seed(keras):
    first, second = ours(seed=7), ours(seed=7)
    np.random.default_rng().random()
    for model in (first, second):
        model.fit(X, Y, batch_size=5, verbose=0)
    np.testing.assert_array_equal(first.parameters, second.parameters)
    assert not np.array_equal(first.parameters, ours(seed=8).parameters)
    with pytest.raises((TypeError, ValueError), match="seed"):
        keras.Sequential([keras.layers.Dense(3)], seed=7)
    kernels = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        kernels.append(keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)]).get_weights()[0])
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_integer_images(keras):
    images = np.arange(16).reshape(2, 8)
    with pytest.raises(TypeError, match="for pixels from 0 to 255 use"):
        ours().predict(images)
    expected = ours().predict(images.astype(np.float32))
    np.testing.assert_allclose(quiet(theirs(keras).predict, images, verbose=0), expected, rtol=1e-5)


def test_epochs_go_on(keras):
    model, other = ours(), theirs(keras)
    assert [model.fit(X, Y, epochs=2, verbose=0).epoch for _ in range(2)] == [[0, 1], [2, 3]]
    assert [other.fit(X, Y, epochs=2, verbose=0).epoch for _ in range(2)] == [[0, 1], [0, 1]]


def test_early_stopping(keras):
    figures = [0.5, 0.2, 0.9, 0.8]
    stopping, scripted = training.EarlyStopping(patience=2), script(training.Callback, val_loss=figures)
    model, weights = ours(), []
    keep = training.LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()))
    model.fit(X, Y, epochs=4, callbacks=[scripted, stopping, keep], verbose=0)
    assert all(map(np.array_equal, model.get_weights(), weights[1]))
    assert not np.array_equal(model.get_weights()[0], weights[-1][0])
    other, weights = theirs(keras), []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(other.get_weights())
    )
    scripted = script(keras.callbacks.Callback, val_loss=figures)
    other.fit(
        X, Y, epochs=4, callbacks=[scripted, keras.callbacks.EarlyStopping(patience=2), keep], verbose=0
    )
    assert all(map(np.array_equal, other.get_weights(), weights[-1]))
    assert not np.array_equal(other.get_weights()[0], weights[1][0])


def broken(base):
    """Return a callback that makes an optimizer's rate infinite after the first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([w * np.nan if epoch == 1 else w for w in self.model.get_weights()])

    return type("Broken", (base,), {"on_epoch_end": on_epoch_end})()


def test_terminate_on_nan(keras):
    model = ours()
    with pytest.warns(UserWarning, match="not finite|nan"):
        model.fit(
            X,
            Y,
            epochs=4,
            callbacks=[training.TerminateOnNaN(), broken(training.Callback)],
            verbose=0,
        )
    assert np.isfinite(model.parameters).all()
    other = theirs(keras)
    stop = keras.callbacks.TerminateOnNaN()
    quiet(other.fit, X, Y, epochs=4, callbacks=[stop, broken(keras.callbacks.Callback)], verbose=0)
    assert np.isnan(other.get_weights()[0]).any()


def test_layer_names(keras):
    assert [[layer.name for layer in ours()] for _ in range(2)] == [["dense_1", "dense_2"]] * 2
    keras.utils.clear_session()
    names = [[layer.name for layer in theirs(keras).layers] for _ in range(2)]
    assert names == [["dense", "dense_1"], ["dense_2", "dense_3"]]


def test_shapes(keras):
    model, other = ours(), theirs(keras)
    assert (model.input_shape, model.output_shape, model[0].output_shape) == ((8,), (3,), (7,))
    assert (other.input_shape, other.output_shape) == ((None, 8), (None, 3))
    assert other.layers[0].output.shape == (None, 7)
    fresh = Sequential([Dense(3)])
    fresh.build((8,))
    other = keras.Sequential([keras.layers.Dense(3)])
    other.build((None, 8))
    assert [w.shape for w in fresh.weights] == [tuple(w.shape) for w in other.weights]


def test_one_owner(keras):
    layer = Dense(8)
    first = Sequential([layer], input_shape=(8,))
    assert first.layers[0] is layer
    with pytest.raises(ValueError, match="deepcopy"):
        Sequential([layer, Dense(3)], input_shape=(8,))
    layer = keras.layers.Dense(8)
    first = keras.Sequential([keras.Input((8,)), layer])
    second = keras.Sequential([keras.Input((8,)), layer, keras.layers.Dense(3)])
    assert first.weights[0] is second.weights[0]


def test_read_only_layers(keras):
    model, other = ours(), theirs(keras)
    with pytest.raises((TypeError, ValueError), match=r"pop\(\)"):
        model.layers.pop()
    assert len(model.layers) == 2
    assert isinstance(model.pop(), Dense)
    assert len(model.layers) == 1
    other.layers.pop()
    assert len(other.layers) == 2


def test_assigned_weights(keras):
    w = RNG.random((8, 7), np.float32)
    model, other = ours(), theirs(keras)
    model[0].kernel = w
    np.testing.assert_array_equal(model.get_weights()[0], w)
    assert model[0].kernel is not w
    with pytest.raises(AttributeError):
        other.layers[0].kernel = w
    other.layers[0].kernel.assign(w)
    np.testing.assert_array_equal(other.get_weights()[0], w)


def test_pop_needs_compile(keras):
    model, other = ours(), theirs(keras)
    for each in (model, other):
        each.pop()
    model.add(Dense(4, "softmax"))
    with pytest.raises(ValueError, match=r"call model.compile"):
        model.fit(X, Y, verbose=0)
    other.add(keras.layers.Dense(4, "softmax"))
    assert quiet(other.fit, X, Y, verbose=0).epoch == [0]


def test_probabilities(keras):
    """Far from the label. TensorFlow finds the layer's logits, where there is one."""
    p = np.array([[1e-30, 1, 0]], np.float32)
    loss = losses.SparseCategoricalCrossentropy()
    assert loss(np.array([0]), p) == pytest.approx(30 * np.log(10))
    assert loss.gradient(np.array([0]), p)[0, 0] < -1e29
    clipped = float(keras.losses.SparseCategoricalCrossentropy()(np.array([0]), p))
    assert clipped == pytest.approx(-np.log(1e-7), rel=1e-4)
    model, other = ours(), theirs(keras)
    for each in (model, other):
        each.set_weights([*each.get_weights()[:3], np.array([-60, 0, 0], np.float32)])
    y = np.zeros(23, int)
    assert model.evaluate(X, y)[0] == pytest.approx(other.evaluate(X, y, verbose=0)[0], rel=1e-5)
    assert model.evaluate(X, y)[0] > 50


def test_sparse_smoothing(keras):
    p = np.array([[0.7, 0.2, 0.1]], np.float32)
    loss = losses.SparseCategoricalCrossentropy(label_smoothing=0.3)
    assert loss(np.array([0]), p) == pytest.approx(-np.log([0.7, 0.2, 0.1]) @ [0.8, 0.1, 0.1])
    with pytest.raises(TypeError, match="label_smoothing"):
        keras.losses.SparseCategoricalCrossentropy(label_smoothing=0.3)


def test_wrong_loss(keras):
    with pytest.warns(UserWarning, match="the loss expects probabilities, and the last layer ends with 'lin"):
        ours(last="linear")
    assert (
        said(theirs(keras).compile, "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)) == ""
    )
    with pytest.warns(UserWarning, match="the loss expects logits"):
        ours(loss=losses.SparseCategoricalCrossentropy(from_logits=True))


def test_summary_returns(keras, capsys):
    text = ours().summary()
    assert "Total params" in text
    assert text in capsys.readouterr().out
    assert theirs(keras).summary() is None


def test_dropout_rate(keras):
    x = np.ones((1, 5000), np.float32)
    layer = Dropout(0.3)
    layer.build((5000,), RNG)
    share = round(0.3 * 65536) / 65536
    assert layer(x, training=True).max() == np.float32(1 / (1 - share)) != np.float32(1 / 0.7)
    assert np.max(keras.layers.Dropout(0.3)(x, training=True)) == np.float32(1 / 0.7)


def slopes(layer, their_layer, x):
    """Return dx of both libraries for dy of ones."""
    import tensorflow as tf

    layer.build(x.shape[1:], RNG)
    dx = layer.backward(np.ones_like(layer.forward(x, training=True)))
    with tf.GradientTape() as tape:
        inputs = tf.convert_to_tensor(x)
        tape.watch(inputs)
        y = their_layer(inputs)
    return dx.ravel().tolist(), np.asarray(tape.gradient(y, inputs)).ravel().tolist()


def test_relu_at_its_maximum(keras):
    for top, theirs in ((5, [1, 1, 0]), (6, [1, 0, 0])):
        x = np.array([[1, top, 7]], np.float32)
        own = layers.ReLU(max_value=top), keras.layers.ReLU(max_value=top)
        assert slopes(*own, x) == ([1, 0, 0], theirs)


def test_relu_at_its_threshold(keras):
    x = np.array([[0, 0.5, 1]], np.float32)
    for arguments, own, theirs in (
        ({}, [0.25, 1, 1], [0.25, 1, 1]),
        ({"threshold": 0.5}, [0.25, 0.25, 1], [0.25, 0, 1]),
        ({"max_value": 9}, [0.25, 1, 1], [0, 1, 1]),
    ):
        pair = (kind.ReLU(negative_slope=0.25, **arguments) for kind in (layers, keras.layers))
        assert slopes(*pair, x) == (own, theirs)


def test_equal_maxima(keras):
    x = np.array([3, 7, 7, 1], np.float32).reshape(1, 2, 2, 1)
    pair = layers.GlobalMaxPooling2D(), keras.layers.GlobalMaxPooling2D()
    assert slopes(*pair, x) == ([0, 1, 0, 0], [0, 0.5, 0.5, 0])


def test_interpolations(keras):
    for name in ("bicubic", "lanczos3", "lanczos5"):
        with pytest.raises(ValueError, match="interpolation: expected one of 'bilinear', 'nearest'"):
            layers.UpSampling2D(2, name)
        assert keras.layers.UpSampling2D(2, interpolation=name)(np.ones((1, 2, 3, 1))).shape == (1, 4, 6, 1)


def test_softmax_axis(keras):
    with pytest.raises(ValueError, match="axis: expected a whole number"):
        layers.Softmax([1, 2])
    y = keras.layers.Softmax([1, 2])(np.ones((1, 2, 3, 1)))
    np.testing.assert_allclose(y, 1 / 6, rtol=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: optimizers.Adam(-1.0), lambda k: k.optimizers.Adam(-1.0)),
        (lambda: Dense(True), lambda k: k.layers.Dense(True)),
        (lambda: Dropout(1.0), lambda k: k.layers.Dropout(1.0)),
        (lambda: layers.BatchNormalization(3.0), lambda k: k.layers.BatchNormalization(momentum=3.0)),
        (lambda: training.EarlyStopping(patience="x"), lambda k: k.callbacks.EarlyStopping(patience="x")),
        (
            lambda: losses.CategoricalCrossentropy(label_smoothing=2),
            lambda k: k.losses.CategoricalCrossentropy(label_smoothing=2),
        ),
    ],
)
def test_arguments_are_checked(keras, ours, theirs):
    with pytest.raises(ValueError, match="expected"):
        ours()
    assert quiet(theirs, keras) is not None


def listed():
    """Return the rows of the table of missing arguments in the page: {name: {argument, ...}}."""
    table = PAGE.read_text(encoding="utf-8").split("## Missing")[1]
    rows = re.findall(r"^\| (`.+?`) \| (`.+`) \|$", table, re.MULTILINE)
    words = [[re.findall(r"`([\w.]+)`", column) for column in row] for row in rows]
    return {name: set(missing) for names, missing in words for name in names}


def arguments(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "args", "kwargs")]


def peers(keras):
    """Return (tinycnn's, Keras') classes and methods by the names that the page has for them."""
    found = {
        **{
            f"Sequential.{name}": (getattr(Sequential, name), getattr(keras.Sequential, name))
            for name in METHODS
        },
        **{name: (cls, getattr(keras.layers, name)) for name, cls in layers.LAYERS.items()},
        "InputLayer": (layers.InputLayer, keras.layers.InputLayer),
        **{cls.__name__: (cls, getattr(keras.losses, cls.__name__)) for cls in losses.LOSSES.values()},
        **{name: (getattr(training, name), getattr(keras.callbacks, name)) for name in CALLBACKS},
        **{cls.__name__: (cls, getattr(keras.regularizers, cls.__name__)) for cls in REGULARIZERS.values()},
        "load_model": (tinycnn.load_model, keras.models.load_model),
        "to_categorical": (to_categorical, keras.utils.to_categorical),
    }
    found |= {
        cls.__name__: (cls, getattr(keras.optimizers, cls.__name__)) for cls in optimizers.OPTIMIZERS.values()
    }
    return found


METHODS = ("compile", "fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "summary", "save")
METHODS += ("save_weights", "load_weights", "get_layer", "add", "pop")
CALLBACKS = ("EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau", "LearningRateScheduler", "CSVLogger")
CALLBACKS += ("TerminateOnNaN", "LambdaCallback")
EVERYWHERE = {"name", "dtype", "reduction", "axis"}  # of losses, and names of objects; the page says so


def test_missing_arguments(keras):
    """Exactly those of the page, and the defaults of all others are the same, except those of other rows."""
    missing, defaults = {}, {}
    for name, (own, other) in peers(keras).items():
        lacks = set(arguments(other)) - set(arguments(own)) - EVERYWHERE
        if name == "LambdaCallback":
            lacks = set()  # it takes every event by name
        if lacks:
            missing[name] = lacks
        for argument in set(arguments(other)) & set(arguments(own)):
            pair = [inspect.signature(f).parameters[argument].default for f in (own, other)]
            if np.size(pair[0]) == 1 and pair[1] == (pair[0], pair[0]):
                continue  # one number for both sides
            if (pair[0] or None) != (pair[1] or None):
                defaults[f"{name}.{argument}"] = tuple(pair)
    assert missing == listed()
    assert defaults == {
        "Sequential.compile.optimizer": ("adam", "rmsprop"),
        "Sequential.compile.loss": (SPARSE, None),
        "Sequential.train_on_batch.y": (inspect.Parameter.empty, None),
        "Sequential.test_on_batch.y": (inspect.Parameter.empty, None),
        "Sequential.fit.x": (inspect.Parameter.empty, None),
        "Sequential.evaluate.x": (inspect.Parameter.empty, None),
        "Sequential.summary.line_length": (65, None),
        "AveragePooling2D.pool_size": (2, inspect.Parameter.empty),
        "EarlyStopping.restore_best_weights": (True, False),
    }


@pytest.mark.parametrize(
    ("name", "count"),
    [("Sequential.fit", 4), ("Sequential.compile", 2), ("Sequential.evaluate", 3), ("Conv2D", 4)],
)
def test_positions(keras, name, count):
    own, other = map(arguments, peers(keras)[name])
    assert own[:count] == other[:count]
    assert own[count] != other[count]
    with pytest.raises(TypeError, match=r"validation_data: expected"):
        ours().fit(X, Y, 12, 2, 0)
    assert theirs(keras).fit(X, Y, 12, 2, 0).epoch == [0, 1]


def test_both_weights(keras):
    weights, by_class = RNG.random(23), {0: 2.0, 2: 0.5}
    model, product, other = ours(), ours(), theirs(keras)
    model.fit(X, Y, sample_weight=weights, class_weight=by_class, verbose=0)
    product.fit(X, Y, sample_weight=weights * np.array([2, 1, 0.5])[Y], verbose=0)
    np.testing.assert_array_equal(model.parameters, product.parameters)
    with pytest.raises(ValueError, match="at the same time"):
        quiet(other.fit, X, Y, sample_weight=weights, class_weight=by_class, verbose=0)
    with pytest.raises(ValueError, match="at the same time"):
        quiet(other.train_on_batch, X, Y, sample_weight=weights, class_weight=by_class)


def test_steps_beyond(keras):
    with pytest.raises(ValueError, match="steps: expected at most 3"):
        ours().fit(X, Y, batch_size=8, steps_per_epoch=5, verbose=0)
    options = {"batch_size": 8, "steps_per_epoch": 5, "verbose": 0}
    assert "ran out of data" in said(theirs(keras).fit, X, Y, **options)


def test_steps_wrap_around(keras):
    """Three batches of 8, 8 and 7 images, two in an epoch."""
    options = {"batch_size": 8, "steps_per_epoch": 2, "epochs": 3, "shuffle": False, "verbose": 0}
    for model, base, expected in (
        (ours(), training.Callback, [0, 1, 0, 1, 0, 1]),
        (theirs(keras), keras.callbacks.Callback, [0, 1, 0, 0, 1]),
    ):
        callback, seen = counter(base, "on_train_batch_end")
        quiet(model.fit, X, Y, callbacks=[callback], **options)
        assert seen == expected
    model = ours()
    model.fit(X, Y, **options)
    whole = ours()
    whole.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(model.parameters, whole.parameters)


def batches(count, seen=None):
    for i in range(count):
        if seen is not None:
            seen.append(i)
        yield X[i % 5 :][:12], Y[i % 5 :][:12]


def test_generator_ends(keras):
    model, other = ours(), theirs(keras)
    with pytest.warns(UserWarning, match="expected 2 batches, received 1 before the end"):
        history = model.fit(batches(3), steps_per_epoch=2, epochs=4, verbose=0)
    assert (history.epoch, model.steps_trained) == ([0, 1], 3)
    history = quiet(other.fit, batches(3), steps_per_epoch=2, epochs=4, verbose=0)
    assert history.epoch == [0, 1, 2, 3]
    model, other = ours(), theirs(keras)
    with pytest.warns(UserWarning, match="expected at least one batch, received 0 before the end"):
        history = model.fit(batches(3), epochs=2, verbose=0)
    assert history.epoch == [0]
    history = quiet(other.fit, batches(3), epochs=2, verbose=0)
    assert history.epoch == [0, 1]


def test_look_ahead(keras):
    ahead = []
    for fit in (ours().fit, theirs(keras).fit):
        seen = []
        quiet(fit, batches(50, seen), steps_per_epoch=2, epochs=2, verbose=0)
        ahead.append(len(seen) - 4)
    assert ahead[0] == 0
    assert ahead[1] >= 1  # two, where its threads are quick


def test_generator_batch_size(keras):
    with pytest.raises(ValueError, match="batch_size: expected none, since x gives batches"):
        ours().fit(batches(2), batch_size=4, verbose=0)
    callback, seen = counter(keras.callbacks.Callback, "on_train_batch_end")
    quiet(theirs(keras).fit, batches(2), batch_size=4, callbacks=[callback], verbose=0)
    assert seen == [0, 1]


def test_whole_labels(keras):
    with pytest.raises(ValueError, match="y: expected whole numbers of an integer dtype, received float64"):
        ours().fit(X, Y.astype(float), verbose=0)
    with pytest.raises(TypeError, match="x: expected whole numbers"):
        to_categorical([0.0, 2.0])
    a, b = (quiet(theirs(keras).evaluate, X, y, verbose=0)[0] for y in (Y, Y + 0.25))
    assert a == b
    np.testing.assert_array_equal(keras.utils.to_categorical([0.0, 1.5]), np.eye(2))


def test_labels_beyond(keras):
    model = ours()
    callback, seen = counter(keras.callbacks.Callback, "on_train_batch_end")
    with pytest.raises(ValueError, match="y: expected classes 0 to 2, received 0 to 3"):
        model.fit(X, np.append(Y[:-1], 3), verbose=0, batch_size=22, shuffle=False)
    assert model.steps_trained == 0
    with pytest.raises(Exception, match=r"(?s)label value of 3 .*outside the valid range"):
        quiet(
            theirs(keras).fit,
            X,
            np.append(Y[:-1], 3),
            batch_size=22,
            shuffle=False,
            callbacks=[callback],
            verbose=0,
        )
    assert seen == [0]


def test_missing_monitor(keras):
    for name in ("EarlyStopping", "ReduceLROnPlateau"):
        model, other = ours(), theirs(keras)
        with pytest.raises(
            ValueError, match="monitor: expected one of 'loss', 'accuracy', received 'val_loss'"
        ):
            model.fit(X, Y, callbacks=[getattr(training, name)()], verbose=0)
        assert model.steps_trained == 0
        text = said(other.fit, X, Y, callbacks=[getattr(keras.callbacks, name)()], verbose=0)
        assert "`val_loss` which is not available" in text


def test_monitor_mode(keras):
    """Both take less of "mse" for better, and more of the accuracy."""

    def top(y_true, y_pred):
        return y_pred[:, 0]

    def found(model, base, stopping):
        monitor = stopping.monitor
        scripted = script(base, **{monitor: [1.0, 2.0, 0.5]})
        quiet(model.fit, X, np.eye(3)[Y], epochs=3, callbacks=[scripted, stopping], verbose=0)
        return float(stopping.best)

    options = {"metrics": ["accuracy", "mse", top], "loss": "mse"}
    for monitor, expected in (("loss", 0.5), ("mse", 0.5), ("accuracy", 2.0), ("top", 2.0)):
        stopping = training.EarlyStopping(monitor, patience=9)
        assert found(ours(**options), training.Callback, stopping) == expected
        stopping = keras.callbacks.EarlyStopping(monitor, patience=9)
        if monitor == "top":
            with pytest.raises(ValueError, match="maximized or minimized"):
                found(theirs(keras, **options), keras.callbacks.Callback, stopping)
        else:
            assert found(theirs(keras, **options), keras.callbacks.Callback, stopping) == expected


def test_rate_in_logs(keras):
    model, other = ours(), theirs(keras)
    history = model.fit(X, Y, callbacks=[training.LearningRateScheduler(lambda epoch: 0.25)], verbose=0)
    assert list(history.history) == ["loss", "accuracy"]
    for callback in (
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.25),
        keras.callbacks.ReduceLROnPlateau("loss"),
    ):
        history = quiet(other.fit, X, Y, callbacks=[callback], verbose=0)
        assert history.history["learning_rate"] == [0.25]


def test_csv_lines(keras, tmp_path):
    scripted = {"loss": [0.123456789, 0.5], "accuracy": [1.0, 0.25]}
    rows = []
    for model, base, logger in (
        (ours(), training.Callback, training.CSVLogger),
        (theirs(keras), keras.callbacks.Callback, keras.callbacks.CSVLogger),
    ):
        callbacks = [script(base, **scripted), logger(str(tmp_path / "log.csv"))]
        quiet(model.fit, X, Y, epochs=2, callbacks=callbacks, verbose=0)
        with open(tmp_path / "log.csv", newline="", encoding="utf-8") as file:
            rows.append(list(csv.reader(file)))
    mine, other = rows
    assert mine == [["epoch", "loss", "accuracy"], ["1", "0.123457", "1"], ["2", "0.5", "0.25"]]
    assert other[0] == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert other[1:] == [["0", "1.0", "0.123456789", "NA", "NA"], ["1", "0.25", "0.5", "NA", "NA"]]
    without = theirs(keras, metrics=[])
    quiet(
        without.fit, X, Y, callbacks=[keras.callbacks.CSVLogger(tmp_path / "log.csv", append=True)], verbose=0
    )
    with pytest.raises(ValueError, match="expected the columns"):
        ours().fit(X, Y, callbacks=[training.CSVLogger(tmp_path / "log.csv", append=True)], verbose=0)


def test_tensorboard(keras, tmp_path):
    import_peer("tensorboard")
    accumulator = import_peer("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    writer = import_peer("tensorboardX").SummaryWriter(str(tmp_path / "mine"))
    options = {"epochs": 2, "validation_data": (X, Y), "verbose": 0}
    ours().fit(X, Y, callbacks=[training.MetricsLogger(writer)], **options)
    writer.close()
    board = keras.callbacks.TensorBoard(str(tmp_path / "theirs"))
    quiet(theirs(keras).fit, X, Y, callbacks=[board], **options)
    mine = accumulator(str(tmp_path / "mine")).Reload()
    assert {"loss", "val_loss"} < set(mine.Tags()["scalars"])
    assert [event.step for event in mine.Scalars("val_loss")] == [1, 2]
    for folder in ("train", "validation"):
        other = accumulator(str(tmp_path / "theirs" / folder)).Reload()
        assert [event.step for event in other.Tensors("epoch_loss")] == [0, 1]


def test_plot_model(keras, tmp_path, monkeypatch):
    picture = plot_network(ours(), tmp_path / "mine.svg")
    for shown in (">dense_1<", ">Dense, 7 units, relu<", ">8<", ">7<", ">3<"):
        assert shown in str(picture)
    defaults = inspect.signature(keras.utils.plot_model).parameters
    for name in ("show_shapes", "show_layer_names", "show_layer_activations"):
        assert defaults[name].default is False
        assert inspect.signature(plot_network).parameters[name].default is True
    for name in ("rankdir", "show_dtype", "show_trainable"):
        assert inspect.signature(plot_network).parameters[name].default == defaults[name].default
    monkeypatch.setattr(keras.src.utils.model_visualization, "pydot", None)
    with pytest.raises(ImportError, match="install pydot"):
        keras.utils.plot_model(theirs(keras), str(tmp_path / "theirs.png"))


def stop(base):
    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = True

    return type("Stop", (base,), {"on_train_batch_end": on_train_batch_end})()


def test_stopped_halfway(keras):
    model, other = ours(), theirs(keras)
    history = model.fit(X, Y, batch_size=5, epochs=3, callbacks=[stop(training.Callback)], verbose=0)
    assert (history.epoch, model.steps_trained) == ([], 1)
    callbacks = [stop(keras.callbacks.Callback)]
    history = quiet(other.fit, X, Y, batch_size=5, epochs=3, callbacks=callbacks, verbose=0)
    assert (history.epoch, int(other.optimizer.iterations.numpy())) == ([0], 1)


def test_end_after_error(keras):
    for model, base, expected in (
        (ours(), training.Callback, ["on_train_end"]),
        (theirs(keras), keras.callbacks.Callback, []),
    ):
        seen = []

        def fail(self, epoch, logs=None):
            raise OSError("full")

        events = {
            "on_epoch_end": fail,
            "on_train_end": lambda self, logs=None, seen=seen: seen.append("on_train_end"),
        }
        with pytest.raises(OSError, match="full"):
            quiet(model.fit, X, Y, callbacks=[type("Fail", (base,), events)()], verbose=0)
        assert seen == expected


def test_batch_events(keras):
    for model, base, expected in (
        (ours(), training.Callback, ["old", "new"]),
        (theirs(keras), keras.callbacks.Callback, ["new"]),
    ):
        seen = []
        events = {
            "on_batch_end": lambda self, batch, logs=None, seen=seen: seen.append("old"),
            "on_train_batch_end": lambda self, batch, logs=None, seen=seen: seen.append("new"),
        }
        quiet(model.fit, X, Y, callbacks=[type("Both", (base,), events)()], verbose=0)
        assert seen == expected


def test_own_events(keras):
    names = {name for name in dir(training.Callback) if name.startswith("on_")}
    others = {name for name in dir(keras.callbacks.Callback) if name.startswith("on_")}
    assert names - others == {"on_evaluate_begin", "on_evaluate_end", "on_nonfinite"}
    assert others <= names
    for model, base, expected in (
        (ours(), training.Callback, {"loss", "accuracy", "samples"}),
        (theirs(keras), keras.callbacks.Callback, {"loss", "accuracy"}),
    ):
        seen = []
        events = {"on_train_batch_end": lambda self, batch, logs=None, seen=seen: seen.append(set(logs))}
        quiet(model.fit, X, Y, callbacks=[type("Logs", (base,), events)()], verbose=0)
        assert seen == [expected]


def test_callback_order(keras):
    """An average of weights is exchanged before others see the model."""

    def made(base, name, seen, priority):
        events = {"on_epoch_end": lambda self, epoch, logs=None: seen.append(name), "priority": priority}
        return type("Named", (base,), events)()

    for model, base, expected in (
        (ours(), training.Callback, ["b", "a"]),
        (theirs(keras), keras.callbacks.Callback, ["a", "b"]),
    ):
        seen = []
        quiet(model.fit, X, Y, callbacks=[made(base, "a", seen, 1), made(base, "b", seen, 0)], verbose=0)
        assert seen == expected


def test_callback_params(keras):
    for model, base, expected in (
        (ours(), training.Callback, {"epochs", "steps", "samples", "batch_size", "metrics"}),
        (theirs(keras), keras.callbacks.Callback, {"epochs", "steps", "verbose"}),
    ):
        callback, _ = counter(base, "on_epoch_end")
        quiet(model.fit, X, Y, batch_size=5, epochs=2, callbacks=[callback], verbose=0)
        assert set(callback.params) == expected
        assert (callback.params["epochs"], callback.params["steps"]) == (2, 5)


def test_own_objects(keras):
    for make in (
        lambda: ours().fit(X, Y, callbacks=[keras.callbacks.Callback()]),
        lambda: ours().compile(keras.optimizers.SGD(), SPARSE),
        lambda: ours().compile("sgd", keras.losses.SparseCategoricalCrossentropy()),
        lambda: Sequential([keras.layers.Dense(3)]),
    ):
        with pytest.raises(ValueError, match="expected"):
            make()


def test_attributes(keras):
    model, other = ours(), theirs(keras)
    assert isinstance(model.loss, losses.SparseCategoricalCrossentropy)
    assert list(model.metrics) == ["accuracy"]
    assert isinstance(model.metrics, dict)
    assert type(model[0].kernel) is type(model.weights[0]) is np.ndarray
    assert type(model.optimizer.learning_rate) is float
    assert other.loss == SPARSE
    assert isinstance(other.metrics, list)
    assert isinstance(other.layers[0].kernel, keras.Variable)
    assert isinstance(other.optimizer.learning_rate, keras.Variable)
    assert type(other.get_weights()[0]) is type(model.get_weights()[0]) is np.ndarray


def test_metric_names(keras):
    assert ours().metric_names == ["loss", "accuracy"]
    assert theirs(keras).metrics_names == ["loss", "compile_metrics"]


def test_loss_functions(keras):
    def squared(y_true, y_pred):
        return (y_pred - y_true) ** 2

    with pytest.raises(ValueError, match=r"subclass tinycnn\.losses\.Loss"):
        ours(loss=squared)
    other = theirs(keras, loss=squared)
    expected = ours(loss="mse", metrics=[]).evaluate(X, np.eye(3)[Y])
    assert other.evaluate(X, np.eye(3)[Y], verbose=0)[0] == pytest.approx(expected, rel=1e-5)


def test_top_k_ties(keras):
    y, p = np.eye(4, dtype=np.float32), np.full((4, 4), 0.25, np.float32)
    assert metrics.top_k_categorical_accuracy(y, p, 1) == 0.25
    assert np.mean(keras.metrics.top_k_categorical_accuracy(y, p, 1)) == 1


def test_nan_is_never_right(keras):
    y, p = np.eye(4, dtype=np.float32), np.full((4, 4), np.nan, np.float32)
    assert metrics.accuracy(y, p) == 0
    assert np.mean(keras.metrics.categorical_accuracy(y, p)) == 0.25


def test_dense_axes(keras):
    x = np.zeros((2, 4, 5), np.float32)
    with pytest.raises(ValueError, match="put a Flatten before it"):
        Dense(3)(x)
    assert Sequential([Flatten(), Dense(3)])(x).shape == (2, 3)
    assert keras.layers.Dense(3)(x).shape == (2, 4, 3)


def test_input_layer(keras):
    model = Sequential([Dense(3)], input_shape=(8,))
    other = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    assert model.count_params() == other.count_params() == 27
    for kind, sequential in ((layers, Sequential), (keras.layers, keras.Sequential)):
        assert sequential([kind.InputLayer((8,)), kind.Dense(3)]).count_params() == 27
    assert not hasattr(layers, "Input")
    with pytest.raises(TypeError, match="input_shape"):
        keras.Sequential([keras.layers.Dense(3)], input_shape=(8,))


def test_save_formats(keras, tmp_path):
    model, other = ours(), theirs(keras)
    for suffix in ("npz", "keras", "h5"):
        model.save(tmp_path / f"m.{suffix}")
    other.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="Invalid filepath extension"):
        other.save(tmp_path / "m.npz")


def test_checkpoint_of_nan(keras, tmp_path):
    model, other = ours(), theirs(keras)
    callbacks = [broken(training.Callback), training.ModelCheckpoint(tmp_path / "a.h5")]
    with pytest.warns(UserWarning, match="not saved after epoch 2"):
        model.fit(X, Y, epochs=2, callbacks=callbacks, verbose=0)
    assert np.isfinite(tinycnn.load_model(tmp_path / "a.h5").parameters).all()
    path = tmp_path / "b.weights.h5"
    saver = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    quiet(other.fit, X, Y, epochs=2, callbacks=[broken(keras.callbacks.Callback), saver], verbose=0)
    with pytest.warns(UserWarning, match=r"b\.weights\.h5: NaN or infinite values in dense_1/kernel"):
        model.load_weights(path)
    assert np.isnan(model.parameters).all()


def test_summary_before_build(keras, capsys):
    with pytest.raises(ValueError, match=r"call model.build\(input_shape\) before summary"):
        Sequential([Dense(3)]).summary()
    keras.Sequential([keras.layers.Dense(3)]).summary()
    assert "unbuilt" in capsys.readouterr().out


def test_trainable_at_once(keras):
    """After a first epoch."""
    for model, moves in ((ours(), False), (theirs(keras), True)):
        quiet(model.fit, X, Y, verbose=0)
        model.layers[0].trainable = False
        before = model.get_weights()
        quiet(model.fit, X, Y, verbose=0)
        after = model.get_weights()
        assert np.array_equal(before[0], after[0]) != moves
        assert not np.array_equal(before[2], after[2])


def test_progress(keras, capsys):
    """Where the output is no terminal."""
    model, other = ours(), theirs(keras)
    model.evaluate(X, Y)
    model.predict(X)
    assert capsys.readouterr().out == ""
    model.fit(X, Y)
    assert re.fullmatch(r"Epoch 1/1  .* images/s  loss .*  accuracy .*\n", capsys.readouterr().out)
    for run in (lambda: other.evaluate(X, Y), lambda: other.predict(X), lambda: other.fit(X, Y)):
        quiet(run)
        assert "1/1" in capsys.readouterr().out


def test_config(keras):
    assert set(ours().get_config()) == {"name", "seed", "dtype", "input_shape", "layers"}
    config = theirs(keras).get_config()
    assert "seed" not in config
    assert config["layers"][0]["class_name"] == "InputLayer"


def test_diverged(keras):
    model, other = ours(rate=0.0), theirs(keras, rate=0.0)
    for each in (model, other):
        each.set_weights([w * np.nan for w in each.get_weights()])
    with pytest.raises(training.NonFiniteError, match="the loss is nan at batch 1 of epoch 1"):
        model.fit(X, Y, verbose=0)
    assert np.isnan(model.train_on_batch(X, Y)[0])
    assert said(other.fit, X, Y, verbose=0) == ""


def test_called_layer(keras):
    """Without a model, which would have a seed."""
    first, second = Dense(3), Dense(3)
    np.testing.assert_array_equal(first(X), second(X))
    layer = keras.layers.Dense
    assert not np.array_equal(layer(3)(X), layer(3)(X))
