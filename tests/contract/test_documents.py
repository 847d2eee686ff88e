"""The three contract documents: valid, bounded, and true to their own examples."""

import re

import pytest
from jsonschema import Draft202012Validator

from common.contract import load
from common.problems import REGISTRY
from common.schemas import FORMATS
from tests.contract.documents import (
    DOCUMENTS,
    KEYWORDS,
    METHODS,
    NAMES,
    examples,
    media_types,
    nodes,
    operations,
    parameters_and_headers,
    responses,
    schemas,
    types_of,
)

for_every_document = pytest.mark.parametrize("name", NAMES)


@for_every_document
def test_programs_read_what_the_yaml_says(name):
    assert load(name) == DOCUMENTS[name]


@for_every_document
def test_every_string_array_and_integer_is_bounded(name):
    bounds = {
        "string": ({"maxLength"}, {"enum"}),
        "array": ({"maxItems", "items"},),
        "integer": ({"minimum", "maximum"}, {"enum"}),
        "number": (),
    }
    unbounded = [
        label
        for label, schema in schemas(name)
        for kind in types_of(schema) & bounds.keys()
        if not any(alternative <= schema.keys() for alternative in bounds[kind])
    ]

    assert unbounded == []
    assert len(schemas(name)) > 50


@for_every_document
def test_no_object_takes_unknown_fields(name):
    open_objects = [
        label
        for label, schema in schemas(name)
        if "object" in types_of(schema)
        and schema.get("additionalProperties") is not False
        and not label.endswith(" not")
    ]

    # What OpenAPI itself describes: the document that a service shows.
    assert [label for label in open_objects if not label.startswith(f"{name} get_contract 200.")] == []


@for_every_document
def test_every_schema_has_a_type_and_only_known_keywords(name):
    unknown = {(label, keyword) for label, schema in schemas(name) for keyword in schema.keys() - KEYWORDS}
    untyped = [label for label, schema in schemas(name) if not types_of(schema) and not label.endswith(" not")]

    assert unknown == set()
    assert untyped == []


@for_every_document
def test_patterns_are_anchored_and_use_no_class_that_takes_other_digits(name):
    patterns = {schema["pattern"] for _, schema in schemas(name) if "pattern" in schema}

    assert patterns
    assert [pattern for pattern in patterns if not (pattern.startswith("^") and pattern.endswith("$"))] == []
    assert [pattern for pattern in patterns if re.search(r"\\[dDwWsSbB]", pattern)] == []


@for_every_document
def test_required_fields_are_described(name):
    undescribed = [
        (label, field)
        for label, schema in schemas(name)
        if "properties" in schema
        for field in set(schema.get("required", ())) - schema["properties"].keys()
    ]

    assert undescribed == []


@for_every_document
def test_answers_always_have_all_their_fields(name):
    partial = [
        label
        for root, _, response in responses(name)
        for media in response.get("content", {}).values()
        for label, schema in nodes(media["schema"], root)
        if "properties" in schema
        and set(schema.get("required", ())) != schema["properties"].keys()
        and "instance" not in schema["properties"]  # problem documents have optional members
    ]

    assert partial == []


@for_every_document
def test_every_example_is_as_its_schema_says(name):
    wrong = [
        (label, error.json_path, error.message)
        for label, schema, value in examples(name)
        for error in Draft202012Validator(schema, format_checker=FORMATS).iter_errors(value)
    ]

    assert wrong == []
    assert len(examples(name)) > 10


@for_every_document
def test_every_body_has_an_example(name):
    assert [label for label, media in media_types(name) if not media.get("examples")] == []


@for_every_document
def test_examples_of_problems_say_what_the_code_says(name):
    wrong = [
        (label, key)
        for label, status, response in responses(name)
        if status >= 400
        for key, example in response["content"]["application/problem+json"]["examples"].items()
        for document in [example["value"]]
        for problem in [REGISTRY.get(document["code"])]
        if problem is None
        or (status, problem.status, problem.title) != (document["status"],) * 2 + (document["title"],)
        or problem.detail not in (None, document["detail"])
        or document["type"] != f"urn:problem-type:b2b:{document['code']}"
    ]

    assert wrong == []


@for_every_document
def test_codes_that_a_response_names_are_those_of_its_examples(name):
    differing = [
        (label, named ^ shown)
        for label, status, response in responses(name)
        if status >= 400
        for named in [set(re.findall(r"`([a-z_]+)`", response["description"].partition("Code")[2]))]
        for media in response["content"].values()
        for shown in [{example["value"]["code"] for example in media["examples"].values()}]
        if named - {"not_found"} != shown - {"not_found"}
    ]

    assert differing == []


@for_every_document
def test_every_operation_says_what_it_is(name):
    fields = ("operationId", "summary", "description", "tags", "security", "responses")
    incomplete = [
        (label, field) for label, _, operation in operations(name) for field in fields if field not in operation
    ]
    ids = [operation["operationId"] for _, _, operation in operations(name)]

    assert incomplete == []
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", operation_id) for operation_id in ids)


@for_every_document
def test_every_protected_operation_lists_the_failures_it_can_give(name):
    missing = [
        (label, status)
        for label, _, operation in operations(name)
        if operation["security"]
        for status in {"400", "401", "403", "500"} - operation["responses"].keys()
    ]

    assert missing == []


@pytest.mark.parametrize("name", ["customers", "orders"])
def test_every_operation_with_a_body_lists_what_a_body_can_be_refused_for(name):
    missing = [
        (label, status)
        for label, _, operation in operations(name)
        if "requestBody" in operation
        for status in {"400", "411", "413", "415", "500", "503"} - operation["responses"].keys()
    ]

    assert missing == []


@for_every_document
def test_every_response_has_the_headers_of_its_status(name):
    wanted = {401: {"WWW-Authenticate"}, 429: {"Retry-After"}, 503: {"Retry-After"}, 304: {"ETag"}}
    missing = [
        (label, header)
        for label, status, response in responses(name)
        for header in ({"X-Request-ID"} | wanted.get(status, set())) - response.get("headers", {}).keys()
    ]

    assert missing == []


@for_every_document
def test_every_query_parameter_may_be_empty_which_the_code_takes_for_absent(name):
    query = [(label, part) for label, part in parameters_and_headers(name) if part.get("in") == "query"]

    assert [label for label, part in query if part.get("allowEmptyValue") is not True] == []


@pytest.mark.parametrize("name", ["customers", "orders"])
def test_every_link_fills_the_path_of_an_operation_with_a_field_that_is_always_there(name):
    paths = {
        operation["operationId"]: set(re.findall(r"\{(.*?)\}", path))
        for path, item in DOCUMENTS[name]["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }
    links = [
        (label, link, {f"$response.body#/{field}" for field in media["schema"]["required"]})
        for label, _, response in responses(name)
        for media in response.get("content", {}).values()
        for link in response.get("links", {}).values()
    ]

    assert len(links) > 5
    assert [label for label, link, _ in links if link["parameters"].keys() != paths.get(link["operationId"])] == []
    assert [label for label, link, fields in links if not set(link["parameters"].values()) <= fields] == []
