"""What each operation asks of MySQL, by the server's own counters: one statement more is a regression."""

from collections import Counter

import pytest

from tests.factories import order_request, unique

COUNTERS = ("begin", "commit", "rollback", "select", "insert", "insert_select", "update", "delete", "do")


@pytest.fixture
def count(service_databases, customers_api, orders_api):
    """`count(call)` returns {kind: number} of the statements that the services' connections send for it."""
    # Who may act is read here, and not again for some seconds.
    for api, path in ((customers_api, "/customers"), (orders_api, "/orders")):
        assert api.get(path).status_code == 200

    def counters(cursor):
        cursor.execute(
            "SHOW SESSION STATUS WHERE Variable_name = 'Questions' OR Variable_name LIKE 'Com|_%' ESCAPE '|'"
        )
        return {row["Variable_name"].removeprefix("Com_"): int(row["Value"]) for row in cursor.fetchall()}

    def read_counters():
        return sum((Counter(database.read(counters)) for database in service_databases.values()), Counter())

    def count_statements(call):
        read_counters()
        before = read_counters()
        answer = call()
        after = read_counters()
        assert answer.status_code < 300
        kinds = {name: after[name] - before[name] for name in COUNTERS if after[name] != before[name]}
        # Nothing is sent that has no name above. The others are the second questions for the counters.
        assert sum(kinds.values()) == after["Questions"] - before["Questions"] - len(service_databases)
        return kinds

    return count_statements


def transaction(**kinds):
    return {"begin": 1, "commit": 1, **kinds}


def keyed_transaction(**kinds):
    """Besides what `kinds` says, the key's lock and the key with its slot are read, and the lock is released."""
    return transaction(do=1, **{**kinds, "select": kinds["select"] + 2})


def keyed():
    return {"headers": {"X-Idempotency-Key": unique("key")}}


def test_reads_are_one_statement_each(count, customers_api, orders_api, factory, settings):
    order = factory.make_order(settings)
    paths = [
        *(f"/products/{order['items'][0]['product_id']}", "/products"),
        *(f"/orders/{order['id']}", "/orders", f"/orders/{order['id']}/events"),
    ]

    assert [count(lambda path=path: orders_api.get(path)) for path in paths] == [{"select": 1}] * 5
    assert count(lambda: customers_api.get(f"/customers/{order['customer_id']}")) == {"select": 1}
    assert count(lambda: customers_api.get("/customers")) == {"select": 1}


def test_search_asks_for_an_estimate_before(count, customers_api, orders_api):
    assert count(lambda: customers_api.get("/customers?search=customer")) == {"select": 2}
    assert count(lambda: orders_api.get("/products?search=SKU")) == {"select": 2}


@pytest.mark.parametrize("lines", [1, 3, 100])
def test_order_takes_the_same_statements_whatever_its_length(count, orders_api, factory, lines):
    products = [factory.make_product() for _ in range(lines)]
    request = order_request(factory.make_customer(), *((product, 1) for product in products))

    # Read: the customer (by Customers), the products.
    # Written: the order, if its customer still lives; its lines, the events, the key with its answer; the stock.
    assert count(lambda: orders_api.post("/orders", json=request, **keyed())) == keyed_transaction(
        select=2, insert=3, insert_select=1, update=1
    )


def test_replay_of_an_order_reads_its_customer_and_its_key(count, orders_api, factory):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    key = keyed()
    orders_api.post("/orders", json=request, **key)

    assert count(lambda: orders_api.post("/orders", json=request, **key)) == keyed_transaction(select=1)


def test_confirmation_and_its_replay(count, orders_api, factory, settings):
    path = f"/orders/{factory.make_order(settings)['id']}/confirm"
    key = keyed()

    # Read: the order with its lines. Written: the order; the event, the key.
    assert count(lambda: orders_api.post(path, **key)) == keyed_transaction(select=1, update=1, insert=2)
    assert count(lambda: orders_api.post(path, **key)) == keyed_transaction(select=0)


def test_cancellation(count, orders_api, factory, settings):
    path = f"/orders/{factory.make_order(settings)['id']}/cancel"

    # Beside what a confirmation takes: the products' locks and their stock.
    assert count(lambda: orders_api.post(path, **keyed())) == keyed_transaction(select=2, update=2, insert=2)


def test_new_rows(count, customers_api, orders_api):
    customer = {"name": "ACME", "email": f"{unique('acme')}@example.test"}
    product = {"sku": unique("SKU"), "name": "Mouse", "price_cents": 1900, "stock": 1}
    # The row, its search entries, its events, the key with its answer.
    expected = keyed_transaction(select=0, insert=4)

    assert count(lambda: customers_api.post("/customers", json=customer, **keyed())) == expected
    assert count(lambda: orders_api.post("/products", json=product, **keyed())) == expected


def test_stock_change(count, orders_api, factory):
    path = f"/products/{factory.make_product()['id']}"

    assert count(lambda: orders_api.patch(path, json={"stock_delta": 1})) == transaction(select=1, update=1, insert=1)
