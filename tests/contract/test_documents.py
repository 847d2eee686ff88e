"""The three contract documents: valid, bounded, true to their own examples, and served as they are."""

import re

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

import customers.app
import orders.app
from common.auth import Authenticator
from common.contract import FORMATS, Contract, inline, load
from common.problems import REGISTRY
from common.web import Health, build_app
from tests.conftest import ROOT

NAMES = ["customers", "orders", "orchestrator"]
DOCUMENTS = {name: load(ROOT / "openapi" / f"{name}.yaml") for name in NAMES}
METHODS = ("get", "put", "post", "patch", "delete")

# What our schemas may say; a misspelt keyword would check nothing.
KEYWORDS = {
    "type", "description", "enum", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "default",
    "items", "minItems", "maxItems", "uniqueItems", "properties", "required", "additionalProperties",
    "minProperties", "not",
}  # fmt: skip


def operations(name):
    """Return (label, method, operation with its references replaced) of a document."""
    document = DOCUMENTS[name]
    return [
        (f"{name} {item[method]['operationId']}", method, inline(document, item[method]))
        for item in document["paths"].values()
        for method in METHODS
        if method in item
    ]


def responses(name):
    """Return (label, status, response) of every response of a document."""
    return [
        (f"{label} {status}", int(status), response)
        for label, _, operation in operations(name)
        for status, response in operation["responses"].items()
    ]


def media_types(name):
    """Return (label, media type object) of every body that a document describes."""
    requests = [
        (label, media)
        for label, _, operation in operations(name)
        for media in operation.get("requestBody", {}).get("content", {}).values()
    ]
    answers = [(label, media) for label, _, response in responses(name) for media in response.get("content", {}).values()]
    return requests + answers


def parameters_and_headers(name):
    """Return (label, parameter or header object) of a document."""
    paths = inline(DOCUMENTS[name], DOCUMENTS[name]["paths"])
    shared = [(path, parameter) for path, item in paths.items() for parameter in item.get("parameters", [])]
    own = [(label, parameter) for label, _, operation in operations(name) for parameter in operation.get("parameters", [])]
    headers = [(label, header) for label, _, response in responses(name) for header in response.get("headers", {}).values()]
    return shared + own + headers


def nodes(schema, label):
    """Yield (label, schema) of a schema and all schemas below it."""
    yield label, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{label}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{label}[]")
    if "not" in schema:
        yield f"{label} not", schema["not"]


def schemas(name):
    """Return (label, schema) of every schema that a request or response can meet."""
    roots = [(label, part["schema"]) for label, part in media_types(name) + parameters_and_headers(name)]
    return [node for label, schema in roots for node in nodes(schema, label)]


def types_of(schema):
    return {schema["type"]} if isinstance(schema.get("type"), str) else set(schema.get("type", ()))


def examples(name):
    """Return (label, schema, value) of every example of a document."""
    bodies = [
        (f"{label} {key}", media["schema"], example["value"])
        for label, media in media_types(name)
        for key, example in media.get("examples", {}).items()
    ]
    single = [
        (label, part["schema"], part["example"]) for label, part in parameters_and_headers(name) if "example" in part
    ]
    return bodies + single


for_every_document = pytest.mark.parametrize("name", NAMES)


@for_every_document
def test_document_is_valid_openapi(name):
    validate(DOCUMENTS[name])


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
        if "object" in types_of(schema) and schema.get("additionalProperties") is not False
    ]

    assert open_objects == []


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
    incomplete = [(label, field) for label, _, operation in operations(name) for field in fields if field not in operation]
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


def routes_of(name, settings):
    """Return (contract, authenticator, routes) with a resource that answers each operation."""
    contract = Contract(DOCUMENTS[name])
    by_path = {}
    for method, path in contract.operations:
        by_path.setdefault(path, {})[f"on_{method.lower()}"] = lambda self, req, resp, **ids: None
    routes = [(path.replace("_id}", "_id:id}"), type("Resource", (), responders)()) for path, responders in by_path.items()]
    return contract, Authenticator(settings), routes


@pytest.mark.parametrize("name", ["customers", "orders"])
def test_routes_that_are_the_contracts_operations_are_built(name, settings):
    assert build_app(*routes_of(name, settings))


@pytest.mark.parametrize("name", ["customers", "orders"])
def test_operation_without_a_responder_is_refused_at_start(name, settings):
    contract, authenticator, routes = routes_of(name, settings)

    with pytest.raises(ValueError, match="differ"):
        build_app(contract, authenticator, routes[1:])


@pytest.mark.parametrize("name", ["customers", "orders"])
def test_responder_without_an_operation_is_refused_at_start(name, settings):
    contract, authenticator, routes = routes_of(name, settings)

    with pytest.raises(ValueError, match="differ"):
        build_app(contract, authenticator, [*routes, ("/extra", Health("extra"))])


@pytest.mark.parametrize("create_app", [customers.app.create_app, lambda *args: orders.app.create_app(*args, None)])
def test_applications_serve_exactly_their_contract_and_open_nothing(create_app, settings):
    assert create_app(settings, None)
