"""JSON Schemas compiled once, stricter than JSON Schema where money and SQL need it.

The errors are our own texts: jsonschema's messages quote the value that was refused.
"""

import functools
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators
from jsonschema.protocols import Validator

from common import texts, times

MAX_ERRORS = 20  # in one answer; more would only make the answer long


@functools.cache
def _compile_pattern(pattern: str) -> re.Pattern[str]:
    # Python's `$` also matches before a last newline.
    return re.compile(re.sub(r"\$\Z", r"\\Z", pattern))


def _pattern(validator, pattern, instance, schema):
    if isinstance(instance, str) and not _compile_pattern(pattern).search(instance):
        yield ValidationError("pattern")


def _visible(validator, keyword, instance, schema):
    if isinstance(instance, str) and instance and not texts.is_visible(instance):
        yield ValidationError("invisible")


# The formats that the documents may use. What is no string is the keyword type's matter.
FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time")
def _is_date_time(value):
    return not isinstance(value, str) or times.is_time(value)


_Validator = validators.extend(Draft202012Validator, {"pattern": _pattern, "x-text": _visible})

_DETAILS = {
    "type": lambda value: "must be " + (value if isinstance(value, str) else " or ".join(value)),
    "enum": lambda value: "must be one of " + ", ".join(map(str, value)),
    "minLength": lambda value: f"must have at least {value} characters",
    "maxLength": lambda value: f"must have at most {value} characters",
    "minimum": lambda value: f"must be at least {value}",
    "maximum": lambda value: f"must be at most {value}",
    "minItems": lambda value: f"must have at least {value} entries",
    "maxItems": lambda value: f"must have at most {value} entries",
    "minProperties": lambda value: f"must have at least {value} fields",
    "maxProperties": lambda value: f"must have at most {value} fields",
    "pattern": lambda _: "does not have the required form",
    "x-text": lambda _: "must have a character that can be seen",
    "format": lambda value: f"must be a {value}",
    "not": lambda value: (
        "must be none of " + ", ".join(map(str, value["enum"]))
        if "enum" in value
        else "has fields that exclude each other"
    ),
}


def compile_schema(schema: dict[str, Any]) -> Validator:
    """Return it compiled; raise on a broken schema or a format that nothing would check."""
    _Validator.check_schema(schema)
    unchecked = _formats(schema) - FORMATS.checkers.keys() - {"int64"}  # its bounds are checked, and say the same
    if unchecked:
        raise ValueError(f"no check for the formats {sorted(unchecked)}")
    return _Validator(schema, format_checker=FORMATS)


def _formats(node):
    if isinstance(node, list):
        return set().union(*map(_formats, node))
    if isinstance(node, dict):
        here = {node["format"]} if isinstance(node.get("format"), str) else set()
        return here.union(*(_formats(value) for key, value in node.items() if key not in ("example", "examples")))
    return set()


def violations(validator: Validator, value: Any, place: str) -> list[dict[str, str]]:
    """Return the errors, MAX_ERRORS at most, of `value` as problem members; none of them quotes what was sent."""
    found = {}
    for error in validator.iter_errors(value):
        keyword: Any = error.validator
        limit: Any = error.validator_value
        pointer = place + "".join(f"/{part}" for part in error.absolute_path)
        # jsonschema names a missing or an unknown member in its message only.
        if keyword == "required":
            missing = [name for name in limit if name not in error.instance]
            made = [make_error(f"{pointer}/{name}", keyword, "is required") for name in missing]
        elif keyword == "additionalProperties":
            schema: Any = error.schema
            members: Any = error.instance
            known = schema.get("properties", {})
            names = [name for name in members if name not in known][:MAX_ERRORS]
            made = [unknown(f"{pointer}/", name, keyword, known) for name in names]
        else:
            made = [make_error(pointer, keyword, _DETAILS[keyword](limit))]
        found |= {(each["pointer"], keyword): each for each in made}
        if len(found) >= MAX_ERRORS:
            break
    return sorted(found.values(), key=lambda error: error["pointer"])[:MAX_ERRORS]


def make_error(pointer: str, keyword: str, detail: str) -> dict[str, str]:
    """Return one entry of `errors`; its code is the JSON Schema keyword in snake_case, or `invisible`."""
    code = "invisible" if keyword == "x-text" else re.sub(r"(?=[A-Z])", "_", keyword).lower()
    return {"pointer": pointer, "code": code, "detail": detail}


def unknown(place: str, name: str, keyword: str, known: Iterable[str]) -> dict[str, str]:
    """Return the entry for a member or parameter that isn't among those `known`, whose name a JSON Pointer ends with.

    The name is the one thing here that a client made, so it is cut short and percent-encoded (RFC 6901, section 6).
    """
    pointer = place + quote(name[:64].replace("~", "~0").replace("/", "~1"))
    return make_error(pointer, keyword, f"is not known here; known: {', '.join(known) or 'none'}")
