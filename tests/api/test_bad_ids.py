"""Ids in paths that are no ids: the address does not exist."""

import pytest

from tests.contract_client import refusal
from tests.factories import unique

NO_IDS = ["0", "-1", "+1", "%2B1", "007", "1_000", "\u0661", "9223372036854775808", "abc", "1.0", "1%20", "1%0A"]


@pytest.mark.parametrize("text", NO_IDS)
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
