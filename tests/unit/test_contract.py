"""The contract as code: what is refused at load, and how values are read."""

import json

import pytest

from common.contract import Operation, bundle, inline
from common.problems import InvalidRequest


def make_operation(body=None, parameters=()):
    definition = {"operationId": "do_it", "security": [], "parameters": list(parameters)}
    definition |= {"requestBody": {"content": {"application/json": {"schema": body}}}} if body else {}
    return Operation({}, "post", "/things", definition)


def errors_of(schema, value):
    with pytest.raises(InvalidRequest) as caught:
        make_operation(schema).read_body("application/json", json.dumps(value).encode())
    return caught.value.members["errors"]


@pytest.mark.parametrize("name", ["email", "uuid", "date", "uri"])
def test_format_that_nothing_checks_is_refused_at_load(name):
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string", "format": name}}}}

    with pytest.raises(ValueError, match=name):
        make_operation(schema)


def test_every_missing_field_is_named():
    errors = errors_of({"type": "object", "required": ["name", "count"]}, {})

    assert {(error["pointer"], error["code"]) for error in errors} == {("#/name", "required"), ("#/count", "required")}


def test_unknown_field_is_named_by_a_json_pointer():
    (error,) = errors_of({"type": "object", "properties": {}, "additionalProperties": False}, {"ot/er": 1})

    assert (error["pointer"], error["code"]) == ("#/ot~1er", "additional_properties")


def test_errors_are_twenty_at_most():
    assert len(errors_of({"type": "array", "items": {"type": "integer"}}, ["x"] * 100)) == 20


def test_value_that_is_excluded_is_refused_with_the_excluded_ones():
    errors = errors_of({"type": "string", "not": {"enum": ["one", "two"]}}, "two")

    assert errors == [{"pointer": "#", "code": "not", "detail": "must be none of one, two"}]


LIMIT = {"name": "limit", "in": "query", "schema": {"type": "integer", "default": 20}}
STATUS = {"name": "status", "in": "query", "schema": {"type": "string", "enum": ["A", "Ä"]}}
ACTIVE = {"name": "active", "in": "query", "schema": {"type": "boolean"}}


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {"limit": 20, "status": None}),
        ("limit=7", {"limit": 7, "status": None}),
        ("limit=&status=", {"limit": 20, "status": None}),
        ("stat%75s=%41", {"limit": 20, "status": "A"}),
        ("status=\u00c3\u0084", {"limit": 20, "status": "Ä"}),  # the bytes of a raw "Ä", as WSGI gives them
    ],
)
def test_query_is_read_with_types_and_defaults(query, values):
    assert make_operation(parameters=[LIMIT, STATUS]).read_query(query) == values


@pytest.mark.parametrize(("query", "value"), [("active=true", True), ("active=false", False), ("active=", None)])
def test_boolean_of_a_query_is_true_or_false(query, value):
    assert make_operation(parameters=[ACTIVE]).read_query(query) == {"active": value}


@pytest.mark.parametrize("text", ["1", "True", "no"])
def test_boolean_of_a_query_is_nothing_else(text):
    with pytest.raises(InvalidRequest):
        make_operation(parameters=[ACTIVE]).read_query(f"active={text}")


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
