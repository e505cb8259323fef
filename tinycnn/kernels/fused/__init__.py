"""Several operations in one pass over memory.

`conv_maxpool` is the forward pass of a convolution with its ReLU, max-pool and dropout, `conv_maxpool_grads`
its backward pass, over the lists of `nonzero_lists`. `relu_bias_grads` is the gradient of a ReLU and of the
bias before it. `single_image` interprets a table of `instructions`. `tinycnn.execution` decides when each of
them runs.
"""
