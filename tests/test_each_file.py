"""A rule for each of several items fails with the names of those that break it."""

import re

import pytest

from tests.each_file import each

pytestmark = pytest.mark.smoke


def test_all_items_are_tried_and_the_broken_ones_named():
    tried = []

    @each([1, 2, 3, 4], str)
    def test_is_odd(number):
        """The rule."""
        tried.append(number)
        assert number % 2

    with pytest.raises(AssertionError, match=re.compile("2: .*4: ", re.DOTALL)):
        test_is_odd()
    assert tried == [1, 2, 3, 4]
    assert (test_is_odd.__name__, test_is_odd.__doc__) == ("test_is_odd", "The rule.")


def test_a_rule_that_holds_passes():
    @each([1, 3], str)
    def test_is_odd(number):
        assert number % 2

    test_is_odd()
