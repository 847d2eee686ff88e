"""Ids in paths that are no ids: the address does not exist."""

import pytest

from tests.contract_client import refusal
from tests.factories import unique

NO_IDS = {
    "zero": "0",
    "below zero": "-1",
    "plus sign": "+1",
    "encoded plus sign": "%2B1",
    "leading zeros": "007",
    "underscore": "1_000",
    "Arabic digits": "\u0661\u0662",
    "full-width digits": "\uff11",
    "2^63": "9223372036854775808",
    "2^64 + 1": "18446744073709551617",
    "25 digits": "1" * 25,
    "word": "abc",
    "float": "1.0",
    "exponent": "1e3",
    "hexadecimal": "0x1",
    "space": "%20",
    "space behind": "1%20",
    "newline behind": "1%0A",
    "null byte behind": "1%00",
    "quote": "1'",
    "nothing": "",
}

for_every_no_id = pytest.mark.parametrize("text", NO_IDS.values(), ids=NO_IDS.keys())


@for_every_no_id
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_id_of_a_customer_is_404(customers_api, factory, refused, method, text):
    factory.make_customer()

    refused((404, "not_found"), customers_api.request, method, f"/customers/{text}", json={"phone": "555"})


@for_every_no_id
def test_no_id_on_the_internal_route_is_404(customers_api, service_token, text):
    response = customers_api.get(f"/internal/customers/{text}", token=service_token)

    assert refusal(response) == (404, "not_found")


@for_every_no_id
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_no_id_of_a_product_is_404(orders_api, refused, method, text):
    refused((404, "not_found"), orders_api.request, method, f"/products/{text}", json={"stock_delta": 1})


@for_every_no_id
@pytest.mark.parametrize(
    ("method", "suffix"), [("GET", ""), ("GET", "/events"), ("POST", "/confirm"), ("POST", "/cancel")]
)
def test_no_id_of_an_order_is_404(orders_api, refused, method, suffix, text):
    refused(
        (404, "not_found"),
        orders_api.request,
        method,
        f"/orders/{text}{suffix}",
        headers={"X-Idempotency-Key": unique("key")},
    )


def test_largest_id_is_an_id(orders_api):
    response = orders_api.get("/orders/9223372036854775807")

    assert refusal(response) == (404, "order_not_found")
