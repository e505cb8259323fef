"""What is assigned, shared or copied acts everywhere or is refused: a network never trains something else."""

import copy
import gc
import pickle
import re

import numpy as np
import pytest

from tinycnn import Sequential, layers, load_model
from tinycnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Layer,
    MaxPooling2D,
    ReLU,
    Reshape,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)
from tinycnn.losses import CategoricalCrossentropy
from tinycnn.optimizers import SGD, Adadelta, Adam, AdamW, RMSprop
from tinycnn.optimizers.schedules import CosineDecay

pytestmark = pytest.mark.smoke
RNG = np.random.default_rng(7)
X, Y = RNG.random((23, 8), np.float32), RNG.integers(0, 3, 23)


def small(seed=3, **compiling):
    model = Sequential(
        [
            Dense(7, activation="relu", name="hidden"),
            BatchNormalization(),
            Dropout(0.5),
            Dense(3, activation="softmax", name="out"),
        ],
        seed=seed,
        input_shape=(8,),
    )
    model.compile(**{"optimizer": SGD(0.1, momentum=0.9), **compiling})
    return model


def fit(model, epochs=2):
    model.fit(X, Y, epochs=epochs, batch_size=5, verbose=0)
    return model


# Weights.


@pytest.mark.parametrize("how", ["item", "dictionary", "update", "merge", "attribute", "set_weights"])
def test_an_assigned_kernel_is_trained_and_saved(how, tmp_path):
    model, twin = small(), small()
    kernel = RNG.standard_normal((7, 3)).astype(np.float32)
    twin.parameters[-24:-3] = kernel.reshape(-1)
    out = model["out"]
    if how == "item":
        out.params["kernel"] = kernel
    elif how == "dictionary":
        out.params = {"kernel": kernel, "bias": np.zeros(3)}
    elif how == "update":
        out.params.update(kernel=kernel)
    elif how == "merge":
        out.params |= {"kernel": kernel}
    elif how == "attribute":
        out.kernel = kernel
    else:
        out.set_weights([kernel, np.zeros(3)])
    kernel[...] = np.nan  # the values were copied
    np.testing.assert_array_equal(fit(model).parameters, fit(twin).parameters)
    model.save(tmp_path / "a.npz")
    np.testing.assert_array_equal(load_model(tmp_path / "a.npz")["out"].kernel, twin["out"].kernel)


def test_gradients_and_state_that_are_assigned():
    model = small()
    model["hidden"].grads["bias"] = np.arange(7)
    np.testing.assert_array_equal(model.gradients[56:63], np.arange(7))
    norm = model["batch_normalization_1"]
    norm.state = {"moving_mean": np.arange(7), "moving_variance": np.ones(7)}
    norm.moving_variance = np.full(7, 4)
    twin = small()
    twin[1].state["moving_mean"][...] = np.arange(7)
    twin[1].state["moving_variance"][...] = 4
    np.testing.assert_array_equal(model.predict(X), twin.predict(X))


def test_a_layer_of_ones_own_that_replaces_its_gradients_learns():
    class Scale(Layer):
        def __init__(self, name=None):
            super().__init__(name)
            self._initializers = {"factor": lambda shape, rng: np.ones(shape)}

        def param_shapes(self, input_shape):
            return {"factor": input_shape}

        def forward(self, x, training=False):
            self._saved = x
            return x * self.params["factor"]

        def backward(self, dy):
            self.grads = {"factor": (dy * self._saved).sum(axis=0)}
            return dy * self.params["factor"]

    model = Sequential([Scale(), Dense(3, activation="softmax")], seed=0, input_shape=(8,))
    model.compile(SGD(0.5))
    fit(model)
    assert np.abs(model[0].params["factor"] - 1).min() > 0


