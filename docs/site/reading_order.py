"""The reading order of the source, and a sentence or two on each file: all that is written by hand.

::

    CHAPTERS -> reading.page for each file -> docs/site/make.py
"""

from typing import NamedTuple


class Chapter(NamedTuple):
    """Files that are read together: a title, a sentence, and (path below tinycnn/, sentence) of each."""

    title: str
    introduction: str
    files: tuple[tuple[str, str], ...]


CHAPTERS = (
    Chapter(
        "What a layer is",
        "The contract, and the layer that the rest of the library serves.",
        (
            ("layers/base.py", "Every layer fulfils this contract. Read `forward`, `backward` and `build`."),
            (
                "layers/conv.py",
                "Shapes, weights and gradients of a convolution. The sums are computed elsewhere.",
            ),
        ),
    ),
    Chapter(
        "A convolution, four ways",
        "The same three functions in each file: forward, gradient of the input, gradient of the filter.",
        (
            ("kernels/__init__.py", "The letters of all formulas, and the public functions."),
            ("kernels/geometry.py", "How large the output is, and how much padding there is."),
            ("kernels/conv/__init__.py", "Arguments are checked here, and an algorithm is chosen."),
            ("kernels/conv/naive.py", "The definition. Everything that follows must give these numbers."),
            ("kernels/conv/im2col.py", "One matrix product of NumPy, at the price of a large matrix."),
            ("kernels/primitives/simd.py", "Vectors of the processor, as functions that Numba compiles."),
            ("kernels/primitives/gemm.py", "The innermost loop: all sums stay in registers."),
            ("kernels/conv/direct.py", "The matrix product again, without the matrix of patches."),
            ("kernels/conv/winograd_matrices.py", "The transforms, derived from points of interpolation."),
            ("kernels/conv/winograd_tiles.py", "The loops that transform tiles of an image."),
            ("kernels/conv/winograd.py", "Fewer multiplications than the definition has."),
            (
                "kernels/conv/winograd_image.py",
                "The same for a single image, whose filters the threads share.",
            ),
        ),
    ),
    Chapter(
        "The other layers",
        "Each is one short file. Pools have three algorithms, in the same form as a convolution.",
        (
            ("layers/depthwise.py", "Each channel alone, and then perhaps a 1x1 convolution."),
            ("kernels/depthwise/naive.py", "The definition: a convolution without the sum over channels."),
            ("kernels/depthwise/im2col.py", "One product of arrays for each element of the filter."),
            (
                "kernels/primitives/channelwise.py",
                "The innermost loop: vectors of channels, sums in registers.",
            ),
            ("kernels/depthwise/direct.py", "Rows of images, cut where the filter leaves them."),
            ("layers/pooling.py", "Maximum and mean of windows."),
            ("kernels/pool/naive.py", "The definition of the pools."),
            ("kernels/pool/im2col.py", "Pools as reductions over the axes of a window."),
            ("kernels/pool/direct.py", "Pools as loops over vectors of channels."),
            ("layers/dense.py", "One matrix product forward, two backward."),
            ("kernels/dense/blocked.py", "That product on blocks of registers, where BLAS is slower."),
            ("layers/normalization.py", "The one layer whose gradient takes the whole batch together."),
            ("layers/random_layer.py", "Random numbers that depend on a seed and a number alone."),
            ("layers/dropout.py", "A mask of such numbers."),
            ("layers/gaussian_noise.py", "Normal numbers that are added."),
            ("layers/flatten.py", "The shortest layer."),
            ("layers/reshape.py", "The same for any shape."),
            ("layers/padding.py", "Zeros around images."),
            ("layers/upsampling.py", "Images enlarged, and the transpose of that."),
            ("layers/activation.py", "An activation as a layer of its own."),
            ("activations.py", "The functions, each with a gradient that needs the output only."),
            ("losses.py", "The last step forward, and the first step backward."),
        ),
    ),
    Chapter(
        "Several operations in one pass",
        "What follows a convolution is computed while its results are in the cache.",
        (
            ("kernels/primitives/epilogue.py", "Bias, ReLU, pool and dropout on a row of sums."),
            ("kernels/fused/conv_maxpool.py", "A convolution, its ReLU, max-pool and dropout, forward."),
            ("kernels/fused/nonzero_lists.py", "Lists of the gradients that are not zero."),
            ("kernels/primitives/sparse_rows.py", "Products over such lists."),
            ("kernels/fused/conv_maxpool_grads.py", "The backward pass, over non-zeros only."),
        ),
    ),
    Chapter(
        "Which code runs",
        "Every threshold is in one file, and every decision is made once.",
        (
            ("kernels/selection.py", "From sizes to an algorithm, with the reason."),
            ("execution/choices.py", "The choices of single layers."),
            ("execution/fused.py", "Which layers are run as one, and their backward pass."),
            ("execution/single_image.py", "A table of instructions for a single image."),
            ("execution/plan.py", "The list of what runs."),
        ),
    ),
    Chapter(
        "A network, and its training",
        "From the layers up to `fit`.",
        (
            ("parameters.py", "All parameters as views of one vector."),
            ("stack.py", "The layers, their shapes and their names."),
            ("network.py", "One batch: forward, backward, a step."),
            ("sequential.py", "Many batches: fit, evaluate, predict, save."),
            ("optimizers/base.py", "What an optimizer is."),
            ("optimizers/adaptive.py", "Adam and its relatives."),
            ("training/loop.py", "The loop over epochs and batches."),
        ),
    ),
)
