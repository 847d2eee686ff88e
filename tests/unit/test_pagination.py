"""Cursors: opaque, ours alone, and bound to one list and its filters."""

import dataclasses

import pytest

from common.pagination import Cursors
from common.problems import InvalidCursor

SCOPE = ["orders", {"status": "CREATED"}]
ROWS = [{"at": number * 1_000_000, "id": number} for number in (9, 8, 7)]


@pytest.fixture
def cursors(settings):
    return Cursors(settings)


def page(cursors, rows=ROWS, limit=2, scope=SCOPE):
    return cursors.page(rows, limit, scope, lambda row: (row["at"], row["id"]), lambda row: row["id"])


def test_page_shows_up_to_its_limit_and_leads_to_the_last_shown_row(cursors):
    result = page(cursors)

    assert result["data"] == [9, 8]
    assert cursors.read(result["next_cursor"], SCOPE) == (8_000_000, 8)


@pytest.mark.parametrize("text", [None, "", "0"])
def test_absent_empty_and_zero_are_the_first_page(cursors, text):
    assert cursors.read(text, SCOPE) is None


def test_position_of_any_size_comes_back_in_url_safe_characters_of_the_contracts_length(cursors):
    rows = [{"at": -(2**62), "id": 2**63 - 1}, {"at": 0, "id": 0}]

    text = page(cursors, rows, limit=1)["next_cursor"]

    assert cursors.read(text, SCOPE) == (-(2**62), 2**63 - 1)
    assert len(text) <= 200
    assert text.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("text", ["1", "A", "AAAAA", "AAAAAAAAAAAAAAAAMTIz", "eyJpZCI6MX0", "é", "=" * 8])
def test_garbage_is_refused(cursors, text):
    with pytest.raises(InvalidCursor):
        cursors.read(text, SCOPE)


def test_cursor_of_the_previous_secret_is_read_and_of_a_foreign_one_is_not(settings, cursors):
    text = page(cursors)["next_cursor"]
    rotated = dataclasses.replace(settings, jwt_secrets=("n" * 32, settings.jwt_secrets[0]))
    foreign = dataclasses.replace(settings, jwt_secrets=("n" * 32, "m" * 32))

    assert Cursors(rotated).read(text, SCOPE) == (8_000_000, 8)
    with pytest.raises(InvalidCursor):
        Cursors(foreign).read(text, SCOPE)


def test_cursor_bent_in_bits_that_base64_ignores_is_refused(cursors):
    text = page(cursors, [{"at": 1, "id": 20}, {"at": 0, "id": 1}], limit=1)["next_cursor"]
    bent = text[:-1] + chr(ord(text[-1]) + 1)

    with pytest.raises(InvalidCursor):
        cursors.read(bent, SCOPE)
