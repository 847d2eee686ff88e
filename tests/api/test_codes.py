"""The list of problem codes, the tests and the contract documents agree."""

import pathlib
import re

import pytest

from common.contract import inline, load
from common.problems import MEDIA_TYPE, REGISTRY

TESTS = pathlib.Path(__file__).parent.parent
METHODS = {"get", "put", "post", "patch", "delete"}
DOCUMENTS = ["customers", "orders", "orchestrator"]


def table(name):
    """Return {code: status} of the table in a document's description."""
    rows = re.findall(r"^\| `([a-z_]+)` \| ([0-9]{3}) \|", load(name)["info"]["description"], re.MULTILINE)
    return {code: int(status) for code, status in rows}


def test_every_code_is_reached_by_a_test():
    sources = [path.read_text() for path in TESTS.rglob("test_*.py")]
    reached = {code for source in sources for code in re.findall(r'reaches\("([a-z_]+)"\)', source)}

    assert reached == REGISTRY.keys()


def test_every_code_is_in_the_table_of_a_document():
    assert set().union(*map(table, DOCUMENTS)) == REGISTRY.keys()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_table_gives_each_code_its_status(name):
    documented = table(name)

    assert len(documented) > 10
    assert documented == {code: REGISTRY[code].status for code in documented}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_table_names_what_the_operations_answer_and_what_is_answered_where_there_is_none(name):
    document = load(name)
    answered = {
        example["value"]["code"]
        for item in inline(document, document["paths"]).values()
        for method in METHODS & item.keys()
        for response in item[method]["responses"].values()
        for example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).values()
    }

    assert table(name).keys() == answered | {"not_found", "method_not_allowed"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schema_of_the_code_lists_every_code(name):
    description = load(name)["components"]["schemas"]["ProblemCode"]["description"]

    assert set(re.findall(r"[a-z]+(?:_[a-z]+)*", description.partition("One of")[2])) == REGISTRY.keys()