def test_whole_vectors_that_are_assigned():
    model, twin = small(), small()
    values = RNG.standard_normal(model.parameters.size)
    vector = model.parameters
    model.parameters = values
    model.gradients += 1
    assert model.parameters is vector
    twin.parameters[...] = values
    np.testing.assert_array_equal(fit(model).parameters, fit(twin).parameters)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            lambda m: m["out"].params.__setitem__("kernel", np.ones((3, 7))),
            r"kernel: expected shape \(7, 3\)",
        ),
        (lambda m: m["out"].params.__setitem__("other", np.ones(3)), "expected one of"),
        (lambda m: m["out"].params.pop("bias"), "which a model holds, received 'bias'"),
        (lambda m: m["out"].params.clear(), "which a model holds"),
        (lambda m: setattr(m["out"], "params", {"kernel": np.ones((7, 3))}), "expected a dictionary of"),
        (lambda m: setattr(m["out"], "params", None), "expected a dictionary of"),
        (lambda m: setattr(m, "parameters", np.ones(5)), r"parameters: expected shape \(101,\)"),
        (lambda m: setattr(m["dropout_1"], "seed", 5), "seed: expected None, as it was built with"),
        (lambda m: setattr(Dense(3), "kernel", 1), "is it built"),
    ],
)
def test_weights_that_do_not_fit(action, message):
    model = small()
    before = model.parameters.copy()
    with pytest.raises(ValueError, match=message):
        action(model)
    np.testing.assert_array_equal(model.parameters, before)


# Attributes.


def test_an_assigned_activation_acts_on_every_path_and_in_files(tmp_path):
    model = small()
    many, few = model.predict(X), model.predict(X[:3])
    np.testing.assert_allclose(many[:3], few, atol=1e-6)
    model[-1].activation = "linear"
    many, few = model.predict(X), model.predict(X[:3])
    np.testing.assert_allclose(many[:3], few, atol=1e-6)
    assert np.abs(many.sum(axis=1) - 1).min() > 1e-3
    model.save(tmp_path / "a.npz")
    with pytest.warns(UserWarning, match="the last layer ends with 'linear'"):
        loaded = load_model(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded.predict(X), many)


@pytest.mark.parametrize("attribute", ["learning_rate", "lr"])
@pytest.mark.parametrize("optimizer", [SGD, Adam, AdamW, RMSprop, Adadelta])
def test_a_rate_that_is_assigned(attribute, optimizer):
    model, twin = small(optimizer=optimizer()), small(optimizer=optimizer(learning_rate=0.5))
    setattr(model.optimizer, attribute, 0.5)
    assert model.optimizer.learning_rate == 0.5
    np.testing.assert_array_equal(fit(model).parameters, fit(twin).parameters)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (Adam, "learning_rate", -1.0),
        (Adam, "learning_rate", "0.1"),
        (Adam, "lr", float("nan")),
        (Adam, "beta_1", 1.5),
        (SGD, "momentum", -0.1),
        (SGD, "nesterov", "yes"),
        (Adam, "weight_decay", -1),
        (lambda: Dropout(0.5), "rate", 1.5),
        (lambda: GaussianNoise(0.5), "stddev", 1.5),
        (lambda: GaussianNoise(0.5), "seed", -1),
        (ReLU, "max_value", -1),
        (ReLU, "negative_slope", "steep"),
        (ReLU, "threshold", -0.5),
        (Softmax, "axis", 1.5),
        (ZeroPadding2D, "padding", (1, -2)),
        (UpSampling2D, "size", 0),
        (UpSampling2D, "interpolation", "bicubic"),
        (lambda: Reshape((3, 4)), "target_shape", (-1, -1)),
        (lambda: Dense(3), "units", 0),
        (lambda: Dense(3), "activation", "swoosh"),
        (lambda: Dense(3), "kernel_initializer", "heaps"),
        (lambda: Dense(3), "trainable", "no"),
        (lambda: Conv2D(3, 2), "algorithm", "fastest"),
        (lambda: MaxPooling2D(2), "padding", "reflect"),
        (BatchNormalization, "momentum", 2),
        (CategoricalCrossentropy, "from_logits", 1),
        (lambda: CosineDecay(0.1, 10), "decay_steps", 0),
    ],
)
def test_values_that_a_constructor_refuses_are_refused_later_too(make, name, value):
    thing = make()
    before = repr(thing)
    with pytest.raises(ValueError, match=name.replace("lr", "learning_rate").replace("kernel_", "")):
        setattr(thing, name, value)
    assert repr(thing) == before


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda: Dense(3), "units", 4),
        (lambda: Dense(3), "use_bias", False),
        (lambda: Dense(3), "kernel_initializer", "zeros"),
        (lambda: Dense(3), "input_shape", (5,)),
        (lambda: Dense(3), "dtype", np.float64),
        (BatchNormalization, "scale", False),
    ],
)
def test_what_a_layer_was_built_with_stays(make, name, value):
    layer = make()
    Sequential([layer], input_shape=(8,), seed=0)
    with pytest.raises(ValueError, match="make a new layer"):
        setattr(layer, name, value)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda: Conv2D(3, 3), "filters", 4),
        (lambda: Conv2D(3, 3), "kernel_size", 2),
        (lambda: Conv2D(3, 3), "strides", 2),
        (lambda: Conv2D(3, 3), "padding", "same"),
        (lambda: Conv2D(3, 3), "dilation_rate", 2),
        (lambda: MaxPooling2D(2), "pool_size", 3),
        (lambda: AveragePooling2D(2), "strides", (1, 2)),
    ],
)
def test_the_geometry_of_a_built_layer_stays(make, name, value):
    layer = make()
    layer.build((9, 8, 2), np.random.default_rng(0))
    with pytest.raises(ValueError, match="make a new layer"):
        setattr(layer, name, value)


