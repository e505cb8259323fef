"""What a Keras user types: weights of images and classes, events, one batch, intermediate outputs, files."""

import numpy as np
import pytest

from tinycnn import Sequential, load_model, to_categorical
from tinycnn.layers import Activation, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.losses import CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy
from tinycnn.optimizers import SGD
from tinycnn.regularizers import L1, L1L2, L2
from tinycnn.training import Callback, EarlyStopping, LambdaCallback
from tinycnn.training.callbacks import EVENTS

pytestmark = pytest.mark.smoke
RNG = np.random.default_rng(5)
X, Y = RNG.random((23, 8), np.float32), RNG.integers(0, 3, 23)


def model(
    *, seed=4, optimizer=None, metrics=("accuracy",), loss="sparse_categorical_crossentropy", dtype="float32"
):
    built = Sequential(
        [Dense(7, activation="relu"), Dense(3, activation="softmax")],
        seed=seed,
        input_shape=(8,),
        dtype=dtype,
    )
    built.compile(optimizer or SGD(0.1), loss, list(metrics))
    return built


# Weights of images.


def test_a_weight_of_two_is_the_image_twice():
    """Twice as an image of 24, or once with weight 2 of 23: the sums of the gradients are equal."""
    weighted, doubled = model(dtype="float64"), model(dtype="float64")
    weights = np.ones(23)
    weights[3] = 2
    for each, x, y, w in (
        (weighted, X, Y, weights),
        (doubled, np.concatenate([X, X[3:4]]), np.append(Y, Y[3]), None),
    ):
        each.train_on_batch(x, y, sample_weight=w)
    np.testing.assert_allclose(weighted.gradients * 23, doubled.gradients * 24, rtol=1e-10)


def test_a_weight_of_zero_is_no_image():
    weighted, fewer = model(dtype="float64"), model(dtype="float64")
    weights = (np.arange(23) % 3 > 0).astype(float)
    weighted.train_on_batch(X, Y, weights)
    fewer.train_on_batch(X[weights > 0], Y[weights > 0])
    np.testing.assert_allclose(weighted.gradients * 23, fewer.gradients * weights.sum(), rtol=1e-10)


@pytest.mark.parametrize("one_hot", [False, True])
def test_weights_of_classes_are_those_of_their_images(one_hot):
    y = to_categorical(Y, 3) if one_hot else Y
    loss = "categorical_crossentropy" if one_hot else "sparse_categorical_crossentropy"
    by_class, by_image = model(loss=loss), model(loss=loss)
    by_class.fit(X, y, epochs=2, class_weight={0: 0.5, 2: 4.0}, verbose=0)
    by_image.fit(X, y, epochs=2, sample_weight=np.array([0.5, 1.0, 4.0])[Y], verbose=0)
    np.testing.assert_array_equal(by_class.parameters, by_image.parameters)
    both, product = model(), model()
    both.train_on_batch(X, Y, np.arange(23.0), {1: 3.0})
    product.train_on_batch(X, Y, np.arange(23.0) * np.where(Y == 1, 3.0, 1.0))
    np.testing.assert_array_equal(both.parameters, product.parameters)


def test_weights_in_evaluation_and_validation():
    built = model(metrics=())
    weights = RNG.random(23)
    losses = [built.test_on_batch(X[i : i + 1], Y[i : i + 1]) for i in range(23)]
    assert built.evaluate(X, Y, sample_weight=weights, batch_size=5) == pytest.approx(
        np.mean(losses * weights)
    )
    history = built.fit(X, Y, epochs=1, validation_data=(X, Y, weights), verbose=0)
    after = built.evaluate(X, Y, sample_weight=weights)
    assert history.history["val_loss"][0] == pytest.approx(after)


