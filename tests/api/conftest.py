"""The two APIs in process, on the real database, with the Customers API as a stub for Orders."""

import pytest

import customers.app
import orders.app
from common.auth import Authenticator
from common.contract import load
from customers.representations import internal_customer_to_json
from customers.workflows import get_customer
from tests.contract_client import ContractClient
from tests.factories import Factory


@pytest.fixture(scope="session")
def authenticator(settings):
    return Authenticator(settings)


@pytest.fixture
def make_token(authenticator, clock):
    """`make_token(username="demo", role="operator")` returns a valid token."""
    return lambda username="demo", role="operator": authenticator.issue_token(username, role, clock())


@pytest.fixture
def service_token(settings):
    return settings.service_tokens[0]


class StubCustomers:
    """Answers for the Customers API: the rows of the database, or what a test scripts."""

    def __init__(self, database):
        self._database = database
        self.problem = None  # raised instead of an answer
        self.calls = 0

    def fetch(self, customer_id, request_id):
        self.calls += 1
        if self.problem is not None:
            raise self.problem
        return internal_customer_to_json(self._database.read(get_customer, customer_id))


@pytest.fixture
def stub_customers(database):
    return StubCustomers(database)


@pytest.fixture(scope="session")
def customers_document():
    return load(customers.app.CONTRACT_PATH)


@pytest.fixture(scope="session")
def orders_document():
    return load(orders.app.CONTRACT_PATH)


@pytest.fixture
def make_customers_api(settings, database, clock, customers_document, make_token, codes):
    """`make_customers_api(settings=…, database=…)` returns a client of a Customers API of its own."""

    def make(settings=settings, database=database):
        app = customers.app.create_app(settings, database, clock)
        return ContractClient(app, customers_document, make_token(), codes)

    return make


@pytest.fixture
def make_orders_api(settings, database, stub_customers, clock, orders_document, make_token, codes):
    """`make_orders_api(settings=…, database=…, customers=…)` returns a client of an Orders API of its own."""

    def make(settings=settings, database=database, customers=stub_customers):
        app = orders.app.create_app(settings, database, customers, clock)
        return ContractClient(app, orders_document, make_token(), codes)

    return make


@pytest.fixture
def customers_api(make_customers_api):
    """A client of the Customers API, logged in as an operator."""
    return make_customers_api()


@pytest.fixture
def orders_api(make_orders_api):
    """A client of the Orders API, logged in as an operator."""
    return make_orders_api()


@pytest.fixture
def checksum(database):
    """`checksum()` returns what changes with any committed change of any row."""

    def select_checksum(cursor):
        cursor.execute(
            "CHECKSUM TABLE customers, products, orders, order_items, order_events, idempotency_keys, operators"
        )
        return cursor.fetchall()

    return lambda: database.read(select_checksum)


@pytest.fixture
def factory(database, clock):
    return Factory(database, clock)
