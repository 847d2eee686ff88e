"""The two APIs in process, on the real database, with the Customers API as a stub for Orders."""

import functools
import itertools
from typing import Any

import pytest

import customers.app
import orders.app
from common.auth import Authenticator
from common.database import Database
from customers.representations import internal_customer_to_json
from customers.workflows import get_customer
from tests.conftest import connect
from tests.contract_client import ContractClient, refusal
from tests.factories import Factory, order_request, unique


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
        self.headers = None  # of the last call
        self.credentials = None  # of the last log-in

    def fetch(self, customer_id, headers):
        self._take(headers)
        return internal_customer_to_json(self._database.read(get_customer, customer_id))

    def fetch_token(self, credentials, address, headers):
        self._take(headers)
        self.credentials = credentials
        return {"token": "a.b.c", "token_type": "Bearer", "expires_in": 7200}

    def _take(self, headers):
        self.calls += 1
        self.headers = headers
        if self.problem is not None:
            raise self.problem


@pytest.fixture
def stub_customers(service_databases):
    return StubCustomers(service_databases["customers"])


class Current:
    """Stands in an app for what each test brings its own of, so that the app can be kept."""

    def __init__(self):
        self.value: Any = None

    def __call__(self):
        return self.value()

    def __getattr__(self, name):
        return getattr(self.value, name)


current_clock, current_monotonic, current_customers = Current(), Current(), Current()
_days = itertools.count()


def set_clock(clock):
    """Let the apps go by a test's clock, on a day on which none of them knows yet who may act."""
    start, seconds = clock(), next(_days) * 86_400
    current_clock.value = clock
    current_monotonic.value = lambda: seconds + (clock() - start).total_seconds()


# An app takes 50 ms to build, most of it to read and compile its contract.
kept_app = functools.cache(
    lambda create_app, *collaborators: create_app(*collaborators, current_clock, current_monotonic)
)


@pytest.fixture
def make_customers_api(settings, service_databases, clock, make_token):
    """`make_customers_api(settings=…, database=…)` returns a client of a Customers API like that."""

    def make(settings=settings, database=service_databases["customers"]):
        set_clock(clock)
        app = kept_app(customers.app.create_app, settings, database)
        return ContractClient(app, "customers", make_token())

    return make


@pytest.fixture
def make_orders_api(settings, service_databases, stub_customers, clock, make_token):
    """`make_orders_api(settings=…, database=…)` returns a client of an Orders API like that."""

    def make(settings=settings, database=service_databases["orders"]):
        set_clock(clock)
        current_customers.value = stub_customers
        app = kept_app(orders.app.create_app, settings, database, current_customers)
        return ContractClient(app, "orders", make_token())

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
        cursor.execute("CHECKSUM TABLE customers, products, orders, order_items, events, idempotency_keys, operators")
        return cursor.fetchall()

    return lambda: database.read(select_checksum)


@pytest.fixture
def factory(database, clock):
    return Factory(database, clock)


@pytest.fixture
def known_operator(factory):
    """The name of an operator."""
    return factory.make_operator("seven-brown-pallets")


@pytest.fixture
def refused(checksum):
    """`refused((status, code), send, …)` calls `send(…)`, which must be refused so and write nothing."""

    def check(expected, send, *arguments, **named):
        before = checksum()
        response = send(*arguments, **named)
        assert refusal(response) == expected
        assert checksum() == before
        return response

    return check


KEYED_OPERATIONS = [
    *("create_customer", "create_product", "create_order"),
    *("confirm_order", "cancel_order", "update_customer", "update_product"),
]


class Call:
    """One keyed request that can be sent again and again."""

    def __init__(self, api, path, body, other_body, method="POST"):
        self.api, self.path, self.body, self.other_body, self.method = api, path, body, other_body, method

    def send(self, body=None, token=..., **headers):
        return self.api.request(self.method, self.path, json=body or self.body, token=token, headers=headers)


@pytest.fixture
def calls(customers_api, orders_api, factory, settings):
    """`calls[operation]()` makes a `Call` that has not been sent yet."""

    def create_customer():
        name = unique("customer")
        body = {"name": name, "email": f"{name}@example.test"}
        return Call(customers_api, "/customers", body, {**body, "phone": "555"})

    def create_product():
        body = {"sku": unique("SKU"), "name": "Mouse", "price_cents": 1, "stock": 1}
        return Call(orders_api, "/products", body, {**body, "stock": 2})

    def create_order():
        customer, product = factory.make_customer(), factory.make_product()
        return Call(orders_api, "/orders", order_request(customer, (product, 1)), order_request(customer, (product, 2)))

    def confirm_order():
        return Call(orders_api, f"/orders/{factory.make_order(settings)['id']}/confirm", {}, {})

    def cancel_order():
        path = f"/orders/{factory.make_order(settings)['id']}/cancel"
        return Call(orders_api, path, {"reason": "one"}, {"reason": "two"})

    def update_customer():
        path = f"/customers/{factory.make_customer()['id']}"
        return Call(customers_api, path, {"phone": "111"}, {"phone": "222"}, "PUT")

    def update_product():
        path = f"/products/{factory.make_product()['id']}"
        return Call(orders_api, path, {"stock_delta": 1}, {"stock_delta": 2}, "PATCH")

    made = (create_customer, create_product, create_order, confirm_order, cancel_order, update_customer, update_product)
    return dict(zip(KEYED_OPERATIONS, made, strict=True))


@pytest.fixture
def make_database(service_settings):
    """`make_database(class, …)` returns a database of the test's own, for Orders, closed at its end."""
    made = []

    def make(kind=Database, settings=service_settings["orders"], **arguments):
        made.append(kind(settings, **arguments))
        return made[-1]

    yield make
    for database in made:
        database.close()


@pytest.fixture
def kill(service_settings):
    """`kill(tx)` ends the connection of `tx`, which is of Orders, from outside."""
    with connect(service_settings["orders"]) as connection:

        def kill_connection_of(tx):
            tx.execute("SELECT CONNECTION_ID() AS id")
            connection.cursor().execute(f"KILL {tx.fetchone()['id']}")

        yield kill_connection_of
