"""JSON in and out: RFC 8259 with nothing beside it.

Python's parser also takes NaN, Infinity, repeated names and lone surrogates; each of
them would be stored or compared differently from what the client meant.
"""

import json
from decimal import Decimal
from typing import Any

from common.problems import MalformedJson

# Of a number with a fraction or an exponent. The largest sum of cents has 16 digits.
MAX_NUMBER_LENGTH = 30
MAX_EXPONENT = 18


def loads(data: bytes) -> Any:
    """Parse UTF-8 bytes; raise `MalformedJson` for anything that is not strict JSON."""
    try:
        value = _decoder.decode(data.decode("utf-8"))
        # Only an escape can make a lone surrogate: the UTF-8 decoder refuses a raw one.
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except (ValueError, RecursionError) as ex:
        # ValueError covers bad UTF-8, bad JSON, and integers past Python's digit limit.
        raise MalformedJson() from ex
    return value


def dumps(value: Any) -> bytes:
    """Return compact UTF-8 bytes: the one way in which a body is rendered."""
    return _encoder.encode(value).encode()


def canonical(value: Any) -> bytes:
    """Return bytes that are equal for equal values, whatever the order of their names."""
    return _canonical_encoder.encode(value).encode()


def _number(text: str) -> int | Decimal:
    """Return the number exactly, an int where it is one: JSON Schema counts 1.0 and 1e2 among the integers."""
    # Before it is converted: int(Decimal("1e1000000")) takes 25 s.
    if len(text) > MAX_NUMBER_LENGTH or abs(int(text.lower().partition("e")[2] or 0)) > MAX_EXPONENT:
        raise ValueError("a number out of all proportion")
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() else number


def _unique_names(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _refuse(constant):
    raise ValueError("not a JSON number")


# Made once: json.loads and json.dumps make theirs for each call that has options.
_decoder = json.JSONDecoder(object_pairs_hook=_unique_names, parse_float=_number, parse_constant=_refuse)
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_canonical_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