def test_weights_are_split_with_their_images():
    """The kept rows are those of weight 0, so that validation has none."""
    first, second = model(), model()
    weights = RNG.random(23)
    first.fit(X, Y, sample_weight=weights, validation_split=0.3, verbose=0, shuffle=False)
    second.fit(X * 1, Y * 1, sample_weight=weights * 1, validation_split=0.3, verbose=0, shuffle=False)
    np.testing.assert_array_equal(first.parameters, second.parameters)
    from tinycnn.training.batches import split

    rows, kept = split(Y, 0.3, 4)
    third = model()
    third.fit(
        X[rows],
        Y[rows],
        sample_weight=weights[rows],
        verbose=0,
        shuffle=False,
        validation_data=(X[kept], Y[kept], weights[kept]),
    )
    np.testing.assert_array_equal(first.parameters, third.parameters)
    assert first.history.history["val_loss"] == third.history.history["val_loss"]


# One batch, and models as functions.


def test_one_batch_at_a_time():
    built = model()
    loss, accuracy = built.test_on_batch(X, Y)
    assert [loss, accuracy] == pytest.approx(built.evaluate(X, Y, batch_size=7, verbose=0))
    np.testing.assert_array_equal(built.predict_on_batch(X), built.predict(X))
    np.testing.assert_array_equal(built(X.astype(np.float64)), built.predict(X))
    assert built.steps_trained == 0


def test_a_layer_as_a_function():
    layer = Dense(3, activation="relu")
    y = layer(X)
    np.testing.assert_allclose(y, np.maximum(X @ layer.kernel + layer.bias, 0), atol=1e-6)
    np.testing.assert_array_equal(layer(X), y)
    assert [w.shape for w in layer.weights] == [(8, 3), (3,)]
    assert layer.output_shape == (3,)
    layer.trainable = False
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (0, 2)
    assert Dense(3, use_bias=False)(X).shape == (23, 3)


# Layers by name, weights, intermediate outputs.


def pictures():
    built = Sequential(
        [
            Conv2D(3, 2, activation="relu", algorithm="im2col"),
            MaxPooling2D(2, algorithm="im2col"),
            Flatten(),
            Dropout(0.5),
            Dense(4, activation="softmax", name="out"),
        ],
        seed=0,
        input_shape=(7, 5, 2),
    )
    built.compile()
    return built, RNG.random((11, 7, 5, 2), np.float32)


def test_intermediate_outputs():
    built, x = pictures()
    found = built.activations(x, batch_size=4)
    assert list(found) == ["conv2d_1", "max_pooling2d_1", "flatten_1", "dropout_1", "out"]
    y = x
    for layer, output in zip(built, found.values(), strict=True):
        y = layer.forward(y)
        np.testing.assert_array_equal(output, y)
    np.testing.assert_allclose(found["out"], built.predict(x), rtol=1e-5)
    some = built.activations(x, [built[0], 2, "out"])
    assert list(some) == ["conv2d_1", "flatten_1", "out"]
    assert list(built.activations(x, "out")) == ["out"]
    with pytest.raises(ValueError, match="layer: expected one of 'conv2d_1'"):
        built.activations(x, ["conv2d"])


def test_layers_by_name_and_number():
    built, _ = pictures()
    assert built.get_layer("out") is built.get_layer(index=-1) is built.layers[4]
    for arguments, message in (
        ({"name": "conv"}, "layer: expected one of 'conv2d_1', 'dropout_1'"),
        ({"index": 5}, "index: expected a number below 5, received 5"),
        ({}, "expected a name or an index, received both or none"),
    ):
        with pytest.raises(ValueError, match=message):
            built.get_layer(**arguments)
    assert built.output_shape == (4,)
    assert [w.shape for w in built.weights] == [w.shape for w in built.get_weights()]
    built[0].trainable = False
    assert [w.shape for w in built.trainable_weights] == [(18, 4), (4,)]
    assert [w.shape for w in built.non_trainable_weights] == [(2, 2, 2, 3), (3,)]


@pytest.mark.parametrize("suffix", ["h5", "npz"])
def test_weights_in_a_file(suffix, tmp_path):
    built = model()
    built.fit(X, Y, verbose=0)
    path = tmp_path / f"weights.{suffix}"
    built.save_weights(path)
    other = model(seed=9)
    other.load_weights(path)
    np.testing.assert_array_equal(other.parameters, built.parameters)
    assert other.optimizer.iterations == 0
    assert load_model(path).optimizer is None
    renamed = Sequential([Dense(7, name="a"), Dense(3, name="b")])
    renamed.load_weights(path)
    np.testing.assert_array_equal(renamed.parameters, built.parameters)
    smaller = Sequential([Dense(6), Dense(3)], input_shape=(8,), seed=0)
    before = smaller.parameters.copy()
    with pytest.raises(
        ValueError, match=r"expected the weights dense_1/kernel \(8, 6\), .* received .*\(8, 7\)"
    ):
        smaller.load_weights(path)
    np.testing.assert_array_equal(smaller.parameters, before)


