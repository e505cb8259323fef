"""The field's words: names that only this project had do not come back."""

from pathlib import Path

import pytest

from tests.test_structure import FILES, PRIVATE_WORDS, place


@pytest.mark.parametrize("path", FILES, ids=place)
def test_no_private_words(path: Path):
    """In code, comments and docstrings."""
    found = PRIVATE_WORDS.findall(path.read_text(encoding="utf-8"))
    assert sorted(set(found)) == []
