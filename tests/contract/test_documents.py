"""The documents and the code list the same problems, and published answers are open.

What a document must be by itself, `make lint` checks.
"""

import json
import re

import pytest

from common.contract import inline, load
from common.problems import MEDIA_TYPE, REGISTRY
from common.publication import published

NAMES = ["customers", "orders", "orchestrator"]
METHODS = ("get", "put", "post", "patch", "delete")

for_every_document = pytest.mark.parametrize("name", NAMES)


def responses(name):
    """Return [(label, status, response)] of a document, its references replaced."""
    document = load(name)
    return [
        (f"{item[method]['operationId']} {status}", int(status), response)
        for item in inline(document, document["paths"]).values()
        for method in METHODS
        if method in item
        for status, response in item[method]["responses"].items()
    ]


def parts(document, key):
    """Return that part of each operation, its references replaced."""
    paths = inline(document, document["paths"])
    return [item[method].get(key) for item in paths.values() for method in METHODS if method in item]


def problems(response):
    """Return the examples of the problems that a response may be."""
    return [example["value"] for example in response["content"][MEDIA_TYPE]["examples"].values()]


def table(name):
    """Return {code: status} of the table in a document's description."""
    rows = re.findall(r"^\| `([a-z_]+)` \| ([0-9]{3}) \|", load(name)["info"]["description"], re.MULTILINE)
    return {code: int(status) for code, status in rows}


def nodes(schema):
    """Yield a schema and all schemas below it."""
    yield schema
    for part in [*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])]:
        yield from nodes(part)


@for_every_document
def test_answers_always_have_all_their_fields(name):
    partial = [
        label
        for label, status, response in responses(name)
        if status < 400  # problems have optional members
        for media in response.get("content", {}).values()
        for schema in nodes(media["schema"])
        if set(schema.get("required", ())) != schema.get("properties", {}).keys()
    ]

    assert partial == []


@for_every_document
def test_examples_of_problems_say_what_the_code_says(name):
    shown = [
        (label, status, problem)
        for label, status, response in responses(name)
        if status >= 400
        for problem in problems(response)
    ]
    wrong = [
        (label, problem["code"])
        for label, status, problem in shown
        for cls in [REGISTRY[problem["code"]]]
        if (status, problem["status"], problem["title"]) != (cls.status, cls.status, cls.title)
        or cls.detail not in (None, problem["detail"])
        or problem["type"] != f"urn:problem-type:b2b:{problem['code']}"
    ]

    assert wrong == []
    assert len(shown) > 10


@for_every_document
def test_codes_that_a_response_names_are_those_of_its_examples(name):
    differing = [
        (label, named ^ shown)
        for label, status, response in responses(name)
        if status >= 400
        for named in [set(re.findall(r"`([a-z_]+)`", response["description"].partition("Code")[2]))]
        for shown in [{problem["code"] for problem in problems(response)}]
        if named - {"not_found"} != shown - {"not_found"}
    ]

    assert differing == []


@for_every_document
def test_table_of_codes_has_what_is_answered_with_its_status(name):
    answered = {
        problem["code"] for _, status, response in responses(name) if status >= 400 for problem in problems(response)
    }

    # These are answered where there is no operation; API Gateway has its own words for the last two.
    elsewhere = {"not_found", "method_not_allowed"}
    elsewhere |= set() if name == "orchestrator" else {"uri_too_long", "header_too_large"}
    assert table(name) == {code: REGISTRY[code].status for code in answered | elsewhere}


@for_every_document
def test_published_answers_are_open_and_bodies_of_requests_as_they_are_checked(name):
    document = load(name)

    public = published(document)

    assert '"additionalProperties": false' not in json.dumps(parts(public, "responses"))
    assert parts(public, "requestBody") == parts(document, "requestBody")


def test_every_code_is_in_a_table_and_in_the_description_of_the_schema():
    assert set().union(*map(table, NAMES)) == REGISTRY.keys()
    for name in NAMES:
        description = load(name)["components"]["schemas"]["ProblemCode"]["description"]
        assert set(re.findall(r"[a-z]+(?:_[a-z]+)*", description.partition("One of")[2])) == REGISTRY.keys()


def test_orchestrator_may_answer_whatever_a_service_refuses_with():
    schemas = load("orchestrator")["components"]["schemas"]
    elsewhere = {"product_id", "customer_id"}  # with sku_taken and email_taken, of operations that it doesn't call

    assert schemas["Problem"]["properties"].keys() - elsewhere <= schemas["OrchestratorProblem"]["properties"].keys()
