"""How kernels are compiled and fed: `jit`, `cache`, `threads`, `memory`, and the `partition` of sums.

A reader of algorithms may skip this folder.
"""
