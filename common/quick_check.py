"""A quick yes, in front of jsonschema, for a value that satisfies its schema.

Nearly all that is sent is valid, and jsonschema takes 75 µs to say so of an order of three
lines; this takes 4 µs. A yes here is one of jsonschema's, too (tests/unit/test_quick_check.py);
a no says nothing, and jsonschema is asked.
"""

import functools
import math
import re
from collections.abc import Callable
from types import NoneType
from typing import Any

Check = Callable[[Any], bool]

_ANNOTATIONS = {"description", "default", "example", "examples"}


def compile_check(schema: dict[str, Any]) -> Check:
    """Return a function that is True for nothing but values that satisfy the schema.

    It is never True where the schema has a keyword that isn't known here.
    """
    kinds = schema.get("type", [])
    checks = {}
    known = {"type"} | _ANNOTATIONS
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind not in _KINDS:
            return _never
        class_of_value, make, keywords = _KINDS[kind]
        checks[class_of_value] = make(schema)
        known |= keywords
    if not schema.keys() <= known:
        return _never
    # By the exact class: True is an int to Python, and 1.0 an integer to JSON Schema but not to us.
    return lambda value: checks.get(type(value), _never)(value)


@functools.cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the schema's pattern with `$` as the end: Python's also matches before a last newline."""
    return re.compile(re.sub(r"\$\Z", r"\\Z", pattern))


def _never(value):
    return False


def _make_any(schema):
    return lambda value: True


def _make_integer(schema):
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return lambda value: low <= value <= high


def _make_string(schema):
    low, high = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    search = compile_pattern(schema.get("pattern", "")).search
    allowed = schema.get("enum")
    refused = _refused_words(schema.get("not"))
    if refused is None:
        return _never
    return lambda value: (
        low <= len(value) <= high
        and search(value) is not None
        and (allowed is None or value in allowed)
        and value not in refused
    )


def _refused_words(negated):
    """Return the strings that a `not` excludes; None for one that does more than list them."""
    if negated is None:
        return ()
    return negated["enum"] if negated.keys() - _ANNOTATIONS == {"type", "enum"} else None


def _make_array(schema):
    low, high = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    check = compile_check(schema.get("items", {}))
    return lambda value: low <= len(value) <= high and all(map(check, value))


def _make_object(schema):
    if schema.get("additionalProperties") is not False:
        return _never
    checks = {name: compile_check(definition) for name, definition in schema.get("properties", {}).items()}
    required = frozenset(schema.get("required", ()))
    low = schema.get("minProperties", 0)
    return lambda value: (
        len(value) >= low
        and value.keys() >= required
        and all(checks.get(name, _never)(member) for name, member in value.items())
    )


# JSON Schema's type -> (Python's class, what makes its check, the keywords that it knows).
_KINDS = {
    "null": (NoneType, _make_any, set()),
    "boolean": (bool, _make_any, set()),
    "integer": (int, _make_integer, {"minimum", "maximum"}),
    "string": (str, _make_string, {"minLength", "maxLength", "pattern", "enum", "not"}),
    "array": (list, _make_array, {"minItems", "maxItems", "items"}),
    "object": (dict, _make_object, {"additionalProperties", "properties", "required", "minProperties"}),
}
