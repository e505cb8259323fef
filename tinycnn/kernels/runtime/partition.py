"""Partition of sums: why results have the same bits on any number of threads.

::

    batch -> at most PARTIAL_SUMS shares, each summed by one thread -> added in their order

A sum of floats depends on its order. So work that ends in one sum is cut into a number of partial sums that
does not follow the number of threads, and these are added in their order.
"""

#: The batch is cut into at most this many shares, each with a partial sum of its own.
PARTIAL_SUMS = 16