def test_arguments_of_a_layer_that_is_not_built_may_change():
    layer = Dense(3)
    layer.units, layer.kernel_initializer, layer.activation = 5, "zeros", "relu"
    layer.build((8,), np.random.default_rng(0))
    assert layer.kernel.shape == (8, 5)
    assert not layer.kernel.any()
    assert repr(layer) == "Dense(units=5, activation='relu', kernel_initializer='zeros')"


def test_settings_act_from_the_next_step():
    model = small()
    fit(model)
    model[2].rate = 0.0
    model[1].momentum = 0.0
    model.forward(X, training=True)
    y = model[0].forward(X)
    np.testing.assert_allclose(model[1].moving_mean, y.mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(model.forward(X, training=True), model.forward(X, training=True))


def test_trainable_of_a_model_is_that_of_its_layers():
    model = small()
    model.trainable = False
    assert not model.trainable
    assert not any(layer.trainable for layer in model)
    before = model.parameters.copy()
    with pytest.warns(UserWarning, match="no layer is trainable"):
        fit(model)
    np.testing.assert_array_equal(model.parameters, before)
    model.trainable = True
    assert np.abs(fit(model).parameters - before).max() > 0


@pytest.mark.parametrize("method", ["append", "insert", "pop", "remove", "clear", "extend", "sort"])
def test_the_list_of_layers_is_read_only(method):
    with pytest.raises(TypeError, match=r"call model.add\(layer\) or model.pop\(\)"):
        getattr(small().layers, method)()


@pytest.mark.parametrize(
    ("name", "value"),
    [("layers", []), ("input_shape", (4,)), ("dtype", "float64"), ("seed", 5)],
)
def test_what_a_model_was_built_with_stays(name, value):
    with pytest.raises(ValueError, match=f"{name} cannot be replaced"):
        setattr(small(), name, value)


def test_other_mutations_of_the_list_of_layers():
    layers = small().layers
    with pytest.raises(TypeError, match="can only be read"):
        layers[0] = Dense(3)
    with pytest.raises(TypeError, match="can only be read"):
        del layers[0]
    assert [*layers, Dense(3)][-1].units == 3
    assert type(copy.deepcopy(layers)) is type(layers)


def test_optimizer_loss_and_metrics_that_are_assigned():
    model, twin = small(), small(optimizer="rmsprop", loss="mse", metrics=["accuracy"])
    model.optimizer, model.loss, model.metrics = "rmsprop", "mse", ["accuracy"]
    y = np.eye(3, dtype=np.float32)[Y]
    assert model.train_on_batch(X, y) == twin.train_on_batch(X, y)
    np.testing.assert_array_equal(model.parameters, twin.parameters)
    with pytest.raises(ValueError, match="optimizer: expected one of"):
        model.optimizer = "adm"
    with pytest.raises(ValueError, match="loss: expected one of"):
        model.loss = "msee"


def test_names_that_are_assigned():
    model = small()
    model["out"].name = "logits"
    assert model["logits"] is model[-1]
    assert model.parameter_names[-1] == "logits/bias"
    with pytest.raises(ValueError, match="expected one that is not taken, received 'hidden'"):
        model["logits"].name = "hidden"


def test_changing_settings_for_ever_takes_no_memory():
    model = small()
    for number in range(100):
        model[2].rate = number / 200
        model.predict(X)
    assert len(model._plans) <= 32


# Owners.


def test_layers_of_two_models_are_refused():
    stack = [Dense(4, activation="relu"), Dense(3, activation="softmax")]
    first = Sequential(stack, seed=0)
    with pytest.raises(ValueError, match=r"Dense.* belongs to another model; .* copy.deepcopy"):
        Sequential(stack, seed=0)
    with pytest.raises(ValueError, match="belongs to another model"):
        Sequential().add(stack[1])
    first.build((8,))
    second = Sequential(map(copy.deepcopy, stack), seed=0)
    second.build((8,))
    for model in (first, second):
        model.compile("adam")
    before = first.parameters.copy()
    fit(second)
    np.testing.assert_array_equal(first.parameters, before)
    np.testing.assert_array_equal(fit(first).parameters, second.parameters)


def test_layers_of_a_model_that_failed_or_is_gone_can_be_used():
    stack = [Dense(4), Dense(2)]
    with pytest.raises(TypeError, match="layer: expected a"):
        Sequential([*stack, "softmax"])
    with pytest.raises(ValueError, match="expected input shape"):
        Sequential(stack, input_shape=(3, 4))
    model = Sequential(stack, input_shape=(3,), seed=0)
    kernel = stack[0].kernel.copy()
    del model
    gc.collect()
    again = Sequential([*stack[:1], Dense(5)], input_shape=(3,), seed=1)
    np.testing.assert_array_equal(again[0].kernel, kernel)
    assert np.shares_memory(again[0].kernel, again.parameters)


def test_a_layer_that_is_built_keeps_its_weights_in_a_model():
    layer = Dense(4)
    layer.build((8,), np.random.default_rng(5))
    kernel = layer.kernel.copy()
    model = Sequential([layer, Dense(3, activation="softmax")], seed=0, input_shape=(8,))
    np.testing.assert_array_equal(model[0].kernel, kernel)
    model.compile(SGD(0.5))
    fit(model)
    assert np.abs(model[0].kernel - kernel).max() > 0
    other = Dense(4)
    other.build((8,), np.random.default_rng(5), np.float64)
    with pytest.raises(ValueError, match="expected a layer of float32, received one of float64"):
        Sequential([other], input_shape=(8,))


def test_pop_and_add_exchange_the_head_of_a_trained_network():
    model = fit(small())
    body = model.parameters[:63].copy()
    head = model.pop()
    assert head.name == "out"
    assert not np.shares_memory(head.kernel, model.parameters)
    assert model.output_shape == (7,)
    with pytest.raises(ValueError, match=r"call model\.compile"):
        model.fit(X, Y)
    model.add(Dense(5, activation="softmax", name="new"))
    np.testing.assert_array_equal(model.parameters[:63], body)
    assert model.predict(X).shape == (23, 5)
    model.compile("adam")
    before = model["new"].kernel.copy()
    fit(model)
    assert np.abs(model["new"].kernel - before).max() > 0
    model.pop()
    model.add(head)
    assert model.predict(X).shape == (23, 3)
    with pytest.raises(ValueError, match="at least one layer, received none"):
        Sequential().pop()


def test_one_optimizer_for_two_models_is_refused():
    optimizer = Adam(1e-2)
    first = fit(small(optimizer=optimizer))
    with pytest.raises(ValueError, match=r"belongs to another model; make a new one with Adam\("):
        small(optimizer=optimizer)
    del first
    gc.collect()
    with pytest.raises(
        ValueError, match="belongs to another model"
    ):  # it has the moments of the one that is gone
        small(optimizer=optimizer)
    a = fit(small(optimizer=Adam(**optimizer.get_config())))
    b = fit(small(optimizer=Adam(1e-2)))
    np.testing.assert_array_equal(a.parameters, b.parameters)
    a.compile(a.optimizer)  # its own is no stranger
    assert a.optimizer.iterations == 10


def test_an_optimizer_with_moments_of_another_size_is_refused_in_compile():
    used = copy.deepcopy(fit(small(optimizer=Adam())).optimizer)
    model = Sequential([Dense(3, activation="softmax")], seed=0, input_shape=(8,))
    with pytest.raises(ValueError, match=r"Adam: momentum: expected \(27,\) float32, as the model's"):
        model.compile(used)


# Copies.


def test_copies_are_whole():
    model = fit(small())
    model.forward(X, training=True)
    model.backward(np.ones((23, 3), np.float32))
    for other in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.gradients, model.gradients)
        assert other[0]._owner() is other
        assert other.optimizer._owner() is other
        assert other[0]._saved is None
        before = model.parameters.copy()
        fit(other)
        np.testing.assert_array_equal(model.parameters, before)
        assert np.shares_memory(model[0].kernel, model.parameters)
    np.testing.assert_array_equal(fit(model).parameters, other.parameters)


