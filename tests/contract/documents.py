"""Walks over the three contract documents, for the tests that look at every part of them."""

import functools

from common.contract import bundle, inline
from tests.conftest import ROOT

NAMES = ["customers", "orders", "orchestrator"]
DOCUMENTS = {name: bundle(ROOT / "openapi" / f"{name}.yaml") for name in NAMES}
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


@functools.cache
def operation_of(name, operation_id):
    """Return (method, path, operation with its references replaced)."""
    document = DOCUMENTS[name]
    return next(
        (method, path, inline(document, item[method]))
        for path, item in document["paths"].items()
        for method in METHODS
        if item.get(method, {}).get("operationId") == operation_id
    )


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
    answers = [
        (label, media) for label, _, response in responses(name) for media in response.get("content", {}).values()
    ]
    return requests + answers


def parameters_and_headers(name):
    """Return (label, parameter or header object) of a document."""
    paths = inline(DOCUMENTS[name], DOCUMENTS[name]["paths"])
    shared = [(path, parameter) for path, item in paths.items() for parameter in item.get("parameters", [])]
    own = [(label, part) for label, _, operation in operations(name) for part in operation.get("parameters", [])]
    headers = [(label, part) for label, _, response in responses(name) for part in response.get("headers", {}).values()]
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
    several = [
        (f"{label} {key}", part["schema"], example["value"])
        for label, part in parameters_and_headers(name)
        for key, example in part.get("examples", {}).items()
    ]
    return bodies + single + several


def request_examples(name):
    """Return (document, operation, key of an example of its body) of every such example."""
    return [
        (name, operation["operationId"], key)
        for _, _, operation in operations(name)
        for media in operation.get("requestBody", {}).get("content", {}).values()
        for key in media["examples"]
    ]


def answer_examples(name):
    """Return (document, operation, status, key of an example) of every response; without an example the key is None."""
    return [
        (name, operation["operationId"], int(status), key)
        for _, _, operation in operations(name)
        for status, response in operation["responses"].items()
        for media in response.get("content", {"none": {}}).values()
        for key in media.get("examples", [None])
    ]
