"""Making orders: stock, totals, merged lines, references and snapshots."""

import dataclasses
from datetime import timedelta

from common import times
from tests.factories import order_request, unique


def test_order_takes_stock_and_is_found_at_its_location(orders_api, factory):
    product = factory.make_product(stock=10)

    response = orders_api.post("/orders", json=order_request(factory.make_customer(), (product, 3)))

    assert response.status_code == 201
    assert response.headers["Location"] == f"/orders/{response.json['id']}"
    assert orders_api.get(response.headers["Location"]).content == response.content
    assert factory.stock_of(product["id"]) == 7


def test_customer_is_asked_for_under_the_same_request_id_and_trace(orders_api, factory, stub_customers):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    headers = {"X-Request-ID": "abc", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}

    orders_api.post("/orders", json=request, headers=headers)

    assert stub_customers.headers == headers


def test_customer_is_asked_for_before_the_transaction_opens(
    make_orders_api, make_database, factory, stub_customers, monkeypatch
):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    database, fetch = make_database(connections=1), stub_customers.fetch

    def fetch_while_the_connection_is_free(customer_id, headers):
        database.read(lambda cursor: cursor.execute("DO 0"))
        return fetch(customer_id, headers)

    monkeypatch.setattr(stub_customers, "fetch", fetch_while_the_connection_is_free)

    response = make_orders_api(database=database).post(
        "/orders", json=request, headers={"X-Idempotency-Key": unique("key")}
    )

    assert response.status_code == 201


def test_order_shows_its_lines_in_the_order_sent_with_exact_totals(orders_api, factory, clock):
    cheap, dear = factory.make_product(price_cents=333), factory.make_product(price_cents=99_999_999, stock=100_000)
    customer = factory.make_customer(phone="+1-555-0100")
    request = order_request(customer, (dear, 100_000), (cheap, 3), customer_reference="PO-1")

    order = orders_api.post("/orders", json=request).json

    now = times.to_json(clock.now)
    assert order == {
        "id": order["id"],
        "customer_id": customer["id"],
        "customer": {name: customer[name] for name in ("id", "name", "email", "phone")},
        "customer_reference": "PO-1",
        "status": "CREATED",
        "total_cents": 9_999_999_900_999,
        "version": 1,
        "created_at": now,
        "confirmed_at": None,
        "canceled_at": None,
        "expires_at": times.to_json(clock.now + timedelta(days=1)),
        "items": [
            {"product_id": product["id"], "sku": product["sku"], "name": product["name"], "qty": qty}
            | {"unit_price_cents": product["price_cents"], "subtotal_cents": subtotal}
            for product, qty, subtotal in ((dear, 100_000, 9_999_999_900_000), (cheap, 3, 999))
        ],
        "allowed_actions": ["confirm", "cancel"],
    }


def test_order_never_expires_where_the_ttl_is_zero(make_orders_api, factory, settings):
    api = make_orders_api(settings=dataclasses.replace(settings, order_ttl_seconds=0))

    order = api.post("/orders", json=order_request(factory.make_customer(), (factory.make_product(), 1))).json

    assert order["expires_at"] is None


def test_lines_that_name_one_product_twice_are_merged(orders_api, factory):
    first, second = factory.make_product(stock=10), factory.make_product(stock=10)
    request = order_request(factory.make_customer(), (first, 2), (second, 1), (first, 3))

    response = orders_api.post("/orders", json=request)

    assert response.status_code == 201
    assert [(item["product_id"], item["qty"]) for item in response.json["items"]] == [
        (first["id"], 5),
        (second["id"], 1),
    ]
    assert (factory.stock_of(first["id"]), factory.stock_of(second["id"])) == (5, 9)


def test_hundred_lines_at_every_bound_make_an_exact_total(orders_api, factory):
    product = factory.make_product(price_cents=100_000_000, stock=1_000_000_000)
    request = order_request(factory.make_customer(), *[(product, 100_000)] * 100)

    response = orders_api.post("/orders", json=request)

    assert response.status_code == 201
    assert response.json["total_cents"] == 1_000_000_000_000_000
    assert factory.stock_of(product["id"]) == 990_000_000


def test_order_of_the_last_piece_leaves_zero(orders_api, factory):
    product = factory.make_product(stock=5)

    response = orders_api.post("/orders", json=order_request(factory.make_customer(), (product, 5)))

    assert response.status_code == 201
    assert factory.stock_of(product["id"]) == 0


def test_orders_without_a_reference_stand_side_by_side(orders_api, factory):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    answers = [orders_api.post("/orders", json=request | more) for more in ({}, {}, {"customer_reference": None})]

    assert [(answer.status_code, answer.json["customer_reference"]) for answer in answers] == [(201, None)] * 3


def test_reference_is_free_again_after_a_cancel(orders_api, factory):
    request = order_request(factory.make_customer(), (factory.make_product(), 1), customer_reference="PO-1")
    first = orders_api.post("/orders", json=request).json
    orders_api.post(f"/orders/{first['id']}/cancel")

    second = orders_api.post("/orders", json=request)

    assert second.status_code == 201
    assert second.json["id"] != first["id"]
    assert orders_api.get(f"/orders/{first['id']}").json["customer_reference"] == "PO-1"


def test_order_reads_the_same_after_product_and_customer_change(customers_api, orders_api, factory):
    customer, product = factory.make_customer(), factory.make_product()
    made = orders_api.post("/orders", json=order_request(customer, (product, 1)))
    orders_api.patch(f"/products/{product['id']}", json={"name": "New", "price_cents": 1, "active": False})
    customers_api.put(f"/customers/{customer['id']}", json={"name": "New", "email": f"{unique('new')}@example.test"})
    customers_api.delete(f"/customers/{customer['id']}")

    read = orders_api.get(made.headers["Location"])

    assert read.content == made.content
