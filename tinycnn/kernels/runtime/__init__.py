"""Compilation, threads and memory of kernels: `jit`, `cache`, `linking`, `parallel`, `threads`, `memory`.

`partition` fixes the number of partial sums. A reader of algorithms may skip this folder.
"""
