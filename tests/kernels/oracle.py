"""The functions said once more, in float64 and in another way than any algorithm says them.

::

    meets[o, k, p] = 1 where output o sees pixel p through tap k of the kernel, else 0
    y[n,a,b,f]     = sum of x[n,h,w,c] * rows[a,k,h] * columns[b,l,w] * w[k,l,c,f]

A gradient of such a sum is the same sum with another array left out. No padding, no patches, no loops:
what the algorithms could get wrong together is not here.
"""

import numpy as np

NO_PADDING = ((0, 0), (0, 0))

#: How `einsum` goes: two arrays at a time, even if what they make is larger than any of them.
IN_PAIRS = "greedy", 2**30


def outputs(size, kernel, stride, pads, dilation):
    """How many places a kernel has on one padded axis, counted."""
    reach = (kernel - 1) * dilation + 1
    return len(range(0, size + sum(pads) - reach + 1, stride))


def meets(size, kernel, stride, pads, dilation=1):
    o, k, p = np.ogrid[: outputs(size, kernel, stride, pads, dilation), :kernel, :size]
    return (o * stride + k * dilation - pads[0] == p).astype(np.float64)


def both_axes(size, kernel, strides, padding, dilation=(1, 1)):
    return [meets(*axis) for axis in zip(size, kernel, strides, padding, dilation, strict=True)]


def conv2d(x, w, b=None, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1), relu=False):
    rows, columns = both_axes(x.shape[1:3], w.shape[:2], strides, padding, dilation)
    y = np.einsum("nhwc,akh,blw,klcf->nabf", x, rows, columns, w, optimize=IN_PAIRS)
    y = y if b is None else y + b
    return np.maximum(y, 0) if relu else y


def conv2d_grad_input(dy, w, x_shape, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1)):
    rows, columns = both_axes(x_shape[1:3], w.shape[:2], strides, padding, dilation)
    return np.einsum("nabf,akh,blw,klcf->nhwc", dy, rows, columns, w, optimize=IN_PAIRS)


def conv2d_grad_filter(x, dy, w_shape, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1)):
    rows, columns = both_axes(x.shape[1:3], w_shape[:2], strides, padding, dilation)
    return np.einsum("nhwc,akh,blw,nabf->klcf", x, rows, columns, dy, optimize=IN_PAIRS)


def depthwise_conv2d(x, w, b=None, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1), relu=False):
    rows, columns = both_axes(x.shape[1:3], w.shape[:2], strides, padding, dilation)
    y = np.einsum("nhwc,akh,blw,klcm->nabcm", x, rows, columns, w, optimize=IN_PAIRS)
    y = y.reshape(*y.shape[:3], w.shape[2] * w.shape[3])
    y = y if b is None else y + b
    return np.maximum(y, 0) if relu else y


def depthwise_conv2d_grad_input(dy, w, x_shape, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1)):
    rows, columns = both_axes(x_shape[1:3], w.shape[:2], strides, padding, dilation)
    dy = dy.reshape(*dy.shape[:3], *w.shape[2:])
    return np.einsum("nabcm,akh,blw,klcm->nhwc", dy, rows, columns, w, optimize=IN_PAIRS)


def depthwise_conv2d_grad_filter(x, dy, w_shape, strides=(1, 1), padding=NO_PADDING, dilation=(1, 1)):
    rows, columns = both_axes(x.shape[1:3], w_shape[:2], strides, padding, dilation)
    dy = dy.reshape(*dy.shape[:3], *w_shape[2:])
    return np.einsum("nhwc,akh,blw,nabcm->klcm", x, rows, columns, dy, optimize=IN_PAIRS)


def maxpool2d(x, pool_size, strides, padding=NO_PADDING):
    rows, columns = both_axes(x.shape[1:3], pool_size, strides, padding)
    y = np.empty((x.shape[0], len(rows), len(columns), x.shape[3]), x.dtype)
    argmax = np.empty(y.shape, np.int64)
    for a, b in np.ndindex(y.shape[1:3]):
        k, h = np.nonzero(rows[a])  # the taps inside the image, and their pixels
        l, w = np.nonzero(columns[b])
        window = x[:, h[0] : h[-1] + 1, w[0] : w[-1] + 1].reshape(len(x), len(h) * len(w), x.shape[3])
        taps = (k[:, None] * pool_size[1] + l).ravel()
        y[:, a, b], argmax[:, a, b] = window.max(axis=1), taps[window.argmax(axis=1)]
    return y, argmax


def maxpool2d_grad_input(dy, argmax, x_shape, pool_size, strides, padding=NO_PADDING):
    rows, columns = both_axes(x_shape[1:3], pool_size, strides, padding)
    won = argmax[..., None, None] == np.arange(pool_size[0] * pool_size[1]).reshape(pool_size)
    return np.einsum("nabc,nabckl,akh,blw->nhwc", dy, won, rows, columns, optimize=IN_PAIRS)


def averagepool2d(x, pool_size, strides, padding=NO_PADDING):
    rows, columns = (m.sum(axis=1) for m in both_axes(x.shape[1:3], pool_size, strides, padding))
    means = (m / m.sum(axis=1, keepdims=True) for m in (rows, columns))
    return np.einsum("nhwc,ah,bw->nabc", x, *means, optimize=IN_PAIRS)


def averagepool2d_grad_input(dy, x_shape, pool_size, strides, padding=NO_PADDING):
    rows, columns = (m.sum(axis=1) for m in both_axes(x_shape[1:3], pool_size, strides, padding))
    means = (m / m.sum(axis=1, keepdims=True) for m in (rows, columns))
    return np.einsum("nabc,ah,bw->nhwc", dy, *means, optimize=IN_PAIRS)
