"""Cursors that are not ours, or of another list or other filters. What makes a cursor ours: tests/unit."""

import pytest

from common.pagination import Cursors
from tests.contract_client import refusal
from tests.factories import unique

INVALID = (400, "invalid_cursor")


@pytest.fixture
def customer(factory, settings):
    customer = factory.make_customer()
    for _ in range(3):
        factory.make_order(settings, customer)
    return customer


@pytest.fixture
def cursor(orders_api, customer):
    return orders_api.get("/orders", params={"customer_id": customer["id"], "limit": 1}).json["next_cursor"]


@pytest.mark.parametrize("text", ["1", "abc", "A" * 200])
@pytest.mark.parametrize(
    ("api", "path"), [("customers_api", "/customers"), ("orders_api", "/products"), ("orders_api", "/orders")]
)
def test_garbage_for_a_cursor_is_400(request, api, path, text):
    assert refusal(request.getfixturevalue(api).get(path, params={"cursor": text})) == INVALID


@pytest.mark.parametrize(
    "filters", [{}, {"status": "CREATED"}, {"from": "2026-01-01T00:00:00Z"}, {"customer_id": 2**63 - 1}], ids=",".join
)
def test_cursor_of_other_filters_is_400(orders_api, cursor, filters):
    assert refusal(orders_api.get("/orders", params={**filters, "cursor": cursor})) == INVALID


def test_cursor_of_another_list_is_400(orders_api, customers_api, cursor):
    answers = [
        api.get(path, params={"cursor": cursor})
        for api, path in ((orders_api, "/products"), (customers_api, "/customers"), (orders_api, "/orders/1/events"))
    ]

    assert [refusal(answer) for answer in answers] == [INVALID] * 3


def test_cursor_of_another_search_is_400(orders_api, factory):
    mark = unique("mark")
    factory.make_product(name=f"{mark} one")
    factory.make_product(name=f"{mark} two")
    cursor = orders_api.get("/products", params={"search": mark, "limit": 1}).json["next_cursor"]

    assert refusal(orders_api.get("/products", params={"search": mark + " o", "cursor": cursor})) == INVALID


@pytest.mark.parametrize(
    ("api", "path", "scope", "position", "filters"),
    [
        ("customers_api", "/customers", ["customers", None], (1,), {"email": "a@example.test"}),
        ("orders_api", "/products", ["products", None], (1,), {"sku": "A"}),
        ("orders_api", "/products", ["products", None], (1,), {"active": "true"}),
        ("orders_api", "/orders", ["orders", {}], (1, 1), {"customer_reference": "PO-1"}),
    ],
)
def test_cursor_from_before_there_was_a_filter_is_read_without_it_and_refused_with_it(
    request, settings, api, path, scope, position, filters
):
    api = request.getfixturevalue(api)
    cursor = Cursors(settings).page([{}, {}], 1, scope, lambda row: position, lambda row: row)["next_cursor"]

    assert api.get(path, params={"cursor": cursor}).status_code == 200
    assert refusal(api.get(path, params={"cursor": cursor, **filters})) == INVALID


def test_cursor_of_another_orders_events_is_400(orders_api, factory, settings):
    paths = [f"/orders/{factory.make_order(settings)['id']}" for _ in range(2)]
    orders_api.post(f"{paths[0]}/cancel")
    cursor = orders_api.get(f"{paths[0]}/events", params={"limit": 1}).json["next_cursor"]

    assert refusal(orders_api.get(f"{paths[1]}/events", params={"cursor": cursor})) == INVALID


def test_limit_may_change_from_page_to_page(orders_api, customer, cursor):
    response = orders_api.get("/orders", params={"customer_id": customer["id"], "limit": 100, "cursor": cursor})

    assert len(response.json["data"]) == 2
