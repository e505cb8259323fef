"""A whole network trained for 100 steps of Adam, in tinycnn and in Keras 3, from the same weights."""

import numpy as np
import pytest

from tests.peers.peer_helpers import assert_all_close, random_array, random_labels
from tinycnn import Sequential
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from tinycnn.losses import SparseCategoricalCrossentropy
from tinycnn.optimizers import Adam

IMAGE = (13, 11, 2)
CLASSES = 5
STEPS = 100
# exact in float32, in which Keras holds them in a float64 network too
ADAM = {"learning_rate": 2**-8, "beta_1": 0.875, "beta_2": 1 - 2**-8, "epsilon": 2**-20}


def own_network(dtype, algorithm):
    return Sequential(
        [
            Conv2D(6, (3, 4), activation="relu", algorithm=algorithm),
            Conv2D(7, (4, 3), activation="relu", algorithm=algorithm),
            MaxPooling2D(2, algorithm=algorithm),
            Dropout(0),
            Flatten(),
            Dense(9, activation="tanh"),
            Dense(CLASSES, activation="softmax"),
        ],
        seed=1,
        input_shape=IMAGE,
        dtype=dtype,
    )


def keras_network(keras, dtype):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(IMAGE, dtype=dtype),
            layers.Conv2D(6, (3, 4), activation="relu", dtype=dtype),
            layers.Conv2D(7, (4, 3), activation="relu", dtype=dtype),
            layers.MaxPooling2D(2, dtype=dtype),
            layers.Dropout(0, dtype=dtype),
            layers.Flatten(dtype=dtype),
            layers.Dense(9, activation="tanh", dtype=dtype),
            layers.Dense(CLASSES, activation="softmax", dtype=dtype),
        ]
    )


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
def test_a_hundred_steps(keras, algorithm, dtype):
    # With this seed no pre-activation and no two pooled values come within rounding of each other. Where they
    # do (seed 2), one sum in another order sends a gradient another way, and float32 drifts by 5e-4.
    rng = np.random.default_rng(3)
    ours, theirs = own_network(dtype, algorithm), keras_network(keras, dtype)
    theirs.set_weights(ours.get_weights())
    ours.compile(Adam(**ADAM), SparseCategoricalCrossentropy())
    loss = keras.losses.SparseCategoricalCrossentropy(dtype=dtype)
    theirs.compile(keras.optimizers.Adam(**ADAM), loss, jit_compile=False)
    x, y = random_array(rng, (60, *IMAGE), dtype), random_labels(rng, 60, CLASSES)[0]
    curve, their_curve = [], []
    for _ in range(STEPS):
        batch = rng.choice(60, 12, replace=False)
        curve.append(ours.train_on_batch(x[batch], y[batch]))
        theirs.reset_metrics()  # else Keras returns the mean over the batches so far
        their_curve.append(float(theirs.train_on_batch(x[batch], y[batch])))
    assert np.mean(curve[-10:]) < 0.5 * np.mean(curve[:10])
    np.testing.assert_allclose(curve, their_curve, rtol=0, atol=1e-5)
    assert_all_close(ours.get_weights(), theirs.get_weights())
