"""Mistakes in the softmax cross-entropy."""

from functools import partial
from typing import Any

import numpy as np

from tinycnn.teach.exercises import Function
from tinycnn.teach.mistakes.catalogue import mistake, replaced
from tinycnn.teach.references import softmax_cross_entropy as right

LossAndGradient = tuple[Any, np.ndarray]

#: Numbers that are often added to a probability before its logarithm.
EPSILONS = (1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15)


def one_hot(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (N, K) with a 1 at the label of each row."""
    return (np.arange(logits.shape[1]) == labels[:, None]).astype(logits.dtype)


def softmax(logits: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return the softmax along an axis."""
    shifted = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def from_probabilities(p: np.ndarray, labels: np.ndarray, logarithm: Function = np.log) -> LossAndGradient:
    """Return loss and gradient as they follow from the probabilities."""
    rows = np.arange(len(labels))
    loss = -logarithm(p[rows, labels]).mean()
    return loss, (p - one_hot(p, labels)) / len(p)


def not_shifted(logits: np.ndarray, labels: np.ndarray) -> LossAndGradient:
    """Compute exp(logits) as it stands."""
    powers = np.exp(logits)
    return from_probabilities(powers / powers.sum(axis=1, keepdims=True), labels)


def log_of_sums(logits: np.ndarray) -> np.ndarray:
    """Return log(sum of exp(logits)) of each row, (N, 1), as it stands."""
    return np.log(np.exp(logits).sum(axis=1, keepdims=True))


def not_shifted_logarithm(probabilities: Function) -> Function:
    """Return a function that takes the logarithm of the sum of exp(logits) as it stands."""

    def function(logits: np.ndarray, labels: np.ndarray) -> LossAndGradient:
        p = probabilities(logits)
        log_p = logits - log_of_sums(logits)
        return -log_p[np.arange(len(labels)), labels].mean(), (p - one_hot(p, labels)) / len(p)

    return function


def shifted_by_one_number(logits: np.ndarray, labels: np.ndarray) -> LossAndGradient:
    """Subtract the maximum of the whole batch from all rows."""
    return not_shifted(logits - logits.max(), labels)


def shifted_in_place(logits: np.ndarray, labels: np.ndarray) -> LossAndGradient:
    """Subtract the maximum of each row in the caller's array."""
    logits -= logits.max(axis=1, keepdims=True)
    return right(logits, labels)


def with_logarithm(logarithm: Function) -> Function:
    """Return a function that takes another logarithm of the probabilities."""
    return lambda logits, labels: from_probabilities(softmax(logits), labels, logarithm)


def log_of_sum(epsilon: float) -> Function:
    """Return log(p + epsilon)."""
    return lambda p: np.log(p + p.dtype.type(epsilon))


def log_of_clipped(epsilon: float) -> Function:
    """Return log of p clipped to [epsilon, 1 - epsilon]."""
    return lambda p: np.log(np.clip(p, epsilon, 1 - epsilon))


def log_of_maximum(epsilon: float) -> Function:
    """Return log of p that is at least epsilon."""
    return lambda p: np.log(np.maximum(p, p.dtype.type(epsilon)))


loss, dlogits = partial(replaced, right, 0), partial(replaced, right, 1)

SOFTMAX = (
    mistake(
        "overflow of the exponential",
        "exp(logits) overflows where logits are large. Subtract the largest logit of each row first.",
        not_shifted,
        not_shifted_logarithm(lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)),
        not_shifted_logarithm(lambda z: np.exp(z - log_of_sums(z))),
        loss(lambda z, labels: (log_of_sums(z)[:, 0] - z[np.arange(len(z)), labels]).mean()),
    ),
    mistake(
        "one maximum for all rows",
        "the maximum of the whole batch is subtracted. Rows far below it become 0 / 0: take the maximum of "
        "each row.",
        shifted_by_one_number,
    ),
    mistake(
        "logarithm of 0",
        "the logarithm is taken of a probability that was rounded to 0. Use log p = z - log(sum of exp(z)), "
        "with the shifted logits z.",
        with_logarithm(np.log),
    ),
    mistake(
        "epsilon in the logarithm",
        "a small number is added to the probability, or bounds it, so large losses are cut off. Use log p = "
        "z - log(sum of exp(z)), with the shifted logits z.",
        *(
            with_logarithm(log(epsilon))
            for epsilon in EPSILONS
            for log in (log_of_sum, log_of_clipped, log_of_maximum)
        ),
    ),
    mistake(
        "softmax over the batch",
        "the softmax runs over the images, axis 0. It should run over the classes, axis 1.",
        lambda z, labels: from_probabilities(softmax(z, axis=0), labels),
        dlogits(lambda z, labels: (softmax(z, axis=0) - one_hot(z, labels)) / len(z)),
    ),
    mistake(
        "sum against mean in the loss",
        "the loss is the sum over the rows, and should be their mean.",
        loss(lambda z, labels: right(z, labels)[0] * len(z)),
    ),
    mistake(
        "loss divided by the classes too",
        "the loss is the mean over rows and classes: add over the classes, and divide by N only.",
        loss(lambda z, labels: right(z, labels)[0] / z.shape[1]),
    ),
    mistake(
        "loss divided twice",
        "the loss is divided by N twice.",
        loss(lambda z, labels: right(z, labels)[0] / len(z)),
    ),
    mistake(
        "loss of each row",
        "loss has one number for each row: take their mean.",
        loss(lambda z, labels: np.array([right(z[n : n + 1], labels[n : n + 1])[0] for n in range(len(z))])),
    ),
    mistake(
        "sign of the loss",
        "the loss has the wrong sign: it is minus the mean of log p.",
        loss(lambda z, labels: -right(z, labels)[0]),
    ),
    mistake(
        "logarithm of base 2",
        "the loss is in bits: take the natural logarithm.",
        loss(lambda z, labels: right(z, labels)[0] / np.log(2)),
    ),
    mistake(
        "sum against mean in the gradient",
        "dlogits is not divided by N. The loss is a mean, and so is its gradient.",
        dlogits(lambda z, labels: right(z, labels)[1] * len(z)),
    ),
    mistake(
        "gradient divided twice",
        "dlogits is divided by N twice.",
        dlogits(lambda z, labels: right(z, labels)[1] / len(z)),
    ),
    mistake(
        "gradient divided by the classes",
        "dlogits is divided by the number of classes: divide by N only.",
        dlogits(lambda z, labels: right(z, labels)[1] / z.shape[1]),
        dlogits(lambda z, labels: right(z, labels)[1] * len(z) / z.shape[1]),
    ),
    mistake(
        "label not subtracted",
        "dlogits is p / N: subtract 1 from p at the label of each row.",
        dlogits(lambda z, labels: softmax(z) / len(z)),
    ),
    mistake(
        "label subtracted after the division",
        "1 is subtracted at the labels after p was divided by N: divide p - 1 by N.",
        dlogits(lambda z, labels: softmax(z) / len(z) - one_hot(z, labels)),
    ),
    mistake(
        "labels subtracted in every row",
        "1 is subtracted from each row at the labels of all rows: index the rows too, with "
        "p[np.arange(N), labels].",
        dlogits(lambda z, labels: (softmax(z) - np.isin(np.arange(z.shape[1]), labels)) / len(z)),
    ),
    mistake(
        "labels subtracted as numbers",
        "the number of the class is subtracted from each p: subtract 1 at the label of each row (one-hot).",
        dlogits(lambda z, labels: (softmax(z) - labels[:, None].astype(z.dtype)) / len(z)),
    ),
    mistake(
        "sign of the gradient",
        "dlogits has the wrong sign: it is p minus the one-hot label.",
        dlogits(lambda z, labels: -right(z, labels)[1]),
    ),
    mistake(
        "gradient with respect to the probabilities",
        "dlogits is the gradient with respect to p: multiply by the derivative of the softmax, which leaves "
        "p minus the one-hot label.",
        dlogits(lambda z, labels: -one_hot(z, labels) / softmax(z) / len(z)),
    ),
    mistake(
        "derivative of the softmax applied twice",
        "p - y is the gradient with respect to the logits already; here it is multiplied by p * (1 - p) as "
        "well.",
        dlogits(lambda z, labels: right(z, labels)[1] * softmax(z) * (1 - softmax(z))),
    ),
    mistake(
        "logits shifted in place",
        "the caller's logits are changed. `logits -= ...` works in place: write `logits = logits - ...`.",
        shifted_in_place,
    ),
)
