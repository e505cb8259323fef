"""`CNNClassifier`: what it learns, takes and refuses."""

import copy
import importlib
import pickle
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", reason='pip install "tinycnn[sklearn]"')

import joblib
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tinycnn
from tests.sklearn import small_networks
from tinycnn.datasets import scale_images
from tinycnn.layers import Dense, Flatten
from tinycnn.optimizers import SGD
from tinycnn.sklearn import CNNClassifier, like_mnist_cnn, small_network

pytestmark = pytest.mark.smoke

LABELS = np.array(["cross", "bar", "dot"])


def pictures(count=90, seed=0):
    """Return images (count, 5, 7) of float64 with one of three rows bright, and the names of the rows."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(count) % 3
    images = rng.normal(0, 0.3, (count, 5, 7))
    images[np.arange(count), kinds] += 1
    return images, LABELS[kinds]


X, Y = pictures()


def small(**parameters):
    """Return a classifier that trains in some milliseconds."""
    parameters = {"epochs": 3, "random_state": 3, "n_threads": 1, "learning_rate": 0.01} | parameters
    return CNNClassifier(parameters.pop("model", small_networks.layers), **parameters)


@pytest.fixture(scope="module")
def fitted():
    return small(epochs=12).fit(X, Y)


def test_it_learns_and_gives_labels_back(fitted):
    new, labels = pictures(60, seed=1)
    assert fitted.score(new, labels) > 0.95
    assert fitted.classes_.tolist() == ["bar", "cross", "dot"]
    probabilities = fitted.predict_proba(new)
    assert probabilities.shape == (60, 3)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_array_equal(fitted.classes_[probabilities.argmax(axis=1)], fitted.predict(new))
    assert (fitted.n_features_in_, fitted.image_shape_, fitted.n_iter_) == (35, (5, 7, 1), 12)
    assert len(fitted.history_["loss"]) == 12
    assert fitted.history_["loss"][-1] < fitted.history_["loss"][0]


def test_it_trains_as_sequential_does():
    """The same network, seed, rate and batches give the same weights."""
    fitted = small(batch_size=16, random_state=np.random.RandomState(8)).fit(X, Y)
    seed = np.random.RandomState(8).randint(2**31 - 1)
    model = tinycnn.Sequential(small_networks.layers((5, 7, 1), 3), seed=seed)
    model.compile(tinycnn.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    x = X.astype(np.float32)[..., np.newaxis]
    model.fit(x, np.searchsorted(np.unique(Y), Y), batch_size=16, epochs=3, verbose=0)
    np.testing.assert_array_equal(fitted.model_.parameters, model.parameters)


@pytest.mark.parametrize("model", ["unbuilt", "built", "layers"])
def test_random_state_decides_the_weights(model):
    """However the function makes its network."""
    classifier = small(model=getattr(small_networks, model), epochs=1)
    one, same, other = (clone(classifier).set_params(random_state=s).fit(X, Y).model_ for s in (1, 1, 2))
    np.testing.assert_array_equal(one.parameters, same.parameters)
    assert not np.array_equal(one.parameters, other.parameters)


def test_trained_weights_are_a_beginning(fitted):
    """Of a network that a function returns, which itself stays as it is."""
    weights = fitted.model_.get_weights()
    again = small(model=lambda input_shape, classes: fitted.model_, learning_rate=0.0, epochs=1).fit(X, Y)
    np.testing.assert_array_equal(again.model_.parameters, fitted.model_.parameters)
    small(model=lambda input_shape, classes: fitted.model_, epochs=1).fit(X, Y)
    for before, after in zip(weights, fitted.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("shape", "image_shape", "expected"),
    [
        ((6, 784), None, (28, 28, 1)),
        ((6, 64), None, (8, 8, 1)),
        ((6, 63), None, (63,)),
        ((6, 49), None, (49,)),
        ((6, 3), None, (3,)),
        ((6, 64), (64,), (64,)),
        ((6, 64), (4, 16), (4, 16, 1)),
        ((6, 49), [7, 7], (7, 7, 1)),
        ((6, 147), (7, 7, 3), (7, 7, 3)),
        ((6, 5, 9), None, (5, 9, 1)),
        ((6, 5, 9), (5, 9), (5, 9, 1)),
        ((6, 5, 9, 1), (5, 9), (5, 9, 1)),
        ((6, 9, 8, 3), None, (9, 8, 3)),
        ((6, 3, 8, 9), (3, 8, 9), (3, 8, 9)),
        ((6, 1, 1), None, (1, 1, 1)),
    ],
)
def test_input_shapes(shape, image_shape, expected):
    """Of the default network too; rows, images and lists of the same numbers give the same."""
    x = np.random.default_rng(0).random(shape)
    classifier = CNNClassifier(
        image_shape=image_shape, epochs=1, n_threads=1, model__filters=2, model__units=3, random_state=0
    ).fit(x, [0, 1, 2, 0, 1, 2])
    assert classifier.image_shape_ == classifier.model_.input_shape == expected
    assert classifier.n_features_in_ == np.prod(expected)
    assert classifier.model_.dtype == ("float64" if len(expected) == 1 else "float32")
    probabilities = classifier.predict_proba(x)
    np.testing.assert_array_equal(classifier.predict_proba(x.reshape(6, -1)), probabilities)
    np.testing.assert_array_equal(classifier.predict_proba(x.tolist()), probabilities)


@pytest.mark.parametrize(
    ("shape", "image_shape", "message"),
    [
        ((6, 35), (5, 8), r"image_shape: expected sizes with the product 35, .* received \(5, 8\)"),
        ((6, 35), (5, 7, 1, 1), r"image_shape: expected \(H, W\), \(H, W, C\) or \(features,\)"),
        ((6, 35), "5x7", "image_shape: expected"),
        ((6, 35), (5.0, 7.0), "image_shape: expected a whole number"),
        ((6, 35), 35, "image_shape: expected"),
        ((6, 5, 7), (7, 5), r"image_shape: expected \(5, 7\), the shape of an image of X, received \(7, 5\)"),
        ((6, 3, 28, 29), None, r"X: expected images \(N, H, W, C\), .* np.moveaxis"),
        ((6, 2, 2, 2, 2), None, "X: expected shape .* received 5 axes"),
    ],
)
def test_an_image_shape_that_does_not_fit_is_refused(shape, image_shape, message):
    with pytest.raises(ValueError, match=message):
        small(image_shape=image_shape).fit(np.zeros(shape), [0, 1, 2, 0, 1, 2])


def test_images_of_another_shape_are_refused(fitted):
    with pytest.raises(ValueError, match=r"X: expected images of shape \(5, 7, 1\), received \(7, 5\)"):
        fitted.predict(np.zeros((2, 7, 5)))
    with pytest.raises(ValueError, match="36 features"):
        fitted.predict(np.zeros((2, 36)))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_one_image_is_refused_with_the_cure(shape, fitted):
    """Its rows are no images. An image whose only row has all its values is a row too."""
    with pytest.raises(ValueError, match=r"X: expected images .* received one image.* X\[np.newaxis\]"):
        fitted.predict(X[0].reshape(shape))
    with pytest.raises(ValueError, match="received one image"):
        fitted.predict_proba(X[0].reshape(shape).tolist())
    assert fitted.predict(X[0].reshape(shape)[np.newaxis]) == fitted.predict(X[:1])
    flat = CNNClassifier(image_shape=(1, 5), epochs=1, model__filters=1, model__units=2)
    assert flat.fit(np.eye(5), [0, 1, 0, 1, 0]).predict(np.ones((1, 5))).shape == (1,)


def test_pixels_are_divided_by_255():
    """By their dtype, so that every part of the data is treated alike; other numbers stay as they are."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 5, 7), dtype=np.uint8)
    dark, y = pixels // 4, np.arange(20) % 2
    scaled = small().fit(scale_images(dark), y)
    for x in (dark, dark[..., np.newaxis], dark.reshape(20, 35)):
        of_pixels = small(image_shape=(5, 7)).fit(x, y)
        np.testing.assert_array_equal(of_pixels.model_.parameters, scaled.model_.parameters)
        np.testing.assert_array_equal(
            of_pixels.predict_proba(x[:1]), scaled.predict_proba(scale_images(dark[:1]))
        )
    numbers = small().fit(dark.astype(np.int64), y)
    floats = small().fit(dark.astype(np.float64), y)
    np.testing.assert_array_equal(numbers.model_.parameters, floats.model_.parameters)
    assert not np.array_equal(floats.model_.parameters, scaled.model_.parameters)
    with pytest.raises(
        ValueError, match="X: expected uint8, as in fit, which divided it by 255, received int64"
    ):
        of_pixels.predict(dark.astype(np.int64))
    with pytest.raises(ValueError, match="X: expected no uint8, as in fit, received uint8"):
        floats.predict(dark)