def test_one_hot_rows():
    np.testing.assert_array_equal(to_categorical([1, 0, 3]), np.eye(4)[[1, 0, 3]])
    np.testing.assert_array_equal(to_categorical(np.array([[2], [0]], np.uint8), 5), np.eye(5)[[2, 0]])
    assert to_categorical([[0, 1, 1], [1, 0, 0]], 2).shape == (2, 3, 2)
    for x, classes, message in (
        ([3], 3, "x: expected 0 to 2, received 3 to 3"),
        ([-1], 3, "received -1 to -1"),
    ):
        with pytest.raises(ValueError, match=message):
            to_categorical(x, classes)
    with pytest.raises(TypeError, match="x: expected whole numbers, received float64"):
        to_categorical([0.5])


# Events.


def recorder(seen, *, logs):
    """Return a callback that records its events: methods in Keras' form, or without `logs`."""

    def method(event):
        if logs:
            if "batch" in event or "epoch" in event:
                return lambda self, number, logs=None: seen.append((event, number, sorted(logs or {})))
            return lambda self, logs=None: seen.append((event, sorted(logs or {})))
        if "batch" in event or "epoch" in event:
            return lambda self, number: seen.append((event, number))
        return lambda self: seen.append((event,))

    return type("Recorder", (Callback,), {event: method(event) for event in EVENTS})()


@pytest.mark.parametrize("logs", [True, False])
def test_every_event_of_a_run(logs):
    seen = []
    model().fit(X, Y, batch_size=12, validation_data=(X, Y), callbacks=recorder(seen, logs=logs), verbose=0)
    batch = [
        "on_batch_begin",
        "on_train_batch_begin",
        "on_batch_end",
        "on_train_batch_end",
    ]
    test = ["on_test_batch_begin", "on_test_batch_end"]
    expected = [
        "on_train_begin",
        "on_epoch_begin",
        *batch,
        *batch,
        "on_evaluate_begin",
        "on_test_begin",
        *test,
        *test,
        "on_test_end",
        "on_epoch_end",
        "on_evaluate_end",
        "on_train_end",
    ]
    assert [event for event, *_ in seen] == expected
    if logs:
        by_name = {event: rest[-1] for event, *rest in seen}
        assert by_name["on_epoch_end"] == ["accuracy", "loss", "val_accuracy", "val_loss"]
        assert (
            by_name["on_train_batch_end"] == by_name["on_test_batch_end"] == ["accuracy", "loss", "samples"]
        )
        assert by_name["on_test_end"] == ["accuracy", "loss"]
        assert by_name["on_train_begin"] == by_name["on_epoch_begin"] == []


def test_events_of_evaluate_and_predict():
    seen = []
    built, callback = model(), recorder(seen, logs=True)
    built.evaluate(X, Y, batch_size=12, callbacks=[callback])
    built.predict(X, batch_size=12, callbacks=[callback])
    assert [event for event, *_ in seen] == [
        "on_test_begin",
        *["on_test_batch_begin", "on_test_batch_end"] * 2,
        "on_test_end",
        "on_predict_begin",
        *["on_predict_batch_begin", "on_predict_batch_end"] * 2,
        "on_predict_end",
    ]


def test_a_lambda_for_any_event():
    seen = []
    callback = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch), on_test_begin=None)
    model().fit(X, Y, batch_size=5, callbacks=[callback], verbose=0)
    assert seen == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="LambdaCallback: event: expected one of 'on_batch_begin'"):
        LambdaCallback(on_epoch_ended=print)
    with pytest.raises(TypeError, match="on_epoch_end: expected a function, received 5"):
        LambdaCallback(on_epoch_end=5)


