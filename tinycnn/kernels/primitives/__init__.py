"""The innermost loops, which every algorithm is made of.

`simd` writes vector instructions; `gemm` and `sparse_rows` are products on register blocks; `epilogue` is
what follows the sums of an image; `philox` draws random numbers. `target` says what they are compiled for.
"""
