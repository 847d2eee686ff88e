"""Routes and contract name the same operations, or nothing starts."""

import dataclasses

import pytest

import customers.app
import orders.app
from common import config
from common.auth import Authenticator
from common.contract import Contract
from common.database import Database
from common.health import Health
from common.web import build_app
from orders.customers_client import CustomersClient
from tests.contract.documents import DOCUMENTS


def routes_of(name, settings):
    """Return (contract, authenticator, routes) with a resource that answers each operation."""
    contract = Contract(DOCUMENTS[name])
    by_path = {}
    for method, path in contract.operations:
        by_path.setdefault(path, {})[f"on_{method.lower()}"] = lambda self, req, resp, **ids: None
    routes = [
        (path.replace("_id}", "_id:id}"), type("Resource", (), responders)()) for path, responders in by_path.items()
    ]
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


@pytest.mark.parametrize(
    "create_app",
    [
        customers.app.create_app,
        lambda *both: orders.app.create_app(*both, customers=CustomersClient("http://127.0.0.1:1", "token")),
    ],
)
def test_applications_serve_exactly_their_contract_and_open_nothing(create_app, settings):
    nowhere = Database(dataclasses.replace(config.load_database_settings({}), port=1))

    assert create_app(settings, nowhere)
