"""What a key survives: refusals that leave no trace of it, and replays that need only the database."""

import pytest

from common.problems import CustomersUnavailable
from tests.contract_client import refusal
from tests.factories import order_request, unique


@pytest.fixture
def headers():
    return {"X-Idempotency-Key": unique("key")}


def test_key_refused_for_short_stock_succeeds_when_stock_comes(orders_api, factory, checksum, headers):
    product = factory.make_product(stock=0)
    request = order_request(factory.make_customer(), (product, 1))
    before = checksum()
    refused = orders_api.post("/orders", json=request, headers=headers)
    assert checksum() == before
    orders_api.patch(f"/products/{product['id']}", json={"stock_delta": 1})

    response = orders_api.post("/orders", json=request, headers=headers)

    assert refusal(refused) == (409, "insufficient_stock")
    assert response.status_code == 201
    assert "idempotent-replayed" not in {name.lower() for name in response.headers}
    assert factory.stock_of(product["id"]) == 0


def test_key_refused_while_customers_is_down_succeeds_later(orders_api, factory, stub_customers, checksum, headers):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    stub_customers.problem = CustomersUnavailable()
    before = checksum()
    refused = orders_api.post("/orders", json=request, headers=headers)
    assert checksum() == before
    stub_customers.problem = None

    response = orders_api.post("/orders", json=request, headers=headers)

    assert refusal(refused) == (503, "customers_unavailable")
    assert response.status_code == 201


def test_key_of_a_refused_confirm_leaves_no_trace(orders_api, factory, settings, refused, headers):
    order = factory.make_order(settings)
    orders_api.post(f"/orders/{order['id']}/cancel")

    refused((409, "order_state_conflict"), orders_api.post, f"/orders/{order['id']}/confirm", headers=headers)


def test_replay_is_the_first_answer_whatever_has_changed_since(
    customers_api, orders_api, factory, stub_customers, headers
):
    customer, product = factory.make_customer(), factory.make_product(stock=1)
    request = order_request(customer, (product, 1), customer_reference="PO-1")
    first = orders_api.post("/orders", json=request, headers=headers)
    orders_api.patch(f"/products/{product['id']}", json={"price_cents": 1, "name": "New", "active": False})
    customers_api.delete(f"/customers/{customer['id']}")
    orders_api.post(f"{first.headers['Location']}/cancel")
    stub_customers.problem = CustomersUnavailable()

    second = orders_api.post("/orders", json=request, headers=headers)

    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["Location"] == first.headers["Location"]
    assert orders_api.get(first.headers["Location"]).json["status"] == "CANCELED"


def test_replay_has_time_after_customers_took_all_of_it(orders_api, factory, stub_customers, headers, monkeypatch):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    first = orders_api.post("/orders", json=request, headers=headers)
    stub_customers.problem = CustomersUnavailable()
    monkeypatch.setattr("common.database.BEGIN_SECONDS", 0)

    second = orders_api.post("/orders", json=request, headers=headers)
    refused = orders_api.post("/orders", json=request, headers={"X-Idempotency-Key": unique("key")})

    assert (second.status_code, second.content) == (201, first.content)
    assert refusal(refused) == (503, "customers_unavailable")


def test_confirm_is_replayed_after_a_cancel(orders_api, factory, settings, headers):
    order = factory.make_order(settings)
    first = orders_api.post(f"/orders/{order['id']}/confirm", headers=headers)
    orders_api.post(f"/orders/{order['id']}/cancel")

    second = orders_api.post(f"/orders/{order['id']}/confirm", headers=headers)

    assert (second.status_code, second.content) == (200, first.content)
    assert second.json["status"] == "CONFIRMED"


def test_reused_key_is_422_even_while_customers_is_down(orders_api, factory, stub_customers, headers, refused):
    customer, product = factory.make_customer(), factory.make_product()
    orders_api.post("/orders", json=order_request(customer, (product, 1)), headers=headers)
    stub_customers.problem = CustomersUnavailable()
    other = order_request(customer, (product, 2))

    refused((422, "idempotency_key_reused"), orders_api.post, "/orders", json=other, headers=headers)
