"""A convolutional network for MNIST, from data to accuracy, with the layers written out.

::

    load, scale -> Sequential of layers -> compile -> fit -> evaluate
"""

import tinycnn
from tinycnn.datasets import load_mnist, scale_images
from tinycnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D

(x_train, y_train), (x_test, y_test) = load_mnist()  # images (N, 28, 28), class numbers (N,)
x_train, x_test = scale_images(x_train), scale_images(x_test)  # (N, 28, 28, 1), floats in [0, 1]

layers = [
    Conv2D(32, 3, activation="relu"),
    Conv2D(64, 3, activation="relu"),
    MaxPooling2D(2),
    Dropout(0.25),
    Flatten(),
    Dense(128, activation="relu"),
    Dropout(0.5),
    Dense(10, activation="softmax"),
]
model = tinycnn.Sequential(layers, seed=0, input_shape=(28, 28, 1))
model.summary()

# for one-hot labels, numpy.eye(10)[y_train], the loss is "categorical_crossentropy"
model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
model.fit(x_train, y_train, batch_size=128, epochs=12, validation_split=0.1)
loss, accuracy = model.evaluate(x_test, y_test)
print(f"Test loss {loss:.4f}, test accuracy {accuracy:.2%}")
