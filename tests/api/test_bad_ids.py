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
    "25 digits": "1" * 25,
    "word": "abc",
    "float": "1.0",
    "exponent": "1e3",
    "space behind": "1%20",
    "newline behind": "1%0A",
    "null byte behind": "1%00",
}


@pytest.mark.parametrize("text", NO_IDS.values(), ids=NO_IDS.keys())
def test_no_id_of_an_order_is_404(orders_api, refused, text):
    refused((404, "not_found"), orders_api.get, f"/orders/{text}")


@pytest.mark.parametrize(
    ("api", "method", "path"),
    [
        *(("customers_api", method, "/customers/007") for method in ("GET", "PUT", "DELETE")),
        ("customers_api", "GET", "/internal/customers/007"),
        *(("orders_api", method, "/products/007") for method in ("GET", "PATCH")),
        *(("orders_api", "POST", f"/orders/007/{action}") for action in ("confirm", "cancel")),
        ("orders_api", "GET", "/orders/007/events"),
    ],
)
def test_every_route_wants_an_id(request, refused, api, method, path):
    headers = {"X-Idempotency-Key": unique("key")}

    refused((404, "not_found"), request.getfixturevalue(api).request, method, path, headers=headers)


def test_largest_id_is_an_id(orders_api):
    assert refusal(orders_api.get("/orders/9223372036854775807")) == (404, "order_not_found")
