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
        value = _decoder.decode(data.decode("utf-8"))
        # Only an escape can make a lone surrogate: the UTF-8 decoder refuses a raw one.
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
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


def _unique_names(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _refuse(constant):
    raise ValueError("not a JSON number")


# Made once: json.loads and json.dumps make theirs for each call that has options.
_decoder = json.JSONDecoder(object_pairs_hook=_unique_names, parse_constant=_refuse)
_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_canonical_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
