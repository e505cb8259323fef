"""The exercises, solved: what a student's function is compared with.

::

    name, parameters and docstring -> what the student reads          body -> the expected values

Images are (N, H, W, C) and filters (KH, KW, C, F), as in `tinycnn.kernels`. The bodies are for reading. They
are compared with the loops of `kernels.conv.naive`, and with finite differences, in the tests.
"""

import numpy as np

from tinycnn.support.checks import Pair


def conv2d_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray, strides: Pair, padding: Pair) -> np.ndarray:
    """Convolve images with filters and add a bias.

    y[n,oh,ow,f] = b[f] + sum over kh, kw, c of xp[n, oh*SH + kh, ow*SW + kw, c] * w[kh,kw,c,f]

    xp is x with PH rows of zeros above and below, and PW columns of zeros on the left and on the right. The
    sizes are OH = (H + 2*PH - KH) // SH + 1 and OW = (W + 2*PW - KW) // SW + 1. The filter is not flipped.
    Source: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", arXiv 1603.07285.

    Parameters
    ----------
    x : ndarray of shape (N, H, W, C), float64 or float32
    w : ndarray of shape (KH, KW, C, F), in the dtype of x
    b : ndarray of shape (F,), in the dtype of x
    strides : (SH, SW)
        Steps of the filter, along the rows and along the columns.
    padding : (PH, PW)

    Returns
    -------
    y : ndarray of shape (N, OH, OW, F), in the dtype of x
        The arguments are left as they were.
    """
    windows = _windows(_pad(x, padding), w.shape[:2], strides)
    return np.einsum("nhwckl,klcf->nhwf", windows, w) + b