def test_numbers_too_large_for_float32_are_refused():
    """Images are computed in float32; rows in float64."""
    x = np.array([[1e200, 0], [0, 1.0]])
    with pytest.raises(ValueError, match="X: expected numbers in the range of float32"):
        small(image_shape=(1, 2)).fit(x, [0, 1])
    assert small(epochs=1).fit(x / 1e150, [0, 1]).predict(x / 1e150).shape == (2,)


def test_parameters_of_the_function():
    """Deep parameters have its defaults; a clone and a grid take its arguments along."""
    classifier = small(model__units=4)
    assert classifier.get_params()["model__units"] == 4
    assert classifier.get_params()["model__activation"] == "relu"
    assert "model__activation" not in classifier.get_params(deep=False)
    assert CNNClassifier().get_params()["model__filters"] == 16
    copied = clone(classifier).set_params(model__activation="sigmoid").fit(X, Y)
    assert (copied.model_[1].units, copied.model_[1].activation) == (4, "sigmoid")
    assert "model__units=4" in repr(copied)
    assert copied._repr_html_()
    search = GridSearchCV(classifier, {"model__units": [2, 6], "learning_rate": [0.0, 0.02]}, cv=2).fit(X, Y)
    assert search.best_params_ == {"model__units": 6, "learning_rate": 0.02}
    assert search.best_estimator_.model_[1].units == 6
    assert search.best_estimator_.model_.optimizer.learning_rate == 0.02


