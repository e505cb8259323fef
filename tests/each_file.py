"""Rules that hold for each file, as one test a rule: thousands of tests take long only to be collected.

::

    @each(FILES, place)
    def test_rule(path): ...          one test; it fails with the name of each file that breaks the rule
"""

from collections.abc import Callable, Iterable
from typing import Any


def each(items: Iterable[Any], name: Callable[[Any], str]) -> Callable[[Callable[[Any], None]], Callable]:
    """Return a decorator that makes a test of all items of a test of one."""

    def decorate(check: Callable[[Any], None]) -> Callable[[], None]:
        def test() -> None:
            broken = []
            for item in items:
                try:
                    check(item)
                except AssertionError as error:
                    broken.append(f"{name(item)}: {error}")
            assert not broken, "\n".join(broken)

        test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
        return test

    return decorate
