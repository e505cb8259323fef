"""What the comparisons share: random sizes and arrays, tolerances, a pass through a layer in each library."""

import numpy as np

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
ACTIVATIONS = ["linear", "relu", "leaky_relu", "sigmoid", "tanh", "softmax"]


def assert_close(ours, theirs, tolerance=None):
    """Every value is within the tolerance, as a share of the largest value of the peer's array."""
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    scale = np.abs(theirs).max(initial=0)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=(tolerance or TOLERANCE[ours.dtype.name]) * scale)


def assert_all_close(ours, theirs, tolerance=None):
    for our, their in zip(ours, theirs, strict=True):
        assert_close(our, their, tolerance)


def random_array(rng, shape, dtype="float32"):
    return rng.standard_normal(shape).astype(dtype)


def random_labels(rng, count, classes):
    """Return class numbers, and the same as one-hot rows of float32."""
    labels = rng.integers(0, classes, count)
    return labels, np.eye(classes, dtype=np.float32)[labels]


def random_sizes(rng):
    """Return N, H, W, C, F, KH, KW, no two of them equal."""
    N, C, F, KH, KW = rng.permutation(np.arange(1, 8))[:5].tolist()
    H, W = rng.permutation(np.arange(8, 15))[:2].tolist()
    return N, H, W, C, F, KH, KW


def randomize(layer, x, rng):
    """Build a layer for x, and give every parameter random values: ones and zeros hide mistakes."""
    layer.build(x.shape[1:], rng, x.dtype)
    for array in layer.params.values():
        array[...] = rng.uniform(-0.6, 0.6, array.shape)
    for array in layer.state.values():
        array[...] = rng.uniform(0.5, 2, array.shape)


def compare_with_keras(tf, ours, theirs, x, rng, tolerance=None):
    """Outputs in training and at inference, input gradient and parameter gradients, for a random dL/dy."""
    randomize(ours, x, rng)
    theirs.build(x.shape)
    theirs.set_weights([*ours.params.values(), *ours.state.values()])
    assert_close(ours.forward(x), theirs(x, training=False), tolerance)
    y = ours.forward(x, training=True)
    dy = random_array(rng, y.shape, x.dtype)
    dx = ours.backward(dy)
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        their_y = theirs(x, training=True)
    sources = [x, *(weight.value for weight in theirs.trainable_weights)]
    gradients = tape.gradient(their_y, sources, output_gradients=tf.convert_to_tensor(dy))
    assert_all_close([y, dx, *ours.grads.values()], [their_y, *gradients], tolerance)
    assert_all_close(list(ours.state.values()), theirs.non_trainable_weights, tolerance)


def compare_with_torch(torch, ours, function, x, rng):
    """The same against function(x, parameters) of torch tensors, which computes the layer in training."""
    randomize(ours, x, rng)
    y = ours.forward(x, training=True)
    dy = random_array(rng, y.shape, x.dtype)
    dx = ours.backward(dy)
    their_x = torch.tensor(x, requires_grad=True)
    parameters = {name: torch.tensor(p, requires_grad=True) for name, p in ours.params.items()}
    their_y = function(their_x, parameters)
    their_y.backward(torch.tensor(dy))
    gradients = [their_x.grad, *(parameter.grad for parameter in parameters.values())]
    assert_all_close([y, dx, *ours.grads.values()], [their_y.detach(), *gradients])


def torch_activation(torch, name):
    """Return the function of a name of tinycnn, for tensors whose last axis holds the channels."""
    functions = {
        "linear": lambda z: z,
        "relu": torch.relu,
        "leaky_relu": lambda z: torch.nn.functional.leaky_relu(z, 0.2),
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "softmax": lambda z: torch.softmax(z, dim=-1),
    }
    return functions[name]