def test_a_parameter_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="CNNClassifier has no argument 'epoch'"):
        CNNClassifier(epoch=3)
    with pytest.raises(ValueError, match="epoch"):
        small().set_params(epoch=3)
    with pytest.raises(ValueError, match="model__unit: expected model__units, model__activation"):
        small().set_params(model__unit=3)
    with pytest.raises(ValueError, match="model__filters: expected"):
        small(model__filters=3).fit(X, Y)


def no_softmax(input_shape, classes):
    return [Flatten(), Dense(classes)]


def no_flatten(input_shape, classes):
    return [Dense(classes, activation="softmax")]


def four_outputs(input_shape, classes):
    return small_networks.layers(input_shape, 4)


def sigmoid(input_shape, classes):
    return [Flatten(), Dense(classes, activation="sigmoid")]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vgg", "model: expected None, \"mnist_cnn\" or a function"),
        (tinycnn.Sequential([Dense(3)]), "model: expected None"),
        (lambda input_shape, classes: Dense(classes), "model: expected a function that returns layers"),
        (lambda input_shape, classes: None, "model: expected a function that returns layers"),
        (lambda: [Dense(3)], r"model: expected a function .input_shape, classes, .* too many positional"),
        (lambda shape, classes, *, rate: [], "model: expected a function .* missing a required"),
        (four_outputs, "model: expected a network with 3 outputs, one for each class, received"),
        (no_flatten, "model: the network does not fit inputs of shape"),
        (lambda input_shape, classes: small_networks.built((5, 8, 1), 3), "model: the network does not fit"),
        (no_softmax, "model: expected a network that ends with a softmax"),
        (sigmoid, "model: expected a network that ends with a softmax"),
    ],
)  # fmt: skip
def test_a_network_that_does_not_fit_is_refused(model, message):
    classifier = small(model=model)
    with pytest.raises(ValueError, match=message):
        classifier.fit(X, Y)
    with pytest.raises(NotFittedError):
        classifier.predict(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epochs": 0}, "epochs: expected"),
        ({"batch_size": 0}, "batch_size: expected"),
        ({"learning_rate": -1.0}, "learning_rate: expected"),
        ({"optimizer": "adamm"}, "optimizer: expected"),
        ({"n_threads": 0}, "n_threads: expected"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction: expected"),
        ({"early_stopping": True, "validation_fraction": 0.001}, "validation_fraction: expected an image on"),
        ({"early_stopping": True, "n_iter_no_change": 0}, "n_iter_no_change: expected"),
        ({"early_stopping": "yes"}, "early_stopping: expected"),
        ({"class_weight": {"bar": 2.0, "circle": 3.0}}, "class_weight"),
        ({"class_weight": "equal"}, "class_weight"),
        ({"class_weight": {"bar": -1}}, r"class_weight: expected a number in .* received -1"),
        ({"class_weight": {"bar": float("nan")}}, r"class_weight: expected a number in"),
    ],
)
def test_a_parameter_out_of_range_is_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("x", "y", "weights", "message"),
    [
        (X, None, None, "y to be passed"),
        (X, Y[:-1], None, "inconsistent numbers of samples"),
        (X, np.full(90, "bar"), None, "y: expected at least two classes, received one class, .'bar'"),
        (X, Y, Y == "bar", "y: expected at least two classes with a weight above 0"),
        (X, Y, np.zeros(90), "sample_weight: .* at least one non-zero number"),
        (X, Y, np.linspace(-1, 1, 90), "sample_weight: expected numbers >= 0"),
        (X, Y, np.ones(89), "sample_weight: expected shape"),
        (np.where(X > 1, np.nan, X), Y, None, "NaN"),
        (X, np.linspace(0, 1, 90), None, "Unknown label type"),
    ],
)
def test_wrong_data_are_refused(x, y, weights, message):
    with pytest.raises(ValueError, match=message):
        small().fit(x, y, sample_weight=weights)


