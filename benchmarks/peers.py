"""The documented network in other libraries, with the weights of tinycnn's.

::

    weights of tinycnn -> Tinycnn, Keras, Torch -> predict(x), step(x, y)

Each is imported only when asked for (`pip install "tinycnn[peers]"`). All get the same number of threads, the
same arrays and the same optimizer, Adam with its defaults.
"""

import os
from typing import Any

import numpy as np

import tinycnn

DROPOUT = (0.25, 0.25, 0.5)


class Tinycnn:
    """This library."""

    def __init__(self, model: tinycnn.Sequential, threads: int) -> None:
        import numba

        numba.set_num_threads(threads)
        self.version = f"tinycnn {tinycnn.__version__}, numba {numba.__version__}"
        self.model = model
        self.model.compile("adam", "sparse_categorical_crossentropy")

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict(x, batch_size=len(x))

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        self.model.train_on_batch(x, y)


class Keras:
    """Keras 3 on TensorFlow, one compiled graph for a step."""

    def __init__(self, model: tinycnn.Sequential, threads: int) -> None:
        os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
        import keras
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.version = f"keras {keras.__version__}, tensorflow {tf.__version__}"
        layers = keras.layers
        self.model = keras.Sequential(
            [
                layers.Input((28, 28, 1)),
                layers.Conv2D(32, 3, activation="relu"),
                layers.Conv2D(64, 3, activation="relu"),
                layers.MaxPooling2D(2),
                layers.Dropout(DROPOUT[0]),
                layers.Conv2D(128, 2, activation="relu"),
                layers.Conv2D(256, 2, activation="relu"),
                layers.MaxPooling2D(2),
                layers.Dropout(DROPOUT[1]),
                layers.Flatten(),
                layers.Dense(128, activation="relu"),
                layers.Dropout(DROPOUT[2]),
                layers.Dense(10, activation="softmax"),
            ]
        )
        self.model.set_weights(model.get_weights())
        self.model.compile("adam", "sparse_categorical_crossentropy")

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.predict_on_batch(x))

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        self.model.train_on_batch(x, y)


class Torch:
    """PyTorch, eager; `channels_last` for the memory format that some of its kernels prefer."""

    channels_last = False

    def __init__(self, model: tinycnn.Sequential, threads: int) -> None:
        import torch
        from torch import nn

        torch.set_num_threads(threads)
        self.torch = torch
        self.version = f"torch {torch.__version__}{', channels_last' * self.channels_last}"
        self.format = torch.channels_last if self.channels_last else torch.contiguous_format
        self.model = nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Dropout(DROPOUT[0])),
            *(nn.Conv2d(64, 128, 2), nn.ReLU(), nn.Conv2d(128, 256, 2), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Dropout(DROPOUT[1]), nn.Flatten()),
            *(nn.Linear(6400, 128), nn.ReLU(), nn.Dropout(DROPOUT[2]), nn.Linear(128, 10)),
        )
        with torch.no_grad():
            for own, value in zip(
                self.model.parameters(), map(self._turned, model.get_weights()), strict=True
            ):
                own.copy_(torch.from_numpy(value))
        self.model = self.model.to(memory_format=self.format)
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.loss = nn.CrossEntropyLoss()

    @staticmethod
    def _turned(weight: np.ndarray) -> np.ndarray:
        """Return a weight in PyTorch's order: (F, C, KH, KW), (out, in), and Flatten over C, H, W."""
        if weight.ndim == 4:
            weight = weight.transpose(3, 2, 0, 1)  # from (KH, KW, C, F)
        elif weight.ndim == 2:
            if len(weight) == 6400:
                weight = weight.reshape(5, 5, 256, -1).transpose(2, 0, 1, 3).reshape(6400, -1)
            weight = weight.T
        return np.ascontiguousarray(weight)

    def _images(self, x: np.ndarray) -> Any:
        return self.torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=self.format)

    def predict(self, x: np.ndarray) -> np.ndarray:
        self.model.eval()
        with self.torch.no_grad():
            return self.model(self._images(x)).softmax(1).numpy()

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        self.model.train()
        self.optimizer.zero_grad()
        self.loss(self.model(self._images(x)), self.torch.from_numpy(y)).backward()
        self.optimizer.step()


class TorchChannelsLast(Torch):
    """The same in the other memory format."""

    channels_last = True


PEERS = {"torch": (Torch, TorchChannelsLast), "keras": (Keras,)}
