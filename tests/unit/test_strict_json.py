"""Strict JSON: what is refused, and that what goes out comes back."""

from decimal import Decimal

import pytest

from common import strict_json
from common.problems import MalformedJson


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":[1,-2,0.5,true,false,null,"x"]}', {"a": [1, -2, 0.5, True, False, None, "x"]}),
        ("9007199254740993.0", 9007199254740993),
        ("-0.0", 0),
        ("12e-1", Decimal("1.2")),
        ("1E18", 10**18),
        (" \r\n\t{} ", {}),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\u0000"', "\x00"),
        ('["\\u0041",1.5]', ["A", Decimal("1.5")]),
        ("9223372036854775808", 2**63),
        ('{"a":{"x":1},"b":{"x":1}}', {"a": {"x": 1}, "b": {"x": 1}}),
    ],
)
def test_strict_json_is_read(text, value):
    assert strict_json.loads(text.encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b"\xff",
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b'"\n"',
        b"[" * 100_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'"\\ude00\\ud83d"',
        b'{"a":1,"\\u0061":1}',
        '{"name":"A"}'.encode("utf-16"),
        b"9" * 5_000,
        b"1e1000000",
        b"1e-19",
        b"1." + b"0" * 29,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_anything_else_is_malformed(data):
    with pytest.raises(MalformedJson):
        strict_json.loads(data)


def test_what_is_rendered_is_compact_utf_8_in_the_order_given():
    assert strict_json.dumps({"b": "é😀", "a": None}) == '{"b":"é😀","a":null}'.encode()


def test_equal_integers_have_one_canonical_form():
    assert {strict_json.canonical(strict_json.loads(text)) for text in (b"[100]", b"[100.0]", b"[1e2]")} == {b"[100]"}


def test_canonical_form_ignores_the_order_of_names_and_not_that_of_entries():
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}

    assert strict_json.canonical(one) == strict_json.canonical(other)
    assert strict_json.canonical([1, 2]) != strict_json.canonical([2, 1])
