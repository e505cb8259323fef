"""One image through every layer of `mnist_cnn`, forward and backward, with shapes and figures.

::

    a digit -> conv2d_1 -> ... -> dense_2 -> ten probabilities -> loss -> ... -> the gradient at each layer

Run it, then set a breakpoint in any `forward` or `backward` of tinycnn/layers and run it again.
"""

import numpy as np

import tinycnn
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.losses import SparseCategoricalCrossentropy

SHADES = " .:-=+*#%@"


def draw(image: np.ndarray) -> str:
    """Return a digit (28, 28) with values in [0, 1] as text; a pixel is two characters wide."""
    return "\n".join("".join(2 * SHADES[int(v * 9.99)] for v in row).rstrip() for row in image)


def describe(values: np.ndarray) -> str:
    """Return the shape of an array without its batch axis, and a few figures."""
    zeros = np.mean(values == 0)
    shape = "x".join(map(str, values.shape[1:]))
    return f"{shape:>10}  mean {values.mean():+.2e}  largest {np.abs(values).max():.2e}  zeros {zeros:4.0%}"


def main() -> None:
    """Print the output and the gradient of each layer."""
    images, labels = load_mnist()[0]
    x, label = scale_images(images[:1]), labels[:1]
    print(draw(x[0, :, :, 0]))
    model = tinycnn.mnist_cnn(seed=0)
    print(f"\nA {label[0]}, through an untrained network. Forward: the output of each layer\n")
    for layer in model:
        x = layer.forward(x, training=True)
        print(f"{layer.name:16} {describe(x)}")
    print("\nprobabilities:", " ".join(f"{digit}: {p:.3f}" for digit, p in enumerate(x[0])))

    loss = SparseCategoricalCrossentropy()
    print(f"loss: -log({x[0, label[0]]:.3f}) = {loss(label, x):.3f}\n")
    print("Backward: dL/dx of each layer, and the norms of its parameters' gradients\n")
    dy = loss.gradient(label, x)
    for layer in reversed(model.layers):
        dy = layer.backward(dy)
        norms = "  ".join(f"|d{name}| {np.linalg.norm(g):.2e}" for name, g in layer.grads.items())
        print(f"{layer.name:16} {describe(dy)}  {norms}".rstrip())


if __name__ == "__main__":
    main()
