"""Routes and contract name the same operations, or nothing starts."""

import pytest

from common.auth import Authenticator
from common.contract import Contract, load
from common.current_operators import CurrentOperators
from common.health import Health
from common.web import build_app


@pytest.fixture
def parts(settings, database):
    """A contract, an authenticator, and routes with a resource that answers each operation."""
    contract = Contract(load("orders"))
    by_path = {}

    def respond(self, req, resp, **ids):
        """Answer 200 to whatever is asked."""

    for method, path in contract.operations:
        by_path.setdefault(path, {})[f"on_{method.lower()}"] = respond
    routes = [
        (path.replace("_id}", "_id:id}"), type("Resource", (), responders)()) for path, responders in by_path.items()
    ]
    return contract, Authenticator(settings), CurrentOperators(database), routes


def test_operation_without_a_responder_is_refused_at_start(parts):
    contract, authenticator, operators, routes = parts
    assert build_app(contract, authenticator, operators, routes)

    with pytest.raises(ValueError, match="differ"):
        build_app(contract, authenticator, operators, routes[1:])


def test_responder_without_an_operation_is_refused_at_start(parts):
    contract, authenticator, operators, routes = parts

    with pytest.raises(ValueError, match="differ"):
        build_app(contract, authenticator, operators, [*routes, ("/extra", Health("extra"))])
