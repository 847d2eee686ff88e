"""Entity tags: weak comparison for 304, strong for 412 (RFC 9110, section 13.1)."""

import pytest

from common import conditional
from common.problems import PreconditionFailed

TAG = '"7"'


def test_tag_is_the_version_in_quotes():
    assert conditional.entity_tag(7) == TAG


@pytest.mark.parametrize("header", [TAG, f"W/{TAG}", "*", " * ", f'"6", {TAG}', f'"6",W/{TAG},"8"', f'"a,b", {TAG}'])
def test_if_none_match_that_names_the_tag(header):
    assert conditional.is_unmodified(header, TAG)


@pytest.mark.parametrize(
    "header", [None, "", "7", '"6"', '"77"', '"7', '7"', '""', 'W/"6"', '"6", "*"', '"x7", "7x"', 'x"7"', '"7"x']
)
def test_if_none_match_that_names_it_not(header):
    assert not conditional.is_unmodified(header, TAG)


@pytest.mark.parametrize("header", [None, TAG, "*", f'"6", {TAG}', f"W/{TAG}, {TAG}"])
def test_if_match_that_names_the_tag_passes(header):
    assert conditional.require_match(header, TAG) is None


@pytest.mark.parametrize(
    "header", ["", "7", f"W/{TAG}", f'"6", W/{TAG}', '"*"', '"7-final"', 'w/"7"', 'x"7"', '"7" "6"']
)
def test_if_match_that_names_it_not_is_refused(header):
    with pytest.raises(PreconditionFailed):
        conditional.require_match(header, TAG)
