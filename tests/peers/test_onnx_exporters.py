"""ONNX models that PyTorch, Keras and scikit-learn write, read by tinycnn with the numbers of the writer."""

import warnings

import numpy as np
import pytest

from tests.peers.conftest import import_peer
from tinycnn import load_model

IMAGES = (3, 2, 13, 11)  # N, C, H, W


def arrays(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assert_loads(path, x, expected, tolerance=1e-5):
    """The model in a file predicts what is expected, and takes images with their channels last."""
    received = load_model(path).predict(x)
    assert received.shape == expected.shape
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(received, expected, rtol=0, atol=tolerance * scale)


# PyTorch


def torch_networks(nn):
    """Networks for `IMAGES`, by name."""
    return {
        "conv": [nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout()],
        "dense": [nn.Conv2d(2, 5, 3), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(495, 4), nn.Softmax(1)],
        "strides": [nn.Conv2d(2, 5, (3, 2), stride=(2, 1), bias=False), nn.Tanh(), nn.AvgPool2d(2)],
        "vectors": [nn.Flatten(), nn.BatchNorm1d(286), nn.Linear(286, 6), nn.Sigmoid(), nn.Linear(6, 3)],
        "global": [nn.Conv2d(2, 6, 3), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)],
        "maximum": [nn.Conv2d(2, 6, 3), nn.AvgPool2d(3, 2, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten()],
        "padded pool": [nn.Conv2d(2, 6, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(6, 4, 1)],
        "ceil": [nn.Conv2d(2, 6, 3), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(6, 2, 2)],
        "ceil mean": [nn.Conv2d(2, 6, 3), nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(6, 2, 2)],
        "decoder": [nn.Flatten(), nn.Linear(286, 48), nn.Unflatten(1, (3, 4, 4)), nn.Conv2d(3, 2, 3)],
        "larger": [nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 2, dilation=2), nn.ZeroPad2d((1, 2, 0, 3))],
        "bilinear": [nn.Upsample(scale_factor=(3, 2), mode="bilinear"), nn.Conv2d(2, 3, 2)],
        "depthwise": [nn.Conv2d(2, 6, 3, padding=1, groups=2), nn.ReLU(), nn.Conv2d(6, 4, 1)],
        "head of convolutions": [
            nn.Conv2d(2, 6, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(6, 4, 1),
            nn.Flatten(),
        ],
    }


TORCH_NETWORKS = list(torch_networks(type("Names", (), {"__getattr__": lambda *_: lambda *_, **__: None})()))


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", TORCH_NETWORKS)
def test_pytorch(torch, tmp_path, name, dynamo):
    """Its exporters by tracing and by Dynamo, which keeps the weights in a file beside the model."""
    import_peer("onnxscript")
    torch.manual_seed(0)
    network = torch.nn.Sequential(*torch_networks(torch.nn)[name])
    for part in network:
        if hasattr(part, "running_var"):
            part.running_var.uniform_(0.5, 2)
            part.running_mean.normal_()
    network.eval()
    x = arrays(IMAGES)
    expected = network(torch.tensor(x)).detach().numpy()
    export_torch(torch, network, x, tmp_path / "m.onnx", dynamo)
    assert (tmp_path / "m.onnx.data").exists() == dynamo
    assert_loads(tmp_path / "m.onnx", np.moveaxis(x, 1, -1), np.moveaxis(expected, 1, -1))


def export_torch(torch, network, x, path, dynamo):
    batch = {0: torch.export.Dim("batch")} if dynamo else {0: "N"}
    options = {"dynamic_shapes": (batch,)} if dynamo else {"input_names": ["x"], "dynamic_axes": {"x": batch}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.tensor(x),), path, dynamo=dynamo, verbose=False, **options)


@pytest.mark.parametrize("dynamo", [False, True])
def test_a_forward_of_ones_own_in_pytorch(torch, tmp_path, dynamo):
    """`view` by the size of the batch, `mean` of images, functions instead of modules."""
    import_peer("onnxscript")

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(2, 8, 3)
            self.dense = torch.nn.Linear(8 * 11 * 9, 10)

        def forward(self, x):
            x = torch.relu(self.conv((x - 0.5) / 0.25))
            return torch.softmax(self.dense(x.view(x.size(0), -1)), -1)

    network, x = Network().eval(), arrays(IMAGES)
    export_torch(torch, network, x, tmp_path / "m.onnx", dynamo)
    expected = network(torch.tensor(x)).detach().numpy()
    assert_loads(tmp_path / "m.onnx", np.moveaxis(x, 1, -1), expected)


@pytest.mark.parametrize("dynamo", [False, True])
def test_a_branch_in_pytorch_is_refused(torch, tmp_path, dynamo):
    import_peer("onnxscript")

    class Residual(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x):
            return x + self.conv(x)

    export_torch(torch, Residual().eval(), arrays(IMAGES), tmp_path / "m.onnx", dynamo)
    with pytest.raises(ValueError, match=r"node '.*' \(Conv\): expected one path of images"):
        load_model(tmp_path / "m.onnx")


# Keras


def keras_networks(k):
    """Networks of Keras' layers for images (13, 11, 2), by name."""
    return {
        "conv": [
            k.Conv2D(4, 3, activation="relu"),
            k.BatchNormalization(),
            k.MaxPooling2D(2),
            k.Dropout(0.3),
        ],
        "dense": [
            k.Conv2D(5, 2, padding="same"),
            k.LeakyReLU(0.3),
            k.Flatten(),
            k.Dense(3, activation="softmax"),
        ],
        "vectors": [k.Flatten(), k.Dense(7, activation="tanh"), k.BatchNormalization(), k.Dense(3)],
        "means": [
            k.AveragePooling2D(3, 2, padding="same"),
            k.GlobalAveragePooling2D(),
            k.Dense(3, activation="sigmoid"),
        ],
        "rescaled": [k.Rescaling(1 / 255, 0.5), k.Conv2D(4, 3), k.ReLU(6.0), k.GlobalMaxPooling2D()],
        "depthwise": [k.DepthwiseConv2D(3, padding="same"), k.SeparableConv2D(4, 2, activation="relu")],
        "larger": [k.ZeroPadding2D(((1, 2), (0, 1))), k.UpSampling2D((2, 3)), k.Conv2D(3, 2)],
        "bilinear": [k.UpSampling2D(2, interpolation="bilinear"), k.Softmax()],
        "softmax of rows": [k.Conv2D(4, 3), k.Softmax(1), k.MaxPooling2D(3, 2, padding="same"), k.Flatten()],
        "shapes": [k.Flatten(), k.Dense(24), k.Reshape((2, 3, 4)), k.Conv2D(3, 2), k.Reshape((3, 2))],
    }


KERAS_NETWORKS = list(keras_networks(type("Names", (), {"__getattr__": lambda *_: lambda *_, **__: None})()))


@pytest.mark.parametrize("name", KERAS_NETWORKS)
def test_keras(keras, tmp_path, name):
    """`model.export(format="onnx")`, which is tf2onnx under TensorFlow."""
    import_peer("tf2onnx")
    layers = keras_networks(keras.layers)[name]
    model = keras.Sequential([keras.Input((13, 11, 2)), *layers])
    model.set_weights([np.abs(arrays(w.shape)) * 0.4 for w in model.get_weights()])
    x = arrays((3, 13, 11, 2))
    expected = model.predict(x, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.export(tmp_path / "m.onnx", format="onnx", verbose=False)
    assert_loads(tmp_path / "m.onnx", x, expected)


# scikit-learn


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_a_classifier_of_scikit_learn(tmp_path, activation, zipmap):
    """The probabilities are taken; the labels, the other output, are not."""
    neural, skl2onnx = import_peer("sklearn.neural_network"), import_peer("skl2onnx")
    x = arrays((60, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = np.arange(60) % 3
        classifier = neural.MLPClassifier((7, 6), activation=activation, max_iter=20, random_state=0)
        classifier.fit(x, labels)
        content = skl2onnx.to_onnx(classifier, x[:1], options={id(classifier): {"zipmap": zipmap}})
    (tmp_path / "m.onnx").write_bytes(content.SerializeToString())
    assert_loads(tmp_path / "m.onnx", x, classifier.predict_proba(x))


def test_other_estimators_of_scikit_learn(tmp_path):
    """A regressor is taken, with its scaler. Two classes are two branches, and a forest is no network."""
    neural, skl2onnx = import_peer("sklearn.neural_network"), import_peer("skl2onnx")
    ensemble = import_peer("sklearn.ensemble")
    x = arrays((60, 5))
    path = tmp_path / "m.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        regressor = neural.MLPRegressor(hidden_layer_sizes=(7,), max_iter=20)
        scaler = import_peer("sklearn.preprocessing").StandardScaler()
        regressor = import_peer("sklearn.pipeline").make_pipeline(scaler, regressor).fit(x, x.sum(1))
        path.write_bytes(skl2onnx.to_onnx(regressor, x[:1]).SerializeToString())
        assert_loads(path, x, regressor.predict(x)[:, np.newaxis])
        for estimator, match in (
            (neural.MLPClassifier((7,), max_iter=20), "expected one path of images"),
            (ensemble.RandomForestClassifier(5), "received domain 'ai.onnx.ml'"),
        ):
            estimator.fit(x, np.arange(60) % 2)
            path.write_bytes(skl2onnx.to_onnx(estimator, x[:1]).SerializeToString())
            with pytest.raises(ValueError, match=match):
                load_model(path)