def test_weights_count_in_proportion():
    """As repeated images do; those of classes as those of their images. All images are in one batch."""
    x, y = X.reshape(90, 35)[:31], Y[:31]
    weights = np.arange(31) % 4 * 2.0
    weighted = small(class_weight={"dot": 2}).fit(x, y, sample_weight=weights)
    times = np.where(y == "dot", 2, 1) * (weights / 2).astype(int)
    repeated = small().fit(x.repeat(times, axis=0), y.repeat(times))
    np.testing.assert_allclose(weighted.model_.parameters, repeated.model_.parameters, rtol=1e-9, atol=1e-12)
    unweighted = small().fit(x, y)
    assert not np.allclose(weighted.model_.parameters, unweighted.model_.parameters, rtol=1e-3)


def test_early_stopping():
    """It ends before the last epoch, with the weights of the best."""
    classifier = small(early_stopping=True, epochs=60, n_iter_no_change=2, learning_rate=0.1)
    classifier.fit(X, np.random.default_rng(0).permutation(Y))  # nothing to learn
    losses = classifier.history_["val_loss"]
    assert classifier.n_iter_ == len(losses) < 60
    assert np.argmin(losses) == len(losses) - 3


def test_warm_start_trains_on():
    """Two fits are one longer fit."""
    twice = small(epochs=2, warm_start=True)
    twice.fit(X, Y).fit(X, Y)
    np.testing.assert_array_equal(twice.model_.parameters, small(epochs=4).fit(X, Y).model_.parameters)
    with pytest.raises(ValueError, match=r"y: expected the classes .* with warm_start"):
        twice.fit(X, np.where(Y == "dot", "bar", Y))


