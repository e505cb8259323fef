"""Optimizers: two steps by hand, clipping, frozen parts, moments, errors."""

import math
import re

import numpy as np
import pytest

from tinycnn import Sequential, optimizers
from tinycnn.layers import BatchNormalization, Dense, Flatten
from tinycnn.optimizers import SGD, Adadelta, Adam, AdamW, ParameterSpan, RMSprop

pytestmark = pytest.mark.smoke

G1, G2 = 3.0, -1.0  # the gradients of the two steps
EVERY = [
    SGD(0.1),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True),
    RMSprop(0.1),
    RMSprop(0.1, momentum=0.5, centered=True),
    Adadelta(0.5),
    Adam(0.1),
    Adam(0.1, amsgrad=True),
    AdamW(0.1, weight_decay=0.2),
]


def two_steps(optimizer, p=2.0):
    """Return a parameter after two steps from `p`."""
    parameters = np.array([p])
    for gradient in (G1, G2):
        optimizer.step(parameters, np.array([gradient]))
    assert optimizer.iterations == 2
    return parameters[0]


def test_sgd_by_hand():
    """Plain, with momentum, and with Nesterov's look ahead."""
    assert two_steps(SGD(0.1)) == pytest.approx(2 - 0.3 + 0.1)
    m1 = -0.1 * G1
    m2 = 0.5 * m1 - 0.1 * G2
    assert two_steps(SGD(0.1, momentum=0.5)) == pytest.approx(2 + m1 + m2)
    nesterov = 2 + (0.5 * m1 - 0.1 * G1) + (0.5 * m2 - 0.1 * G2)
    assert two_steps(SGD(0.1, momentum=0.5, nesterov=True)) == pytest.approx(nesterov)


def test_rmsprop_by_hand():
    """The epsilon is inside the root; centred, the mean's square is taken off."""
    v1 = 0.1 * G1**2
    v2 = 0.9 * v1 + 0.1 * G2**2
    expected = 2 - 0.2 * G1 / math.sqrt(v1 + 1e-7) - 0.2 * G2 / math.sqrt(v2 + 1e-7)
    assert two_steps(RMSprop(0.2)) == pytest.approx(expected, rel=1e-12)
    a1 = 0.1 * G1
    a2 = 0.9 * a1 + 0.1 * G2
    s1 = 0.2 * G1 / math.sqrt(v1 - a1**2 + 1e-7)
    s2 = 0.5 * s1 + 0.2 * G2 / math.sqrt(v2 - a2**2 + 1e-7)
    optimizer = RMSprop(0.2, momentum=0.5, centered=True)
    assert two_steps(optimizer) == pytest.approx(2 - s1 - s2, rel=1e-12)


def test_adadelta_by_hand():
    """Steps in the unit of the parameter."""
    v1 = 0.05 * G1**2
    d1 = G1 * math.sqrt(1e-7) / math.sqrt(v1 + 1e-7)
    u1 = 0.05 * d1**2
    v2 = 0.95 * v1 + 0.05 * G2**2
    d2 = G2 * math.sqrt(u1 + 1e-7) / math.sqrt(v2 + 1e-7)
    assert two_steps(Adadelta(0.5)) == pytest.approx(2 - 0.5 * d1 - 0.5 * d2, rel=1e-12)


@pytest.mark.parametrize(("amsgrad", "decay"), [(False, 0), (True, 0), (False, 0.3)])
def test_adam_by_hand(amsgrad, decay):
    """The epsilon is outside the bias correction; AdamW's decay comes first."""
    p, m, v, largest = 2.0, 0.0, 0.0, 0.0
    for t, g in ((1, G1), (2, G2)):
        m, v = 0.8 * m + 0.2 * g, 0.6 * v + 0.4 * g * g
        largest = max(largest, v) if amsgrad else v
        rate = 0.1 * math.sqrt(1 - 0.6**t) / (1 - 0.8**t)
        p -= 0.1 * decay * p
        p -= rate * m / (math.sqrt(largest) + 1e-3)
    arguments = {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.6, "epsilon": 1e-3, "amsgrad": amsgrad}
    optimizer = AdamW(weight_decay=decay, **arguments) if decay else Adam(**arguments)
    assert two_steps(optimizer) == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize("optimizer", EVERY, ids=repr)
def test_parameters_change_in_place_and_gradients_do_not(optimizer):
    """Views stay valid; the dtype stays float32."""
    rng = np.random.default_rng(0)
    parameters, gradients = rng.random((2, 7), np.float32)
    view, before = parameters[2:4], gradients.copy()
    optimizer.step(parameters, gradients)
    np.testing.assert_array_equal(gradients, before)
    np.testing.assert_array_equal(view, parameters[2:4])
    assert all(slot.dtype == np.float32 for slot in optimizer.slots.values())
    assert list(optimizer.slots) == optimizer.slot_names()


