"""What a client gets while the database is away or contended, and what is left behind."""

import dataclasses

import pytest

from common.config import Server
from common.database import Database
from tests.contract_client import refusal
from tests.factories import order_request, unique


class InterruptedDatabase(Database):
    """The real database; `before_commit(tx)` runs at the end of each transaction."""

    def __init__(self, settings, before_commit):
        super().__init__(settings)
        self._before_commit = before_commit

    def transact(self, fn, *args, **options):
        def interrupted(tx):
            result = fn(tx, *args)
            self._before_commit(tx)
            return result

        return super().transact(interrupted, **options)


def test_connection_killed_in_the_middle_is_503_and_rolls_back(make_orders_api, make_database, factory, kill, refused):
    def lose_connection(tx):
        kill(tx)
        tx.execute("SELECT 1")

    api = make_orders_api(database=make_database(InterruptedDatabase, before_commit=lose_connection))
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    response = refused(
        (503, "database_unavailable"), api.post, "/orders", json=request, headers={"X-Idempotency-Key": unique("key")}
    )

    assert int(response.headers["Retry-After"]) >= 1


def test_failed_commit_is_503_and_not_retried(make_orders_api, make_database, factory, kill, refused):
    runs = []

    def lose_connection(tx):
        runs.append(tx)
        kill(tx)

    api = make_orders_api(database=make_database(InterruptedDatabase, before_commit=lose_connection))
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    refused((503, "database_unavailable"), api.post, "/orders", json=request)

    assert len(runs) == 1


def test_same_key_succeeds_after_a_failed_commit(make_orders_api, orders_api, make_database, factory, kill):
    api = make_orders_api(database=make_database(InterruptedDatabase, before_commit=kill))
    product = factory.make_product(stock=5)
    request = order_request(factory.make_customer(), (product, 1))
    headers = {"X-Idempotency-Key": unique("key")}
    failed = api.post("/orders", json=request, headers=headers)

    response = orders_api.post("/orders", json=request, headers=headers)

    assert (failed.status_code, response.status_code) == (503, 201)
    assert factory.stock_of(product["id"]) == 4


def test_connection_killed_between_requests_costs_nothing(make_orders_api, make_database, factory, kill):
    database = make_database()
    api, product = make_orders_api(database=database), factory.make_product(stock=5)
    database.read(kill)

    read = api.get(f"/products/{product['id']}")
    database.read(kill)
    written = api.patch(f"/products/{product['id']}", json={"stock_delta": 1})

    assert (read.status_code, written.status_code) == (200, 200)
    assert factory.stock_of(product["id"]) == 6


@pytest.mark.parametrize(
    "changes", [{"servers": (Server("127.0.0.1", 1),)}, {"password": "wrong"}], ids=["unreachable", "locked out"]
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/products"), ("GET", "/products/1"), ("POST", "/products")])
def test_database_that_lets_nobody_in_is_503(make_orders_api, make_database, database_settings, changes, method, path):
    database = make_database(settings=dataclasses.replace(database_settings, **changes))
    product = {"sku": unique("SKU"), "name": "Mouse", "price_cents": 1, "stock": 1}

    response = make_orders_api(database=database).request(method, path, json=product)

    assert refusal(response) == (503, "database_unavailable")
    assert int(response.headers["Retry-After"]) >= 1
