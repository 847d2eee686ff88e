"""Orders that are refused: each with its code, the lines at fault, and nothing written."""

import pytest

from common.problems import CustomersUnavailable
from tests.factories import order_request, unique


def test_order_beyond_stock_is_409_naming_every_short_line_and_takes_nothing(orders_api, factory, refused):
    short, enough, empty = (factory.make_product(stock=stock) for stock in (5, 100, 0))
    request = order_request(factory.make_customer(), (short, 3), (enough, 1), (empty, 1), (short, 3))

    response = refused((409, "insufficient_stock"), orders_api.post, "/orders", json=request)

    assert response.json["items"] == [
        {"product_id": short["id"], "sku": short["sku"], "requested": 6, "available": 5},
        {"product_id": empty["id"], "sku": empty["sku"], "requested": 1, "available": 0},
    ]


def test_order_of_products_that_never_were_is_404_naming_each_line(orders_api, factory, refused):
    known, unknown = factory.make_product(), {"id": 2**63 - 1}
    request = order_request(factory.make_customer(), (unknown, 1), (known, 1), (unknown, 1))

    response = refused((404, "product_not_found"), orders_api.post, "/orders", json=request)

    assert [error["pointer"] for error in response.json["errors"]] == ["#/items/0/product_id", "#/items/2/product_id"]


def test_hundred_unknown_products_are_404_with_twenty_errors_at_most(orders_api, factory, refused):
    request = order_request(factory.make_customer(), *(({"id": 2**63 - 1 - number}, 1) for number in range(100)))

    response = refused((404, "product_not_found"), orders_api.post, "/orders", json=request)

    assert len(response.json["errors"]) == 20


def test_order_of_an_inactive_product_is_409_naming_its_line(orders_api, factory, refused):
    active, inactive = factory.make_product(), factory.make_product(active=False)
    request = order_request(factory.make_customer(), (active, 1), (inactive, 1))

    response = refused((409, "product_inactive"), orders_api.post, "/orders", json=request)

    assert [error["pointer"] for error in response.json["errors"]] == ["#/items/1/product_id"]


def test_order_of_a_deleted_customer_is_404(customers_api, orders_api, factory, refused):
    customer, product = factory.make_customer(), factory.make_product()
    customers_api.delete(f"/customers/{customer['id']}")

    refused((404, "customer_not_found"), orders_api.post, "/orders", json=order_request(customer, (product, 1)))


def test_order_while_customers_is_down_is_503_and_writes_nothing(orders_api, factory, stub_customers, refused):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    stub_customers.problem = CustomersUnavailable()

    response = refused((503, "customers_unavailable"), orders_api.post, "/orders", json=request)

    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("reference", ["po-2026-é", "PO-2026-É", "PO-2026-e", "PO-2026-é\u200b", "ＰO-2026-é"])
def test_reference_that_differs_in_a_byte_is_another_reference(orders_api, factory, settings, reference):
    customer, product = factory.make_customer(), factory.make_product()
    factory.make_order(settings, customer, customer_reference="PO-2026-é")

    response = orders_api.post("/orders", json=order_request(customer, (product, 1), customer_reference=reference))

    assert response.status_code == 201


def test_reference_of_another_order_of_the_customer_is_409(orders_api, factory, refused, settings):
    customer, product = factory.make_customer(), factory.make_product()
    order = factory.make_order(settings, customer, customer_reference="PO-2026-é")
    again = order_request(customer, (product, 1), customer_reference="PO-2026-é")

    response = refused((409, "duplicate_reference"), orders_api.post, "/orders", json=again)

    assert response.json["order_id"] == order["id"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/events"), ("POST", "/confirm"), ("POST", "/cancel")]
)
def test_order_that_never_was_is_404(orders_api, refused, method, path):
    path, headers = "/orders/9223372036854775807" + path, {"X-Idempotency-Key": unique("key")}

    refused((404, "order_not_found"), orders_api.request, method, path, headers=headers)
