"""scikit-learn's own checks of an estimator; and real images."""

import pytest

pytest.importorskip("sklearn", reason='pip install "tinycnn[sklearn]"')

from sklearn.utils.estimator_checks import parametrize_with_checks

from tinycnn.datasets import load_mnist
from tinycnn.sklearn import CNNClassifier

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")]

CLASSIFIERS = [CNNClassifier(n_threads=1), CNNClassifier(n_threads=1, model__units=96)]


def expected_failures(estimator):
    """None; but where a function has an argument of its own, that is an attribute beyond the signature."""
    reason = "arguments of the function are parameters that the signature cannot name"
    return {"check_no_attributes_set_in_init": reason} if hasattr(estimator, "model__units") else {}


@parametrize_with_checks(CLASSIFIERS, expected_failed_checks=expected_failures)
def test_check(estimator, check):
    check(estimator)


def test_mnist():
    """The first 400 images, as bytes and in rows."""
    (x, y), (x_test, y_test) = load_mnist()
    classifier = CNNClassifier(epochs=20, random_state=0).fit(x[:400].reshape(400, 784), y[:400])
    assert classifier.image_shape_ == (28, 28, 1)
    assert classifier.score(x_test[:500], y_test[:500]) > 0.8
