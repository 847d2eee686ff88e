"""The parts of a search that need no database."""

import pytest

from common.search import escaped


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("abc", "abc"), ("100%", "100|%"), ("a_b", "a|_b"), ("x|y", "x||y"), ("|%", "|||%"), ("a\\b", "a\\b"), ("", "")],
)
def test_special_characters_of_like_are_escaped(text, pattern):
    assert escaped(text) == pattern