def conv2d_backward(
    dy: np.ndarray, x: np.ndarray, w: np.ndarray, strides: Pair, padding: Pair
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of a convolution with respect to its input, its filters and its bias.

    For y = conv2d_forward(x, w, b, strides, padding) and dy = dL/dy, apply the chain rule to

    y[n,oh,ow,f] = b[f] + sum over kh, kw, c of xp[n, oh*SH + kh, ow*SW + kw, c] * w[kh,kw,c,f]

    xp is x with PH rows of zeros above and below, and PW columns of zeros on the left and on the right. L
    is a number for the whole batch, so gradients are sums over all images. Source: Goodfellow, Bengio &
    Courville, "Deep Learning", section 9.5.

    Parameters
    ----------
    dy : ndarray of shape (N, OH, OW, F), float64 or float32
    x : ndarray of shape (N, H, W, C), in the dtype of dy
    w : ndarray of shape (KH, KW, C, F), in the dtype of dy
    strides : (SH, SW)
    padding : (PH, PW)

    Returns
    -------
    dx : ndarray of shape (N, H, W, C), in the dtype of dy
    dw : ndarray of shape (KH, KW, C, F), in the dtype of dy
    db : ndarray of shape (F,), in the dtype of dy
        The arguments are left as they were.
    """
    (_, H, W, _), (_, OH, OW, _), (SH, SW), (PH, PW) = x.shape, dy.shape, strides, padding
    xp = _pad(x, padding)
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for kh, kw in np.ndindex(w.shape[:2]):
        pixels = np.s_[:, kh : kh + SH * (OH - 1) + 1 : SH, kw : kw + SW * (OW - 1) + 1 : SW]
        dw[kh, kw] = np.einsum("nhwc,nhwf->cf", xp[pixels], dy)
        dxp[pixels] += dy @ w[kh, kw].T  # (N, OH, OW, C)
    return dxp[:, PH : PH + H, PW : PW + W].copy(), dw, dy.sum(axis=(0, 1, 2))


def maxpool_backward(dy: np.ndarray, x: np.ndarray, pool_size: Pair, strides: Pair) -> np.ndarray:
    """Return the gradient of a max-pool with respect to its input.

    y[n,oh,ow,c] = max over kh < KH, kw < KW of x[n, oh*SH + kh, ow*SW + kw, c]

    Each dy goes to the pixel that was the maximum of its window. Of equal maxima it is the first in row-major
    order. Windows may overlap, and rows and columns at the end may be in no window. Source: `maxpool2d` in
    tinycnn/kernels/pool/naive.py; Boureau, Ponce & LeCun, "A theoretical analysis of feature pooling", 2010.

    Parameters
    ----------
    dy : ndarray of shape (N, OH, OW, C), float64 or float32
    x : ndarray of shape (N, H, W, C), in the dtype of dy
    pool_size : (KH, KW)
    strides : (SH, SW)

    Returns
    -------
    dx : ndarray of shape (N, H, W, C), in the dtype of dy
        The arguments are left as they were.
    """
    windows = _windows(x, pool_size, strides)
    offsets = windows.reshape(*dy.shape, -1).argmax(axis=-1)  # the first of equal maxima
    n, oh, ow, c = np.indices(dy.shape)
    kh, kw = np.divmod(offsets, pool_size[1])
    dx = np.zeros(x.shape, dy.dtype)
    np.add.at(dx, (n, oh * strides[0] + kh, ow * strides[1] + kw, c), dy)
    return dx


def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cross-entropy of the softmax of logits, and its gradient with respect to the logits.

    p[n,k] = exp(logits[n,k]) / sum over j of exp(logits[n,j])
    loss = -1/N * sum over n of log(p[n, labels[n]])

    Logits may be as large as 10,000 and as small as -10,000: nothing may overflow, and no logarithm may be
    taken of 0. Source: Goodfellow, Bengio & Courville, "Deep Learning", sections 4.1 and 6.2.2.3.

    Parameters
    ----------
    logits : ndarray of shape (N, K), float64 or float32
    labels : ndarray of shape (N,), int64
        The right class of each row, from 0 to K - 1.

    Returns
    -------
    loss : float
    dlogits : ndarray of shape (N, K), in the dtype of logits
        The arguments are left as they were.
    """
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dlogits = np.exp(log_p)
    dlogits[rows, labels] -= 1
    return -log_p[rows, labels].mean(), dlogits / len(labels)


def dropout(
    x: np.ndarray, dy: np.ndarray, rate: float, rng: np.random.Generator, training: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the output of inverted dropout, and its gradient with respect to the input.

    In training, draw u = rng.random(x.shape) once. Values where u >= rate are kept and multiplied by
    1 / (1 - rate); the others become 0. At inference, nothing is drawn and y is x. Source: Srivastava et al.,
    "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014, section 10.

    Parameters
    ----------
    x : ndarray of any shape, float64 or float32
    dy : ndarray of the shape and dtype of x
        The gradient of the loss with respect to y.
    rate : float
        Probability that a value is dropped, in [0, 1).
    rng : numpy.random.Generator
    training : bool

    Returns
    -------
    y : ndarray of the shape and dtype of x
    dx : ndarray of the shape and dtype of x
        The arguments are left as they were (rng has moved on).
    """
    if not training:
        return x.copy(), dy.copy()
    mask = ((rng.random(x.shape) >= rate) / (1 - rate)).astype(x.dtype)
    return x * mask, dy * mask


def batchnorm_backward(
    dy: np.ndarray, x: np.ndarray, gamma: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of batch normalisation in training: of its input, its scale and its shift.

    y = gamma * x_hat + beta with x_hat = (x - mean) / sqrt(variance + epsilon)

    The mean and the variance of each channel, the last axis, are those of the batch: over all other axes, and
    the variance is divided by their count. Both depend on x. Source: Ioffe & Szegedy, "Batch normalization",
    arXiv 1502.03167, section 3.

    Parameters
    ----------
    dy : ndarray of shape (N, C) or (N, H, W, C), float64 or float32
    x : ndarray of the shape and dtype of dy
    gamma : ndarray of shape (C,), in the dtype of dy
    epsilon : float

    Returns
    -------
    dx : ndarray of the shape and dtype of dy
    dgamma : ndarray of shape (C,), in the dtype of dy
    dbeta : ndarray of shape (C,), in the dtype of dy
        The arguments are left as they were.
    """
    axes = tuple(range(x.ndim - 1))
    centred = x - x.mean(axis=axes)
    inverse = 1 / np.sqrt(np.square(centred).mean(axis=axes) + x.dtype.type(epsilon))
    x_hat = centred * inverse
    dgamma, dbeta = (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)
    dx = gamma * inverse * (dy - dy.mean(axis=axes) - x_hat * (dy * x_hat).mean(axis=axes))
    return dx, dgamma, dbeta


def adam_step(
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    t: int,
    rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take one step of Adam; return the new parameters and the new moments.

    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    m_hat = m / (1 - beta_1**t), v_hat = v / (1 - beta_2**t)
    p = p - rate * m_hat / (sqrt(v_hat) + epsilon)

    Source: Kingma & Ba, "Adam: a method for stochastic optimization", arXiv 1412.6980, algorithm 1.

    Parameters
    ----------
    p, g, m, v : ndarray of one shape, float64 or float32
        Parameters, their gradients, and the moments so far.
    t : int
        The number of this step, from 1.
    rate, beta_1, beta_2, epsilon : float

    Returns
    -------
    p, m, v : ndarray of the shape and dtype of p
        New arrays. m and v are those of the first two lines, not m_hat and v_hat. The arguments are left as
        they were.
    """
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * np.square(g)
    m_hat, v_hat = m / (1 - beta_1**t), v / (1 - beta_2**t)
    return p - rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v


def _pad(x: np.ndarray, padding: Pair, mode: str = "constant") -> np.ndarray:
    PH, PW = padding
    return np.pad(x, ((0, 0), (PH, PH), (PW, PW), (0, 0)), mode=mode)  # type: ignore[call-overload]


def _windows(x: np.ndarray, size: Pair, strides: Pair) -> np.ndarray:
    """Return a view (N, OH, OW, C, KH, KW) of the windows of x (N, H, W, C)."""
    views = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    return views[:, :: strides[0], :: strides[1]]