def test_partial_fit():
    """All labels are named in the first call; a part may have one class."""
    classifier = small(optimizer=SGD(0.1, momentum=0.5), learning_rate=None, class_weight={"bar": 1.5})
    with pytest.raises(ValueError, match="classes: expected all labels"):
        classifier.partial_fit(X, Y)
    order = np.argsort(Y)
    for _ in range(8):
        for rows in np.array_split(order, 6):
            classifier.partial_fit(X[rows], Y[rows], classes=LABELS)
    assert classifier.score(X, Y) > 0.9
    assert classifier.model_.steps_trained == 8 * 6
    for labels, classes, message in (
        (["circle"], None, r"y: expected labels of .*, received \['circle'\]"),
        (Y[:1], ["bar", "dot"], "classes: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            classifier.partial_fit(X[:1], labels, classes=classes)
    with pytest.raises(ValueError, match="class_weight: expected a dictionary for partial_fit"):
        small(class_weight="balanced").partial_fit(X, Y, classes=LABELS)


def test_fit_changes_no_parameter():
    """An optimizer that is an object is copied: two fits begin alike."""
    optimizer = SGD(0.1, momentum=0.9)
    classifier = small(optimizer=optimizer, learning_rate=None, epochs=1)
    first = classifier.fit(X, Y).model_.get_weights()
    for one, again in zip(first, classifier.fit(X, Y).model_.get_weights(), strict=True):
        np.testing.assert_array_equal(one, again)
    assert classifier.optimizer is optimizer
    assert optimizer.iterations == 0


def test_pipeline_and_cross_validation():
    pipeline = make_pipeline(StandardScaler(), small(image_shape=(5, 7), epochs=20))
    scores = cross_val_score(pipeline, X.reshape(90, 35), Y, cv=3)
    assert scores.min() > 0.8
    pipeline.set_params(cnnclassifier__model__units=7).fit(X.reshape(90, 35), Y)
    assert pipeline[-1].model_[1].units == 7


@pytest.mark.parametrize("mmap_mode", [None, "r", "c"])
def test_copies_predict_and_train_on(mmap_mode, fitted, tmp_path):
    """To the bit: pickles, copies, files of joblib, mapped ones too."""
    joblib.dump(fitted, tmp_path / "classifier.joblib")
    expected = fitted.predict_proba(X)
    trained = copy.deepcopy(fitted).set_params(warm_start=True).fit(X, Y).predict_proba(X)
    loaded = joblib.load(tmp_path / "classifier.joblib", mmap_mode=mmap_mode)
    for other in (loaded, pickle.loads(pickle.dumps(fitted))):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        np.testing.assert_array_equal(other.set_params(warm_start=True).fit(X, Y).predict_proba(X), trained)


def test_ready_networks():
    """The default one has images of any size; mnist_cnn is the library's, with an output for each class."""
    for shape in ((1, 1, 1), (2, 5, 3), (8, 8, 1), (7,)):
        model = tinycnn.Sequential(small_network(shape, 4, filters=2, units=3), input_shape=shape)
        assert model.output_shape == (4,)
    model = tinycnn.Sequential(like_mnist_cnn((28, 28, 1), 10), input_shape=(28, 28, 1), seed=6)
    np.testing.assert_array_equal(model.parameters, tinycnn.mnist_cnn(seed=6).parameters)
    assert like_mnist_cnn((28, 28, 1), 4)[-1].units == 4


@pytest.mark.parametrize("missing", ["sklearn.base", "sklearn.utils.validation"])
def test_without_scikit_learn_the_cure_is_named(monkeypatch, missing):
    """Also with a version that lacks what is needed."""
    for name in list(sys.modules):
        if name.startswith("tinycnn.sklearn"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        ImportError, match=r'needs scikit-learn 1.6 or newer: pip install "tinycnn\[sklearn\]"'
    ):
        importlib.import_module("tinycnn.sklearn")