@pytest.mark.parametrize("function", [copy.copy, copy.deepcopy])
def test_copies_of_a_layer_and_an_optimizer_share_nothing(function):
    model = fit(small())
    layer, optimizer = function(model[0]), function(model.optimizer)
    assert not np.shares_memory(layer.kernel, model[0].kernel)
    assert not np.shares_memory(optimizer.slots["momentum"], model.optimizer.slots["momentum"])
    assert layer._owner is optimizer._owner is None


def read_only(thing, mapped=None):
    """Return a copy of a thing by pickle, in which every array is read-only or, at a path, a memory map."""
    buffers = []
    text = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    if mapped is None:
        return pickle.loads(text, buffers=[bytes(buffer.raw()) for buffer in buffers])
    views = []
    for number, buffer in enumerate(buffers):
        path = mapped / f"{number}.bin"
        path.write_bytes(buffer.raw() or b"\0")
        views.append(memoryview(np.memmap(path, mode="r"))[: len(buffer.raw())])
    return pickle.loads(text, buffers=views)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "adadelta", SGD(0.1, momentum=0.9)])
def test_a_read_only_copy_trains_on_with_the_same_bits(optimizer, mapped, tmp_path):
    model = fit(small(optimizer=copy.deepcopy(optimizer)), epochs=1)
    other = read_only(model, tmp_path if mapped else None)
    fit(model), fit(other)
    np.testing.assert_array_equal(other.parameters, model.parameters)
    for name, slot in model.optimizer.slots.items():
        np.testing.assert_array_equal(other.optimizer.slots[name], slot)
    np.testing.assert_array_equal(other[1].moving_mean, model[1].moving_mean)


