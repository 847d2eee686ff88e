"""JSON in and out: RFC 8259 with nothing beside it.

Python's parser also takes NaN, Infinity, repeated names and lone surrogates; each of
them would be stored or compared differently from what the client meant.
"""

import json
from typing import Any

from common.problems import MalformedJson


def loads(data: bytes) -> Any:
    """Parse UTF-8 bytes; raise `MalformedJson` for anything that is not strict JSON."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique_names,
            parse_constant=_refuse,
        )
        # Only an escape can make a lone surrogate: the UTF-8 decoder refuses a raw one.
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as ex:
        # ValueError covers bad UTF-8, bad JSON, and integers past Python's digit limit.
        raise MalformedJson() from ex
    return value


def dumps(value: Any) -> bytes:
    """Return compact UTF-8 bytes: the one way in which a body is rendered."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def canonical(value: Any) -> bytes:
    """Return bytes that are equal for equal values, whatever the order of their names."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _unique_names(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _refuse(constant):
    raise ValueError("not a JSON number")