# Epochs.


def test_epochs_have_one_meaning(tmp_path):
    """Those of the run, with a checkpoint and without; a run that has ended has none left."""
    plain, kept = model(), model()
    plain.fit(X, Y, epochs=3, verbose=0)
    kept.fit(X, Y, epochs=3, verbose=0, checkpoint=tmp_path)
    np.testing.assert_array_equal(plain.parameters, kept.parameters)
    plain.fit(X, Y, epochs=2, verbose=0)
    assert plain.history.epoch == [3, 4]
    again = model()
    again.fit(X, Y, epochs=3, verbose=0, checkpoint=tmp_path)
    assert again.steps_trained == kept.steps_trained


def test_initial_epoch_is_kerass():
    """`epochs` is the number of the last one then."""
    first, whole = model(), model()
    first.fit(X, Y, epochs=2, verbose=0)
    history = first.fit(X, Y, epochs=5, initial_epoch=2, verbose=0)
    assert history.epoch == [2, 3, 4]
    whole.fit(X, Y, epochs=5, verbose=0)
    np.testing.assert_array_equal(first.parameters, whole.parameters)
    assert first.fit(X, Y, epochs=5, initial_epoch=5, verbose=0).epoch == []
    assert model().fit(X, Y, epochs=8, initial_epoch=6, verbose=0).epoch == [6, 7]


# Metrics, losses, regularizers.


def test_metrics_in_other_forms():
    assert model(metrics=()).metric_names == ["loss"]
    one = Sequential([Dense(3, activation="softmax")], seed=0, input_shape=(8,))
    one.compile("sgd", metrics="accuracy")
    assert one.metric_names == ["loss", "accuracy"]

    def largest(y_true, y_pred):
        return y_pred.max()

    one.compile("sgd", metrics=["acc", largest])
    assert one.metric_names == ["loss", "acc", "largest"]
    assert one.evaluate(X, Y)[2] == pytest.approx(one.predict(X).max())
    one.compile("sgd", loss=MeanSquaredError, metrics=[])
    assert isinstance(one.loss, MeanSquaredError)
    with pytest.raises(ValueError, match=r"subclass tinycnn\.losses\.Loss"):
        one.compile("sgd", loss=lambda y_true, y_pred: 0.0)


