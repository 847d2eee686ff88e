"""The quick check says yes to nothing that jsonschema refuses, and to what is usually sent."""

import copy

import pytest

from common.contract import Contract, inline, load
from common.quick_check import compile_check
from common.schemas import compile_schema

# What is put in each place of a valid value, and beside it.
ODD = [
    *(None, True, False, 0, 1, -1, 1.0, 1.5, 10**9, 10**9 + 1, 2**63 - 1, 2**63, 2**64),
    *("", " ", "a", " a", "a\n", "\n", "\x00", "a\x7f", "é", "ā" * 200, "a" * 64, "a" * 65, "a" * 201, "a" * 255),
    *("a" * 256, "a" * 501, "\ud800", "1", "service", "system", "CREATED", "created", "a@b.c", "a@b.c\n"),
    *([], [1], [{}], {}, {"a": 1}, [{"product_id": 1, "qty": 1}], [{"product_id": 1, "qty": 1}] * 101),
]


def schemas():
    """Yield (name, schema, an example) of every body and parameter of the three documents."""
    for document in map(load, ("customers", "orders", "orchestrator")):
        for (method, path), operation in Contract(document).operations.items():
            definition = inline(document, document["paths"][path][method.lower()])
            for parameter in (*operation.query.values(), *operation.headers.values()):
                yield (
                    f"{method} {path} {parameter.name}",
                    parameter.definition,
                    parameter.definition.get("default", "a"),
                )
            if body := definition.get("requestBody"):
                media = body["content"]["application/json"]
                yield f"{method} {path}", media["schema"], next(iter(media["examples"].values()))["value"]


def bent(value):
    """Yield the value with each of its places replaced, taken out or joined by something odd."""
    yield from ODD
    if isinstance(value, dict):
        for name in value:
            yield {other: member for other, member in value.items() if other != name}
            for inner in bent(value[name]):
                yield {**value, name: inner}
        for odd in ODD[:6]:
            yield {**value, "unknown": odd}
    if isinstance(value, list):
        for index in range(len(value)):
            for inner in bent(value[index]):
                copied = copy.copy(value)
                copied[index] = inner
                yield copied


SCHEMAS = {name: (schema, example) for name, schema, example in schemas()}


@pytest.mark.parametrize(("schema", "example"), SCHEMAS.values(), ids=SCHEMAS.keys())
def test_what_the_quick_check_takes_jsonschema_takes(schema, example):
    compiled = compile_schema(schema)

    wrong = [value for value in bent(example) if compiled.quick_check(value) and not compiled.validator.is_valid(value)]

    assert wrong == []


# A schema that says more than the quick check knows; jsonschema alone judges these.
SLOW = {"PATCH /products/{product_id}", "GET /orders from", "GET /orders to"}


@pytest.mark.parametrize(
    ("schema", "example"), [SCHEMAS[name] for name in sorted(SCHEMAS.keys() - SLOW)], ids=sorted(SCHEMAS.keys() - SLOW)
)
def test_what_jsonschema_takes_the_quick_check_takes(schema, example):
    compiled = compile_schema(schema)
    values = [example, *bent(example)]

    missed = [value for value in values if compiled.validator.is_valid(value) and not compiled.quick_check(value)]

    assert missed == []


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"enum": ["a"]},
        {"type": "number"},
        {"type": "string", "format": "date-time"},
        {"type": "string", "not": {"pattern": "a"}},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": False, "maxProperties": 1},
        {"type": "string", "$comment": "no keyword of ours"},
        {"$ref": "#/a"},
    ],
)
def test_schema_with_a_keyword_that_the_quick_check_does_not_know_is_jsonschemas(schema):
    check = compile_check(schema)

    assert not any(map(check, ODD))
