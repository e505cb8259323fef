"""A classifier for scikit-learn: pipelines, grids and cross-validation over networks of this library.

::

    X (N, features) or images, y (any labels) -> CNNClassifier.fit -> model_ -> predict, predict_proba

`clone`, `GridSearchCV`, `cross_val_score`, joblib and Dask treat it as one of scikit-learn's own estimators.
The parallel workers of a search take a share of the cores each (`tinycnn.kernels.runtime.shares`), and
results have the same bits as in one process. `data.py` makes images of X, `networks.py` makes the network.
"""

from tinycnn.sklearn.classifier import CNNClassifier
from tinycnn.sklearn.networks import like_mnist_cnn, small_network

__all__ = ["CNNClassifier", "like_mnist_cnn", "small_network"]