def test_a_read_only_layer_and_a_read_only_optimizer_work_alone():
    layer = Dense(4)
    layer.build((8,), np.random.default_rng(0))
    layer = read_only(layer)
    layer.kernel[0] = 5
    y = layer.forward(X, training=True)
    layer.backward(np.ones_like(y))
    optimizer = Adam()
    parameters = np.zeros(9)
    optimizer.step(parameters, np.ones(9))
    copied = read_only(optimizer)
    other = parameters.copy()
    copied.step(other, np.ones(9))
    optimizer.step(parameters, np.ones(9))
    np.testing.assert_array_equal(other, parameters)


def test_read_only_data():
    x, y = X.copy(), Y.copy()
    x.flags.writeable = y.flags.writeable = False
    model = small()
    model.fit(x, y, epochs=2, batch_size=5, verbose=0)
    np.testing.assert_array_equal(model.parameters, fit(small()).parameters)


def test_predictions_share_no_memory_with_the_images():
    for stack in ([Dropout(0.5)], [Flatten()], [Activation("linear")], [Flatten(), Dropout(0.5)]):
        model = Sequential(stack, seed=0, input_shape=(8,))
        assert not np.shares_memory(model.predict(X), X), stack


def test_every_layer_takes_assignments_of_all_its_arguments():
    """An argument that is stored in another form than it is given, or not at all, would fail."""
    examples = {"Activation": ("relu",), "Conv2D": (3, 2), "Dense": (3,), "Dropout": (0.5,)}
    examples |= {"GaussianNoise": (0.5,), "Reshape": ((3, -1),)}
    examples |= {"DepthwiseConv2D": (2,), "SeparableConv2D": (3, 2)}
    for name, cls in layers.LAYERS.items():
        layer = cls(*examples.get(name, ()))
        for argument, value in layer.get_config().items():
            setattr(layer, argument, value)
            assert getattr(layer, argument) == value, re.escape(f"{name}.{argument}")


