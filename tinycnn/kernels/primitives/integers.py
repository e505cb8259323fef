"""Integer division that rounds up, for Python and for jitted functions: `geometry` defines it."""

from numba.extending import register_jitable

from tinycnn.kernels import geometry

ceil_div = register_jitable(geometry.ceil_div)
round_up = register_jitable(geometry.round_up)