@pytest.mark.parametrize("regularizer", ["l1", "l2", "l1_l2", L1(0.3), L2(0.02), L1L2(0.1, 0.2)])
def test_gradients_of_regularizers(regularizer):
    """Against differences of the loss; at 0 the slope of the absolute value is 0."""
    built = Sequential(
        [Dense(5, activation="tanh", kernel_regularizer=regularizer), Dense(3, bias_regularizer=regularizer)],
        seed=1,
        input_shape=(8,),
        dtype="float64",
    )
    built.compile(SGD(0.0), "mse")
    built.parameters += RNG.standard_normal(built.parameters.size)
    y = RNG.random((23, 3))
    loss = built.train_on_batch(X, y)
    assert loss == pytest.approx(built.evaluate(X, y))
    gradients = built.gradients.copy()
    for i in range(0, built.parameters.size, 5):
        shifted = []
        for sign in (1, -1):
            built.parameters[i] += sign * 1e-6
            shifted.append(built.test_on_batch(X, y))
            built.parameters[i] -= sign * 1e-6
        assert gradients[i] == pytest.approx((shifted[0] - shifted[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_the_penalty_is_the_formula_and_survives_a_file(tmp_path):
    built = Sequential([Dense(3, kernel_regularizer=L1L2(0.1, 0.2))], seed=0, input_shape=(8,))
    built.compile(SGD(0.0), "mse")
    w = built[0].kernel.astype(np.float64)
    y = built.predict(X)
    assert built.train_on_batch(X, y) == pytest.approx(
        0.1 * np.abs(w).sum() + 0.2 * np.square(w).sum(), rel=1e-5
    )
    assert repr(built[0]) == "Dense(units=3, name='dense_1', kernel_regularizer=L1L2(l1=0.1, l2=0.2))"
    built.save(tmp_path / "a.npz")
    assert load_model(tmp_path / "a.npz")[0].kernel_regularizer == L1L2(0.1, 0.2)
    built[0].kernel_regularizer = None
    assert built.train_on_batch(X, y) == pytest.approx(0, abs=1e-10)
    for wrong, message in (
        ("l3", "kernel_regularizer: expected one of"),
        (5, 'expected a name such as "l2"'),
    ):
        with pytest.raises(ValueError, match=message):
            Dense(3, kernel_regularizer=wrong)


# What is said before the first step.


@pytest.mark.parametrize(
    ("stack", "loss", "message"),
    [
        ([Dense(5, activation="softmax")], SparseCategoricalCrossentropy(from_logits=True), "expects logits"),
        ([Dense(5), Activation("softmax")], CategoricalCrossentropy(from_logits=True), "expects logits"),
        ([Dense(5)], "sparse_categorical_crossentropy", "expects probabilities, .* ends with 'linear'"),
        ([Dense(5, activation="relu"), Dropout(0.1)], "categorical_crossentropy", "ends with 'relu'"),
        (
            [Dense(5, activation="softmax"), Activation("softmax")],
            "categorical_crossentropy",
            "applied twice",
        ),
        ([Dense(1, activation="softmax")], "categorical_crossentropy", "a softmax over one output"),
        ([Dense(1)], "binary_crossentropy", "expects probabilities"),
    ],
)
def test_a_loss_that_does_not_suit_the_last_layer(stack, loss, message):
    built = Sequential(stack, seed=0, input_shape=(8,))
    with pytest.warns(UserWarning, match=message):
        built.compile("sgd", loss)


@pytest.mark.parametrize(
    ("stack", "loss"),
    [
        ([Dense(5)], SparseCategoricalCrossentropy(from_logits=True)),
        ([Dense(5), Activation("softmax"), Flatten()], "categorical_crossentropy"),
        ([Dense(5)], "mse"),
        ([Dense(1, activation="sigmoid")], "binary_crossentropy"),
        ([], "categorical_crossentropy"),
    ],
)
def test_a_loss_that_suits_the_last_layer(stack, loss):
    Sequential(stack, seed=0).compile("sgd", loss)


def test_targets_of_one_axis():
    """(N,) for outputs (N, 1) is (N, 1), as in Keras."""
    flat, column = (Sequential([Dense(1)], seed=0, input_shape=(8,)) for _ in range(2))
    y = RNG.random(23).astype(np.float32)
    for built, targets in ((flat, y), (column, y[:, np.newaxis])):
        built.compile(SGD(0.1), "mse")
        built.fit(X, targets, epochs=2, verbose=0, validation_data=(X, targets))
    np.testing.assert_array_equal(flat.parameters, column.parameters)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"y": np.ones((23, 2))},
            r"^y: expected one class number for each image, received shape \(2,\) for each",
        ),
        ({"y": np.full(23, 3)}, "^y: .*classes 0 to 2, received 3 to 3"),
        ({"y": np.append(Y[:-1], 7)}, "^y: .*classes 0 to 2, received 0 to 7"),
        ({"validation_data": (X, np.ones((23, 2)))}, "^validation_data: expected one class number"),
        ({"validation_data": (X, np.append(Y[:-1], -1))}, "^validation_data: .*received -1 to 2"),
        ({"validation_data": (X[:, :5], Y)}, "^validation_data: x: expected shape"),
        ({"validation_data": (X, Y[:5])}, "^validation_data: y: expected labels for 23 images"),
        ({"callbacks": EarlyStopping()}, "monitor: .*received 'val_loss'; is there validation data"),
        ({"callbacks": EarlyStopping("acc")}, "monitor: expected one of 'loss', 'accuracy', received 'acc'"),
    ],
)
def test_what_cannot_work_is_refused_before_callbacks_begin(arguments, message):
    built, seen = model(), []
    watch = LambdaCallback(on_epoch_begin=seen.append)
    arguments = {"x": X, "y": Y, **arguments}
    arguments.setdefault("callbacks", [watch])
    before = built.parameters.copy()
    with pytest.raises(ValueError, match=message):
        built.fit(**arguments, verbose=0)
    np.testing.assert_array_equal(built.parameters, before)
    assert seen == []