@pytest.mark.parametrize("optimizer", EVERY, ids=repr)
def test_frozen_parts_do_not_move(optimizer):
    """Neither by the gradient nor by decay or momentum; the others move as they would alone."""
    rng = np.random.default_rng(1)
    whole, alone = (type(optimizer)(**optimizer.get_config()) for _ in range(2))
    parameters = rng.random(9)
    start = parameters.copy()
    spans = [slice(1, 3), slice(5, 9)]
    free = np.concatenate([start[span] for span in spans])
    for _ in range(3):
        gradients = rng.standard_normal(9)
        whole.step(parameters, gradients, [ParameterSpan(span) for span in spans])
        alone.step(free, np.concatenate([gradients[span] for span in spans]))
    np.testing.assert_array_equal(parameters[[0, 3, 4]], start[[0, 3, 4]])
    np.testing.assert_array_equal(np.concatenate([parameters[span] for span in spans]), free)
    assert (free != np.concatenate([start[span] for span in spans])).all()


def test_clipping_by_global_norm():
    """A long gradient is scaled to the norm; a short one is left; frozen parts do not count."""
    gradients = np.array([3.0, 100, 4])
    for norm, scale in ((2.5, 0.5), (6, 1)):
        parameters = np.zeros(3)
        parts = [ParameterSpan(slice(0, 1)), ParameterSpan(slice(2, 3))]
        SGD(1, global_clipnorm=norm).step(parameters, gradients, parts)
        np.testing.assert_allclose(parameters, [-3 * scale, 0, -4 * scale], rtol=1e-15)


@pytest.mark.parametrize("optimizer", EVERY, ids=repr)
def test_each_finds_the_minimum_of_a_bowl(optimizer):
    """f(p) = |p - target|^2 / 2 falls far below its start."""
    optimizer = type(optimizer)(**{**optimizer.get_config(), "learning_rate": 0.1})
    if isinstance(optimizer, Adadelta):
        optimizer.learning_rate = 10.0
    if isinstance(optimizer, AdamW):
        optimizer.weight_decay = 0.0
    target, parameters = np.array([1.0, -2, 3]), np.zeros(3)
    for _ in range(400):
        optimizer.step(parameters, parameters - target)
    assert np.abs(parameters - target).max() < 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Adam(-1), r"learning_rate: expected a number in \[0, inf\), received -1"),
        (lambda: Adam("fast"), r"learning_rate: expected a number .*received 'fast'"),
        (lambda: Adam(beta_1=1), r"beta_1: expected a number in \[0, 1\), received 1"),
        (lambda: SGD(momentum=2), r"momentum: expected a number in \[0, 1\], received 2"),
        (lambda: SGD(global_clipnorm=0), r"global_clipnorm: expected a number"),
        (lambda: optimizers.get("lion"), r"optimizer: expected one of .*'adam'.*received 'lion'"),
        (lambda: optimizers.get(3), r"optimizer: expected one of .*received 3"),
        (
            lambda: SGD().step(np.zeros(3), np.zeros(4)),
            r"gradients: expected \(3,\) float64 as the parameters, received \(4,\)",
        ),
    ],
)
def test_errors(call, message):
    """Name, expected, received."""
    with pytest.raises(ValueError, match=message):
        call()


def test_settings_are_plain_numbers():
    """Also when they were NumPy's, so that they can be written as JSON."""
    config = Adam(np.float32(0.5), global_clipnorm=np.float32(2), weight_decay=np.float32(1)).get_config()
    assert {type(value) for value in config.values()} == {float, bool}


def test_moments_of_another_network_are_refused():
    """An optimizer cannot move from a network to a larger one."""
    optimizer = Adam()
    optimizer.step(np.zeros(3), np.ones(3))
    with pytest.raises(ValueError, match=r"Adam: momentum: expected \(5,\) float64 as the parameters"):
        optimizer.step(np.zeros(5), np.ones(5))


def test_names_and_defaults_are_keras():
    """keras.optimizers' documented defaults."""
    assert optimizers.get("ADAM").get_config() == {
        "learning_rate": 0.001,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "amsgrad": False,
        "global_clipnorm": None,
        "weight_decay": None,
    }
    assert optimizers.get("adamw").weight_decay == 0.004
    assert (SGD().learning_rate, RMSprop().rho, Adadelta().rho) == (0.01, 0.9, 0.95)
    assert repr(Adam(0.01)) == "Adam(learning_rate=0.01)"


