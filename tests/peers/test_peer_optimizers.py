"""Every optimizer: 100 steps along the same random gradients as Keras 3 and as PyTorch.

Constants such as 2**-7 are exact in float32. Keras keeps the learning rate in float32 whatever the
parameters' dtype, and TensorFlow casts decay rates and epsilons through float32, so that only with such
constants can float64 steps agree to more than seven digits.
"""

import numpy as np
import pytest

from tests.peers.peer_helpers import assert_all_close, random_array
from tinycnn import optimizers

SHAPES = [(5, 3), (7,)]
STEPS = 100
EXACT = {"learning_rate": 2**-7}
RMS = {**EXACT, "rho": 0.875, "epsilon": 2**-23}
ADAM = {**EXACT, "beta_1": 0.875, "beta_2": 1 - 2**-6, "epsilon": 2**-23}
SETTINGS = [
    ("SGD", EXACT),
    ("SGD", {**EXACT, "momentum": 0.875}),
    ("SGD", {**EXACT, "momentum": 0.875, "nesterov": True}),
    ("RMSprop", RMS),
    ("RMSprop", {**RMS, "momentum": 0.75}),
    ("RMSprop", {**RMS, "centered": True}),
    ("RMSprop", {**RMS, "momentum": 0.75, "centered": True}),
    ("Adadelta", {**RMS, "learning_rate": 1.0}),
    ("Adam", ADAM),
    ("Adam", {**ADAM, "amsgrad": True}),
    ("AdamW", {**ADAM, "weight_decay": 2**-5}),
    ("AdamW", {**ADAM, "weight_decay": 2**-5, "amsgrad": True}),
]
CLIPPED = [(name, {**arguments, "global_clipnorm": 2.0}) for name, arguments in SETTINGS]
# Keras' defaults, and what is documented to be common
DEFAULTS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "global_clipnorm": 1.0}),
    ("RMSprop", {}),
    ("Adadelta", {}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.01, "amsgrad": True}),
    ("AdamW", {}),
]
# What the arguments are called in PyTorch. Its RMSprop and its Adam add epsilon elsewhere: there it is 0.
TORCH_NAMES = {"learning_rate": "lr", "rho": "alpha", "epsilon": "eps"}


def random_walk(dtype):
    """Return the parameters' initial values, and a generator of gradients, some steps of them small."""
    rng = np.random.default_rng(1)
    initial = [random_array(rng, shape, dtype) for shape in SHAPES]
    gradients = (
        [random_array(rng, shape, dtype) * dtype(10.0 ** rng.integers(-2, 1)) for shape in SHAPES]
        for _ in range(STEPS)
    )
    return initial, gradients


def own_steps(optimizer, dtype):
    """Return the parameters after the walk, in their shapes."""
    initial, walk = random_walk(dtype)
    parameters = np.concatenate([p.ravel() for p in initial])
    for gradients in walk:
        optimizer.step(parameters, np.concatenate([g.ravel() for g in gradients]))
    pieces = np.split(parameters, np.cumsum([p.size for p in initial])[:-1])
    return [piece.reshape(shape) for piece, shape in zip(pieces, SHAPES, strict=True)]


def keras_steps(tf, keras, optimizer, dtype):
    initial, walk = random_walk(dtype)
    variables = [keras.Variable(p, dtype=np.dtype(dtype).name) for p in initial]
    optimizer.build(variables)
    step = tf.function(optimizer.apply)
    for gradients in walk:
        step([tf.convert_to_tensor(g) for g in gradients])
    return variables


def torch_steps(torch, cls, arguments, dtype):
    initial, walk = random_walk(dtype)
    parameters = [torch.tensor(p, requires_grad=True) for p in initial]
    optimizer = cls(parameters, **arguments)
    for gradients in walk:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "arguments"), [*SETTINGS, *CLIPPED])
def test_keras(tf, keras, name, arguments, dtype):
    ours = own_steps(getattr(optimizers, name)(**arguments), dtype)
    assert_all_close(ours, keras_steps(tf, keras, getattr(keras.optimizers, name)(**arguments), dtype))


@pytest.mark.parametrize(("name", "arguments"), DEFAULTS)
def test_keras_defaults(tf, keras, name, arguments):
    ours = own_steps(getattr(optimizers, name)(**arguments), np.float32)
    assert_all_close(ours, keras_steps(tf, keras, getattr(keras.optimizers, name)(**arguments), np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "arguments"), SETTINGS)
def test_torch(torch, name, arguments, dtype):
    if name != "Adadelta" and "epsilon" in arguments:
        arguments = {**arguments, "epsilon": 0}
    ours = own_steps(getattr(optimizers, name)(**arguments), dtype)
    theirs = {TORCH_NAMES.get(key, key): value for key, value in arguments.items()}
    if name == "Adadelta":
        theirs["rho"] = theirs.pop("alpha")
    if name in ("Adam", "AdamW"):
        theirs["betas"] = theirs.pop("beta_1"), theirs.pop("beta_2")
    assert_all_close(ours, torch_steps(torch, getattr(torch.optim, name), theirs, dtype))
