"""A little of everything that a user does, as numbers: for a process with kernels, and one without.

::

    use(folder) -> {name: array}          python -c "from ... import whole_use; whole_use.main(folder, file)"
"""

from pathlib import Path

import numpy as np

import tinycnn
from tests import networks
from tinycnn import layers
from tinycnn.datasets import Augmentation
from tinycnn.kernels.selection import COMPILED_ADAM_PARAMETERS
from tinycnn.optimizers import AdamW
from tinycnn.training import WeightAverage

SHAPE, CLASSES = (13, 12, 2), 5
# With this epsilon a gradient's rounding stays small in the step, also where the gradient is nearly 0.
EPSILON = 1e-3


def model():
    """Return a compiled network with fused layers, and enough parameters for Adam's kernel."""
    stack = [
        layers.Conv2D(18, 3, activation="relu"),
        layers.Conv2D(17, 3, activation="relu", padding="same"),
        layers.MaxPooling2D(2),
        layers.Dropout(0.25),
        layers.Conv2D(19, 2, strides=(1, 2)),
        layers.BatchNormalization(),
        layers.AveragePooling2D((2, 1), padding="same"),
        layers.Flatten(),
        layers.Dense(450, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(CLASSES, activation="softmax"),
    ]
    network = tinycnn.Sequential(stack, seed=5, input_shape=SHAPE)
    assert network.parameters.size > COMPILED_ADAM_PARAMETERS
    network.compile(AdamW(0.01, epsilon=EPSILON), "sparse_categorical_crossentropy", ["accuracy"])
    return network


def use(folder):
    """Return what training, evaluating, predicting, augmenting and reading a file give, as arrays."""
    found = {}
    augment = Augmentation(rotation=5, shift=1, elastic=0.5, erasing=0.5)
    x, y = networks.noisy_classes(40, SHAPE, CLASSES, "float32")
    found["augmented"] = augment(x, seed=3, epoch=1)
    conv = layers.Conv2D(32, 3, padding=((1, 2), (0, 1)))
    conv.build((9, 7, 32), np.random.default_rng(0))
    images = np.random.default_rng(1).standard_normal((4, 9, 7, 32)).astype(np.float32)
    found["conv"] = conv.forward(images, training=True)
    found["conv_dx"] = conv.backward(np.cos(found["conv"]))
    found["conv_dw"] = conv.grads["kernel"]
    dropout = layers.Dropout(0.3, seed=8)
    dropout.build(SHAPE, np.random.default_rng(0))
    found["mask"] = dropout.forward(np.ones_like(x), training=True)
    network = model()
    history = network.fit(
        x,
        y,
        batch_size=9,
        epochs=2,
        validation_split=0.2,
        augment=augment,
        callbacks=[WeightAverage(0.8)],
        verbose=0,
        checkpoint=Path(folder, "run"),
    )
    found["losses"] = np.array([history.history[name] for name in ("loss", "val_loss")])
    found["weights"] = network.parameters
    found["evaluated"] = np.array(network.evaluate(x, y))
    found["many"], found["one"] = network.predict(x), network.predict(x[:1])
    network.save(Path(folder, "model.h5"))
    found["loaded"] = tinycnn.load_model(Path(folder, "model.h5")).predict(x)
    return found


def main(folder, file):
    """Write what `use` returns; print what `explain` prints and what the summary and `warmup` say."""
    assert tinycnn.warmup() >= 0
    np.savez(file, **use(folder))
    network = model()
    tinycnn.kernels.explain(network)
    network.summary(verbose=True)
