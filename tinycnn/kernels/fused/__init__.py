"""Several operations in one pass over memory.

`conv_relu` and `conv_maxpool` are the forward passes of a convolution with what follows it,
`conv_maxpool_grads` the backward pass; `single_image` runs a whole network for one image. `tinycnn.execution`
decides when.
"""
