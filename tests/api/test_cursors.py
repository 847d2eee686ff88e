"""Cursors that are not ours, or of another list or other filters."""

import dataclasses

import pytest

from tests.contract_client import refusal
from tests.factories import unique

NEW_SECRET = "the-secret-of-next-month-0123456789abcdef"


@pytest.fixture
def customer(factory, settings):
    """A customer with three orders."""
    customer = factory.make_customer()
    factory.make_order(settings, customer)
    factory.make_order(settings, customer)
    factory.make_order(settings, customer)
    return customer


@pytest.fixture
def cursor(orders_api, customer):
    """The cursor of the second page of the customer's orders."""
    return orders_api.get("/orders", params={"customer_id": customer["id"], "limit": 1}).json["next_cursor"]


@pytest.mark.parametrize("text", ["1", "00", "abc", "AAAA", "A" * 200, "-_-_", "eyJpZCI6MX0"])
@pytest.mark.parametrize("path", ["/orders", "/products"])
def test_garbage_for_a_cursor_is_400(orders_api, path, text):
    response = orders_api.get(path, params={"cursor": text})

    assert refusal(response) == (400, "invalid_cursor")


@pytest.mark.parametrize("text", ["1", "abc", "A" * 200])
def test_garbage_for_a_customers_cursor_is_400(customers_api, text):
    response = customers_api.get("/customers", params={"cursor": text})

    assert refusal(response) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "bend",
    [
        lambda text: text[:-4],
        lambda text: text[4:],
        lambda text: text + "AAAA",
        lambda text: ("B" if text[0] == "A" else "A") + text[1:],
        lambda text: text[:20] + ("B" if text[20] == "A" else "A") + text[21:],
        str.swapcase,
    ],
    ids=["cut", "headless", "longer", "first byte", "position", "swapped case"],
)
def test_bent_cursor_is_400(orders_api, customer, cursor, bend):
    response = orders_api.get("/orders", params={"customer_id": customer["id"], "cursor": bend(cursor)})

    assert refusal(response) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "filters",
    [{}, {"status": "CREATED"}, {"from": "2026-01-01T00:00:00Z"}, {"customer_id": 2**63 - 1}],
    ids=",".join,
)
def test_cursor_of_other_filters_is_400(orders_api, cursor, filters):
    response = orders_api.get("/orders", params={**filters, "cursor": cursor})

    assert refusal(response) == (400, "invalid_cursor")


def test_cursor_of_another_list_is_400(orders_api, customers_api, cursor):
    answers = [orders_api.get("/products", params={"cursor": cursor}), customers_api.get("/customers?cursor=" + cursor)]

    assert [refusal(answer) for answer in answers] == [(400, "invalid_cursor")] * 2


def test_cursor_of_another_search_is_400(orders_api, factory):
    mark = unique("mark")
    factory.make_product(name=f"{mark} one")
    factory.make_product(name=f"{mark} two")
    cursor = orders_api.get("/products", params={"search": mark, "limit": 1}).json["next_cursor"]

    response = orders_api.get("/products", params={"search": mark + " ", "cursor": cursor})

    assert refusal(response) == (400, "invalid_cursor")


def test_cursor_of_another_orders_events_is_400(orders_api, factory, settings):
    paths = [f"/orders/{factory.make_order(settings)['id']}" for _ in range(2)]
    orders_api.post(f"{paths[0]}/cancel")
    cursor = orders_api.get(f"{paths[0]}/events", params={"limit": 1}).json["next_cursor"]

    response = orders_api.get(f"{paths[1]}/events", params={"cursor": cursor})

    assert refusal(response) == (400, "invalid_cursor")


def test_limit_may_change_from_page_to_page(orders_api, customer, cursor):
    response = orders_api.get("/orders", params={"customer_id": customer["id"], "limit": 100, "cursor": cursor})

    assert len(response.json["data"]) == 2


def test_cursor_survives_the_rotation_of_the_secret(make_orders_api, settings, customer, cursor):
    rotated = dataclasses.replace(settings, jwt_secrets=(NEW_SECRET, settings.jwt_secrets[0]))

    response = make_orders_api(settings=rotated).get(
        "/orders", params={"customer_id": customer["id"], "cursor": cursor}
    )

    assert len(response.json["data"]) == 2
