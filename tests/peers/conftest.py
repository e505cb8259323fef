"""The peers, imported only by the tests that ask for them: collecting this folder imports none.

Every test here is `slow`: `pytest -m slow` runs it, and skips it where a peer is not installed.
"""

import importlib
import warnings
from pathlib import Path

import pytest

# Warnings of the peers about themselves and each other; tinycnn's are errors here as elsewhere.
PEERS_WARNINGS = r"ignore:::(keras|tensorflow|tf_keras|torch)\b"
REASON = "{} is not installed; install the peers extra: pip install 'tinycnn[peers]'"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the tests of this folder, before pytest deselects by mark."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.filterwarnings(PEERS_WARNINGS))


def import_peer(name):
    """Return a module, or skip the test. What it warns about while being imported is its own business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(name.partition(".")[0], reason=REASON.format(name))
        return importlib.import_module(name)


@pytest.fixture(scope="session")
def tensorflow_environment():
    """Keras 3 on TensorFlow, quiet, and on the CPU: a GPU's arithmetic may be coarser than float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("KERAS_BACKEND", "tensorflow")
        patch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        patch.delenv("TF_USE_LEGACY_KERAS", raising=False)
        yield


@pytest.fixture(scope="session")
def tf(tensorflow_environment):
    return import_peer("tensorflow")


@pytest.fixture
def keras(tf):
    return seeded(import_peer("keras"))


@pytest.fixture
def tf_keras(tf):
    """Keras 2, under the name that it has beside Keras 3."""
    return seeded(import_peer("tf_keras"))


def seeded(keras):
    """Every test begins with the same weights, also when it runs alone."""
    keras.utils.set_random_seed(0)
    return keras


@pytest.fixture(scope="session")
def torch():
    return import_peer("torch")


@pytest.fixture(params=["keras", "tf_keras"])
def either_keras(request):
    """Keras 3, then Keras 2."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param