@pytest.mark.parametrize(
    ("assign", "message"),
    [
        (lambda m: setattr(m, "fuse", False), "Sequential has no attribute 'fuse', so it would be ignored"),
        (lambda m: setattr(m[0], "activations", "relu"), "did you mean 'activation'?"),
        (lambda m: setattr(m.optimizer, "learnin_rate", 1.0), "did you mean 'learning_rate'?"),
        (lambda m: setattr(m.loss, "from_logit", True), "did you mean 'from_logits'?"),
    ],
)
def test_an_attribute_that_means_nothing_is_refused_before_the_first_step(assign, message):
    model = small()
    assign(model)
    with pytest.raises(ValueError, match=re.escape(message)):
        model.fit(X, Y, verbose=0)


def test_classes_of_ones_own_may_have_any_attribute():
    class Mine(Dense):
        def forward(self, x, training=False):
            self.seen = x
            return super().forward(x, training)

    class Model(Sequential):
        pass

    model = Model([Mine(3, activation="softmax")], seed=0)
    model.note = "anything"
    model.compile("sgd")
    fit(model)
    assert fit(copy.deepcopy(model)).note == "anything"


def test_a_pickle_holds_no_arrays_of_a_step():
    model = small()
    size = len(pickle.dumps(model))
    model.forward(np.ones((1000, 8), np.float32), training=True)
    model.predict(X)
    assert len(pickle.dumps(model)) < size + 1000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sequential(Dense(3)), "layers: expected a list of layers, received Dense"),
        (lambda: Sequential([Dense(3)], input_shape=8), r"input_shape: expected sizes such as \(28, 28, 1\)"),
        (lambda: Sequential([Dense(3)]).build(None), "input_shape: expected sizes"),
        (lambda: small(optimizer=5), "optimizer: expected one of"),
        (lambda: small(loss=None), "loss: expected one of"),
        (lambda: small().set_weights(None), "weights: expected a list of arrays, received None"),
    ],
)
def test_other_types_are_said_in_the_librarys_words(make, message):
    with pytest.raises(TypeError, match=message):
        make()


class Scale(Layer):
    """A layer of a user's whose constructor takes no name."""

    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, x, training=False):
        return x * self.k

    def backward(self, dy):
        return dy * self.k


def test_a_layer_whose_constructor_takes_no_name():
    """A model names it; the name can be changed, and is checked; so is an argument of its own."""
    model = Sequential([Scale(2.0), Scale(3.0), Dense(2)], seed=0, input_shape=(3,))
    assert [layer.name for layer in model.layers] == ["scale_1", "scale_2", "dense_1"]
    model.layers[0].name = "first"
    assert model.get_layer("first") is model.layers[0]
    assert model.layers[0].built
    with pytest.raises(ValueError, match="layer name: expected one that is not taken, received 'scale_2'"):
        model.layers[0].name = "scale_2"
    with pytest.raises(TypeError, match="name: expected"):
        model.layers[0].name = 3
    x = np.ones((1, 3), np.float32)
    before = model(x)
    model.layers[1].k = 6.0
    np.testing.assert_allclose(model(x), 2 * before, rtol=1e-6)
    np.testing.assert_array_equal(copy.deepcopy(model)(x), model(x))
    assert repr(model.layers[1]) == "Scale(k=6.0)"


def test_a_base_classs_argument_is_checked_by_the_base_class():
    class Half(Dropout):
        def __init__(self):
            super().__init__(0.5)

    layer = Half()
    layer.rate = 0.25
    assert layer.rate == 0.25
    with pytest.raises(ValueError, match=r"rate: expected a number in \[0, 1\)"):
        layer.rate = 1.5


def test_a_layer_that_does_not_store_its_argument_says_so_when_it_matters():
    """It runs; what needs the argument, such as a file, names it."""

    class Lost(Scale):
        def __init__(self, factor):
            super().__init__(2.0)
            self.k = factor

    model = Sequential([Lost(2.0), Dense(2)], seed=0, input_shape=(3,))
    assert model(np.ones((1, 3), np.float32)).shape == (1, 2)
    assert "Lost(...)" in repr(model)
    with pytest.raises(TypeError, match=r"Lost: expected the constructor to store its argument 'factor'"):
        model.layers[0].get_config()