def test_a_callback_of_ones_own_may_add_a_figure_that_another_watches():
    class Add(Callback):
        def on_epoch_end(self, epoch, logs):
            logs["mine"] = -epoch

    stopping = EarlyStopping("mine", mode="min")
    model().fit(X, Y, epochs=3, callbacks=[Add(), stopping], verbose=0)
    assert stopping.best == -2


def test_a_figure_that_a_callback_adds_is_in_the_history():
    """With NaN for an epoch without it, and no text."""

    class Add(Callback):
        def on_epoch_end(self, epoch, logs):
            logs["every"] = np.float32(epoch + 0.5)
            logs["said"] = "yes"
            if epoch == 1:
                logs["once"] = 7

    history = model(metrics=()).fit(X, Y, epochs=3, callbacks=[Add()], verbose=0)
    assert list(history.history) == ["loss", "every", "once"]
    assert history.history["every"] == [0.5, 1.5, 2.5]
    np.testing.assert_array_equal(history.history["once"], [np.nan, 7, np.nan])


def test_a_generator_is_not_asked_again():
    """A second epoch of one that has ended would go on for ever; the figures of no validation are NaN."""
    built = model()
    with pytest.warns(UserWarning, match="x: expected at least one batch, received 0 before the end"):
        history = built.fit(((X, Y) for _ in range(2)), epochs=3, verbose=0)
    assert (history.epoch, built.steps_trained) == ([0], 2)
    with pytest.warns(UserWarning, match="validation_data: expected 2 batches, received 0"):
        history = built.fit(
            X, Y, epochs=2, verbose=0, validation_data=((X, Y) for _ in range(2)), validation_steps=2
        )
    assert np.isfinite(history.history["val_loss"][0])
    assert np.isnan(history.history["val_loss"][1])


def test_return_dict_is_no_verbose():
    """The fourth argument of Keras' evaluate."""
    assert list(model().evaluate(X, Y, 5, True)) == ["loss", "accuracy"]
    with pytest.raises(TypeError, match="return_dict: expected True or False, received 1"):
        model().evaluate(X, Y, 5, 1)


def test_a_frozen_layer_has_no_penalty():
    """As in Keras; its figures come back with its training."""
    built = Sequential(
        [Dense(7, kernel_regularizer=L2(0.5)), Dense(3, activation="softmax")], seed=1, input_shape=(8,)
    )
    built.compile("sgd")
    free = built.evaluate(X, Y)
    built[0].trainable = False
    assert built.evaluate(X, Y) == pytest.approx(free - L2(0.5)(built[0].kernel))
    assert built.train_on_batch(X, Y) == pytest.approx(free - L2(0.5)(built[0].kernel))


@pytest.mark.parametrize("shuffle", [False, True])
def test_epochs_of_fewer_steps_go_through_all_images(shuffle, tmp_path):
    """23 images in five batches: 2 + 2 + 1 and 1 + 2 + 2, as two epochs of all of them."""
    whole, parts = model(), model()
    whole.fit(X, Y, batch_size=5, epochs=2, shuffle=shuffle, verbose=0)
    parts.fit(X, Y, batch_size=5, epochs=5, steps_per_epoch=2, shuffle=shuffle, verbose=0)
    np.testing.assert_array_equal(parts.parameters, whole.parameters)
    assert parts.epochs_trained == 5


def test_a_train_step_of_ones_own_is_not_ignored():
    """In Keras `fit` calls it; here the error says what to override."""

    class Mine(Sequential):
        def train_step(self, x, y, weights=None):
            return super().train_step(x, y, weights)

    model = Mine([Flatten(), Dense(3, activation="softmax")], seed=1, input_shape=(4, 5, 1))
    model.compile("adam")
    x, y = np.random.default_rng(0).random((6, 4, 5, 1), np.float32), np.arange(6) % 3
    with pytest.raises(ValueError, match=r"Mine.train_step: fit calls compute_gradients and apply_gradients"):
        model.fit(x, y, verbose=0)
    model.train_on_batch(x, y)
    assert model.steps_trained == 1
