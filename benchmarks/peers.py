"""Networks of tinycnn in other libraries, with the same weights.

::

    Sequential -> Tinycnn, Keras, Torch, OnnxRuntime -> predict(x), step(x, y)

A library is imported only when requested (`pip install "tinycnn[peers]"`). All get the same number of
threads, the same arrays and the same optimizer, Adam with Keras' defaults. The layers are read from the
model, so a peer fits images of every size. Only the kinds of layers in `mnist_cnn` are supported.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from onnx_models import network, rows_turned, session

import tinycnn
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D


class Tinycnn:
    """The library itself."""

    def __init__(self, model: tinycnn.Sequential, threads: int) -> None:
        import numba

        numba.set_num_threads(threads)
        self.version = f"tinycnn {tinycnn.__version__}"
        self.model = model
        self.model.compile("adam", "sparse_categorical_crossentropy")

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes."""
        return self.model.predict(x, batch_size=len(x))

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take one training step."""
        self.model.train_on_batch(x, y)


class Keras:
    """Keras 3 on TensorFlow, with one compiled graph for a step."""

    def __init__(self, model: tinycnn.Sequential, threads: int) -> None:
        os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
        import keras
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.version = f"keras {keras.__version__}, tensorflow {tf.__version__}"
        self.model = keras.Sequential([keras.layers.Input(model.input_shape), *self._layers(model)])
        self.model.set_weights(model.get_weights())
        self.model.compile("adam", "sparse_categorical_crossentropy")

    @staticmethod
    def _layers(model: tinycnn.Sequential) -> Iterator[Any]:
        """Yield Keras' layers: the arguments have the same names and meanings."""
        from keras import layers

        names = {
            Conv2D: ("filters", "kernel_size", "strides", "padding", "dilation_rate", "activation"),
            MaxPooling2D: ("pool_size", "strides", "padding"),
            Dropout: ("rate",),
            Flatten: (),
            Dense: ("units", "activation"),
        }
        for layer in model.layers:
            arguments = {name: getattr(layer, name) for name in names[type(layer)]}
            yield getattr(layers, type(layer).__name__)(**arguments)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes."""
        return np.asarray(self.model.predict_on_batch(x))

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take one training step."""
        self.model.train_on_batch(x, y)


class Torch:
    """PyTorch, eager."""

    channels_last = False

    def __init__(self, model: tinycnn.Sequential, threads: int) -> None:
        import torch
        from torch import nn

        torch.set_num_threads(threads)
        self.torch = torch
        self.version = f"torch {torch.__version__}{', channels_last' * self.channels_last}"
        self.format = torch.channels_last if self.channels_last else torch.contiguous_format
        self.model = nn.Sequential(*self._layers(model)).to(memory_format=self.format)
        self.optimizer = torch.optim.Adam(self.model.parameters(), eps=1e-7)  # Keras' epsilon, and ours
        self.loss = nn.CrossEntropyLoss()

    def _layers(self, model: tinycnn.Sequential) -> Iterator[Any]:
        """Yield PyTorch's layers with the weights; the softmax at the end is part of the loss."""
        nn = self.torch.nn
        feature_map: tuple[int, ...] | None = None
        for layer in model.layers:
            if isinstance(layer, Conv2D):
                channels = (layer.input_shape or ())[2]
                padding = [before for before, _ in layer.geometry()[1]]
                how = (layer.kernel_size, layer.strides, padding, layer.dilation_rate)
                kernel = layer.params["kernel"].transpose(3, 2, 0, 1)  # (F, C, KH, KW)
                yield self._filled(nn.Conv2d(channels, layer.filters, *how), kernel, layer)
            elif isinstance(layer, Dense):
                kernel = layer.params["kernel"]
                if feature_map is not None:
                    kernel, feature_map = rows_turned(kernel, feature_map), None
                yield self._filled(nn.Linear(*kernel.shape), kernel.T, layer)
            elif isinstance(layer, MaxPooling2D):
                yield nn.MaxPool2d(layer.pool_size, layer.strides)
            elif isinstance(layer, Dropout):
                yield nn.Dropout(layer.rate)
            elif isinstance(layer, Flatten):
                feature_map = layer.input_shape
                yield nn.Flatten()
            if getattr(layer, "activation", None) == "relu":
                yield nn.ReLU()

    def _filled(self, module: Any, kernel: np.ndarray, layer: Any) -> Any:
        with self.torch.no_grad():
            module.weight.copy_(self.torch.from_numpy(np.ascontiguousarray(kernel)))
            module.bias.copy_(self.torch.from_numpy(layer.params["bias"]))
        return module

    def _images(self, x: np.ndarray) -> Any:
        return self.torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=self.format)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the probabilities of the classes."""
        self.model.eval()
        with self.torch.inference_mode():
            probabilities: np.ndarray = self.model(self._images(x)).softmax(1).numpy()
        return probabilities

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """Take one training step."""
        self.model.train()
        self.optimizer.zero_grad()
        self.loss(self.model(self._images(x)), self.torch.from_numpy(y)).backward()
        self.optimizer.step()


class TorchChannelsLast(Torch):
    """PyTorch in its other memory format, in which some of its kernels are faster."""

    channels_last = True


class OnnxRuntime:
    """ONNX Runtime, for inference only."""

    def __init__(self, model: tinycnn.Sequential, threads: int) -> None:
        import onnxruntime

        self.version = f"onnxruntime {onnxruntime.__version__}"
        self.predict = session(network(model), threads)


#: The peers with their classes, and the packages whose versions a table names.
TRAINING = {"torch": (Torch, TorchChannelsLast), "keras": (Keras,)}
INFERENCE: dict[str, tuple[type, ...]] = {**TRAINING, "onnxruntime": (OnnxRuntime,)}
PACKAGES = {
    "torch": ("torch",),
    "keras": ("keras", "tensorflow"),
    "onnxruntime": ("onnxruntime", "onnx"),
}


def assemble(names: Sequence[str], model: tinycnn.Sequential, threads: int) -> list[Any]:
    """Return tinycnn and the named peers, all with the weights of the model.

    Raises
    ------
    SystemExit
        When a peer is not installed.
    """
    libraries: list[Any] = [Tinycnn(model, threads)]
    for name in names:
        try:
            libraries += [peer(model, threads) for peer in INFERENCE[name]]
        except ImportError as error:
            raise SystemExit(f'--peers {name}: {error}; pip install "tinycnn[peers]"') from None
    return libraries


def check_same(libraries: Sequence[Any], x: np.ndarray) -> None:
    """End the program unless all libraries predict the same from the same weights."""
    expected = libraries[0].predict(x)
    for library in libraries[1:]:
        difference = np.abs(library.predict(x) - expected).max()
        if not difference < 1e-5:
            raise SystemExit(f"{library.version} predicts differently: largest difference {difference:.1e}")
    if len(libraries) > 1:
        print(f"All {len(libraries)} predict the same. Starting benchmarks.")