def test_gradients_and_moments_of_another_dtype_are_refused():
    """Before anything is changed; kernels would compute on."""
    optimizer = optimizers.get("adam")
    p = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"gradients: expected .* float32"):
        optimizer.step(p, np.ones(3))
    assert optimizer.iterations == 0
    optimizer.slots["velocity"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"velocity: expected .* float32"):
        optimizer.step(p, np.ones(3, np.float32))
    np.testing.assert_array_equal(p, 1)


@pytest.mark.parametrize("optimizer", EVERY, ids=repr)
def test_weight_decay_comes_before_the_step(optimizer):
    """p times 1 - rate * decay, and then the step that there would have been; in every optimizer."""
    config = {**optimizer.get_config(), "weight_decay": None}
    plain, decaying = type(optimizer)(**config), type(optimizer)(**{**config, "weight_decay": 0.3})
    p, expected = np.array([2.0, -1.0]), np.array([2.0, -1.0])
    decayed = p.copy()
    for gradient in (G1, G2):
        before = p.copy()
        plain.step(p, np.array([gradient, 1.0]))
        decaying.step(decayed, np.array([gradient, 1.0]))
        expected = expected * (1 - plain.rate * 0.3) + (p - before)
    np.testing.assert_allclose(decayed, expected, rtol=1e-12)


def test_rules_of_weight_decay():
    """The first pattern that fits a name counts; what fits none, and biases here, is left alone."""
    optimizer = SGD(0.5, weight_decay={"dense_2/kernel": 0.0, "dense_*/kernel": 0.25, "conv*/kernel": 0.5})
    names = ["conv2d_1/kernel", "conv2d_1/bias", "dense_1/kernel", "dense_1/bias", "dense_2/kernel"]
    parts = [ParameterSpan(slice(2 * i, 2 * i + 2), name) for i, name in enumerate(names)]
    parameters = np.ones(10)
    optimizer.step(parameters, np.zeros(10), parts)
    np.testing.assert_array_equal(parameters[::2], [0.75, 1, 0.875, 1, 1])
    np.testing.assert_array_equal(parameters[1::2], parameters[::2])
    assert [optimizer.decay_of(name) for name in names] == [0.5, 0, 0.25, 0, 0]
    assert AdamW().decay_of("anything") == 0.004


def test_neighbours_of_one_decay_are_one_vector():
    """So that rules cost nothing where they say the same; a gap stays a gap."""
    optimizer = SGD(weight_decay={"a/*": 0.1})
    parts = [
        ParameterSpan(slice(0, 2), "a/k"),
        ParameterSpan(slice(2, 3), "a/b"),
        ParameterSpan(slice(3, 5), "c/k"),
        ParameterSpan(slice(6, 7), "d"),
    ]
    assert optimizer._decayed(parts) == [(0.1, slice(0, 3)), (0.0, slice(3, 5)), (0.0, slice(6, 7))]
    assert len(SGD()._decayed(parts)) == 2


def test_a_rule_that_matches_nothing_is_refused():
    """Before the first step; of a frozen layer it may be."""
    x, y = np.ones((4, 2, 3, 1), np.float32), np.arange(4) % 2
    layers = [Flatten(), Dense(3), BatchNormalization(), Dense(2, activation="softmax")]
    model = Sequential(layers, seed=1)
    for rule in ("*/kernels", "*/moving_mean"):  # a slip of the pen, and what is no parameter
        model.compile(SGD(weight_decay={"dense_1/*": 0.1, rule: 0.2}), "sparse_categorical_crossentropy")
        message = (
            f"weight_decay: expected a pattern for one of dense_1/kernel, .*, received '{re.escape(rule)}'"
        )
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, verbose=0)
        assert model.steps_trained == 0
    model.compile(SGD(weight_decay={"dense_1/*": 0.1, "*/kernel": 0.2}), "sparse_categorical_crossentropy")
    model.layers[1].trainable = False
    model.fit(x, y, verbose=0)
    assert model.steps_trained == 1


@pytest.mark.parametrize(
    ("decay", "message"),
    [
        (-1, r"weight_decay: expected a number in \[0, inf\), received -1"),
        ({"*": "all"}, r"weight_decay: \*: expected a number"),
        ({3: 0.1}, "weight_decay: pattern: expected a non-empty string, received 3"),
    ],
)
def test_wrong_weight_decay(decay, message):
    """Name, expected, received."""
    with pytest.raises(ValueError, match=message):
        SGD(weight_decay=decay)
