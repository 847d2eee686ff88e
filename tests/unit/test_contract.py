"""The contract as code: what is refused at load, and how values are read."""

import json

import pytest
from jsonschema import SchemaError

from common.contract import Operation, bundle, inline
from common.problems import InvalidRequest, MalformedJson
from common.schemas import compile_schema

BODY_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "count"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "kind": {"enum": ["a", "b"]},
    },
}


def make_operation(body=BODY_SCHEMA, parameters=(), **fields):
    """Return an operation with that body and those parameters."""
    definition = {"operationId": "do_it", "security": [], "parameters": list(parameters), **fields}
    definition |= {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}} if body else {}
    return Operation({}, "post", "/things", definition)


def parameter(name, schema, place="query"):
    return {"name": name, "in": place, "schema": schema}


def read_json(operation, value):
    return operation.read_body("application/json", json.dumps(value).encode())


def errors_of(call, *arguments):
    """Return {(pointer, code)} of the `InvalidRequest` that the call raises."""
    with pytest.raises(InvalidRequest) as caught:
        call(*arguments)
    return {(error["pointer"], error["code"]) for error in caught.value.members["errors"]}


@pytest.mark.parametrize("name", ["email", "uuid", "date", "int64", "uri"])
def test_format_that_nothing_checks_is_refused_at_load(name):
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string", "format": name}}}}

    with pytest.raises(ValueError, match=name):
        make_operation(schema)


@pytest.mark.parametrize("schema", [{"type": "text"}, {"maxLength": "5"}, {"required": "name"}, {"pattern": "("}])
def test_broken_schema_is_refused_at_load(schema):
    with pytest.raises(SchemaError):
        compile_schema(schema)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"count": 1}, ("#/name", "required")),
        ({"name": "a", "count": 1.5}, ("#/count", "type")),
        ({"name": "a", "count": True}, ("#/count", "type")),
        ({"name": "a", "count": 0}, ("#/count", "minimum")),
        ({"name": "a\n", "count": 1}, ("#/name", "pattern")),
        ({"name": "abcdef", "count": 1}, ("#/name", "max_length")),
        ({"name": "a", "count": 1, "at": "yesterday"}, ("#/at", "format")),
        ({"name": "a", "count": 1, "kind": "c"}, ("#/kind", "enum")),
        ({"name": "a", "count": 1, "ot/er": 1}, ("#/ot~1er", "additional_properties")),
        ([], ("#", "type")),
    ],
)
def test_body_against_its_schema_names_place_and_rule(value, expected):
    assert expected in errors_of(read_json, make_operation(), value)


def test_every_missing_field_is_named():
    assert errors_of(read_json, make_operation(), {}) == {("#/name", "required"), ("#/count", "required")}


def test_errors_are_twenty_at_most():
    schema = {"type": "array", "maxItems": 100, "items": {"type": "integer"}}

    assert len(errors_of(read_json, make_operation(schema), ["x"] * 100)) == 20


def test_fields_that_exclude_each_other_are_refused():
    schema = {"type": "object", "properties": {"a": {}, "b": {}}, "not": {"required": ["a", "b"]}}

    assert errors_of(read_json, make_operation(schema), {"a": 1, "b": 1}) == {("#", "not")}


def test_value_that_is_excluded_is_refused_with_the_excluded_ones():
    operation = make_operation({"type": "string", "maxLength": 9, "not": {"enum": ["one", "two"]}})

    with pytest.raises(InvalidRequest) as caught:
        read_json(operation, "two")

    assert caught.value.members["errors"] == [{"pointer": "#", "code": "not", "detail": "must be none of one, two"}]


def test_absent_optional_body_is_an_empty_object_and_a_required_one_is_malformed():
    optional = make_operation(requestBody=None, body=None)
    definition = {"operationId": "x", "security": [], "requestBody": {"content": {"application/json": {"schema": {}}}}}

    assert Operation({}, "post", "/x", definition).read_body(None, b"") == {}
    assert optional.takes_body is False
    with pytest.raises(MalformedJson):
        make_operation().read_body("application/json", b"")


LIMIT = parameter("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20})
STATUS = parameter("status", {"type": "string", "enum": ["A", "B", "Ä"]})
ACTIVE = parameter("active", {"type": "boolean"})


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {"limit": 20, "status": None}),
        ("limit=7", {"limit": 7, "status": None}),
        ("limit=&status=", {"limit": 20, "status": None}),
        ("status=A&limit=100", {"limit": 100, "status": "A"}),
        ("stat%75s=%41", {"limit": 20, "status": "A"}),
        ("status=\u00c3\u0084", {"limit": 20, "status": "Ä"}),  # the bytes of a raw "Ä", as WSGI gives them
        ("status=%C3%84", {"limit": 20, "status": "Ä"}),
    ],
)
def test_query_is_read_with_types_and_defaults(query, values):
    assert make_operation(parameters=[LIMIT, STATUS]).read_query(query) == values


@pytest.mark.parametrize(("query", "value"), [("active=true", True), ("active=false", False), ("active=", None)])
def test_boolean_of_a_query_is_true_or_false(query, value):
    assert make_operation(parameters=[ACTIVE]).read_query(query) == {"active": value}


@pytest.mark.parametrize("text", ["1", "True", "no"])
def test_boolean_of_a_query_is_nothing_else(text):
    operation = make_operation(parameters=[ACTIVE])

    assert errors_of(operation.read_query, f"active={text}") == {("query:active", "type")}


def test_components_of_another_file_are_bundled(tmp_path):
    (tmp_path / "common.yaml").write_text(
        'components: {schemas: {A: {$ref: "#/components/schemas/B"}, B: {type: integer}}}'
    )
    (tmp_path / "api.yaml").write_text('paths: {x: {$ref: "common.yaml#/components/schemas/A"}}')

    document = bundle(tmp_path / "api.yaml")

    assert inline(document, document["paths"]["x"]) == {"type": "integer"}


def test_name_defined_in_two_files_is_refused(tmp_path):
    (tmp_path / "common.yaml").write_text("components: {schemas: {A: {type: integer}}}")
    (tmp_path / "api.yaml").write_text(
        'components: {schemas: {A: {type: string}}}\npaths: {x: {$ref: "common.yaml#/components/schemas/A"}}'
    )

    with pytest.raises(ValueError, match="A"):
        bundle(tmp_path / "api.yaml")


@pytest.mark.parametrize("place", ["query", "header"])
def test_required_parameter_that_nothing_would_demand_is_refused_at_load(place):
    with pytest.raises(ValueError, match="limit"):
        make_operation(parameters=[{**LIMIT, "in": place, "required": True}])
