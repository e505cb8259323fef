"""The page: draw a digit, and look at every number that a network computes from it.

::

    tinycnn serve -> app (routes, limits) -> views (arrays as JSON) -> page/ (HTML, CSS, JavaScript)

It needs the extra `serve`. The browser draws; every number comes from the library.
"""
