"""From CREATED to CONFIRMED to CANCELED: effects, the edge of the cancel window, the audit trail."""

import dataclasses

import pytest

from common import times
from tests.contract_client import refusal
from tests.factories import order_request, unique

WINDOW_SECONDS = 600


@pytest.fixture
def product(factory):
    return factory.make_product(stock=10)


@pytest.fixture
def order(orders_api, factory, product):
    request = order_request(factory.make_customer(), (product, 3))
    return orders_api.post("/orders", json=request, headers={"X-Request-ID": "the-create"}).json


def confirm(api, order, **headers):
    return api.post(f"/orders/{order['id']}/confirm", headers={"X-Idempotency-Key": unique("key"), **headers})


def cancel(api, order, reason=None, **headers):
    return api.post(f"/orders/{order['id']}/cancel", json={"reason": reason}, headers=headers)


def test_confirmed_order_keeps_its_stock_and_can_only_be_canceled(orders_api, factory, product, order, clock):
    clock.advance(seconds=30)

    response = confirm(orders_api, order)

    assert response.status_code == 200
    assert response.json == {
        **order,
        "status": "CONFIRMED",
        "version": 2,
        "confirmed_at": times.to_json(clock.now),
        "expires_at": None,
        "allowed_actions": ["cancel"],
    }
    assert orders_api.get(f"/orders/{order['id']}").content == response.content
    assert factory.stock_of(product["id"]) == 7


def test_confirm_with_a_new_key_answers_the_order_as_it_is(orders_api, order, clock):
    first = confirm(orders_api, order)
    clock.advance(seconds=60)

    second = confirm(orders_api, order)

    assert second.status_code == 200
    assert second.content == first.content
    assert "idempotent-replayed" not in {name.lower() for name in second.headers}
    assert len(orders_api.get(f"/orders/{order['id']}/events").json["data"]) == 2


def test_confirm_of_a_canceled_order_is_409_and_changes_nothing(orders_api, order, refused):
    cancel(orders_api, order)

    refused((409, "order_state_conflict"), confirm, orders_api, order)


def test_confirm_without_a_key_is_400_and_changes_nothing(orders_api, order, refused):
    response = refused((400, "invalid_request"), orders_api.post, f"/orders/{order['id']}/confirm")

    assert response.json["errors"] == [
        {"pointer": "header:X-Idempotency-Key", "code": "required", "detail": "is required"}
    ]


def test_canceled_order_gives_its_stock_back_and_allows_nothing(orders_api, factory, product, order, clock):
    clock.advance(days=300)

    response = cancel(orders_api, order, "ordered twice")

    assert response.status_code == 200
    assert response.json == {
        **order,
        "status": "CANCELED",
        "version": 2,
        "canceled_at": times.to_json(clock.now),
        "expires_at": None,
        "allowed_actions": [],
    }
    assert factory.stock_of(product["id"]) == 10


def test_cancel_again_answers_the_order_as_it_is_and_restores_nothing_more(orders_api, factory, product, order, clock):
    confirm(orders_api, order)
    first = cancel(orders_api, order)
    clock.advance(days=1)

    second = cancel(orders_api, order, "another reason")

    assert second.status_code == 200
    assert second.content == first.content
    assert factory.stock_of(product["id"]) == 10
    assert len(orders_api.get(f"/orders/{order['id']}/events").json["data"]) == 3


def test_confirmed_order_is_canceled_at_the_last_instant_of_the_window(orders_api, factory, product, order, clock):
    confirmed = confirm(orders_api, order).json
    clock.advance(seconds=WINDOW_SECONDS)

    response = cancel(orders_api, order)

    assert response.status_code == 200
    assert response.json["status"] == "CANCELED"
    assert response.json["confirmed_at"] == confirmed["confirmed_at"]
    assert response.json["version"] == 3
    assert factory.stock_of(product["id"]) == 10


def test_cancel_one_microsecond_after_the_window_is_409_and_changes_nothing(orders_api, order, clock, refused):
    confirm(orders_api, order)
    clock.advance(seconds=WINDOW_SECONDS, microseconds=1)

    refused((409, "cancel_window_closed"), cancel, orders_api, order)


def test_second_confirm_does_not_open_the_window_again(orders_api, order, clock):
    confirm(orders_api, order)
    clock.advance(seconds=WINDOW_SECONDS)
    confirm(orders_api, order)
    clock.advance(seconds=1)

    response = cancel(orders_api, order)

    assert refusal(response) == (409, "cancel_window_closed")
    assert orders_api.get(f"/orders/{order['id']}").json["status"] == "CONFIRMED"


def test_length_of_the_window_is_a_setting(make_orders_api, settings, order, clock):
    api = make_orders_api(settings=dataclasses.replace(settings, cancel_window_seconds=5))
    confirm(api, order)
    clock.advance(seconds=6)

    response = cancel(api, order)

    assert refusal(response) == (409, "cancel_window_closed")
    assert api.get(f"/orders/{order['id']}").json["allowed_actions"] == []


def test_entity_tag_changes_when_the_window_closes(orders_api, order, clock):
    confirm(orders_api, order)
    path = f"/orders/{order['id']}"
    old = orders_api.get(path).headers["ETag"]
    clock.advance(seconds=WINDOW_SECONDS, microseconds=1)

    response = orders_api.get(path, headers={"If-None-Match": old})

    assert response.status_code == 200
    assert response.headers["ETag"] != old
    assert orders_api.get(path, headers={"If-None-Match": response.headers["ETag"]}).status_code == 304


def test_every_transition_leaves_an_event_with_its_reason_and_request_id(orders_api, order, clock):
    clock.advance(seconds=1)
    confirm(orders_api, order, **{"X-Request-ID": "the-confirm"})
    clock.advance(seconds=1)
    cancel(orders_api, order, "не нужно 😀", **{"X-Request-ID": "the-cancel"})

    events = orders_api.get(f"/orders/{order['id']}/events").json

    assert [(event["type"], event["actor"], event["reason"], event["request_id"]) for event in events["data"]] == [
        ("created", "demo", None, "the-create"),
        ("confirmed", "demo", None, "the-confirm"),
        ("canceled", "demo", "не нужно 😀", "the-cancel"),
    ]
    assert [event["created_at"] for event in events["data"]][::2] == [order["created_at"], times.to_json(clock.now)]
    assert events["next_cursor"] is None


def test_cancel_restores_every_line_once(orders_api, factory):
    products = [factory.make_product(stock=10), factory.make_product(stock=20)]
    request = order_request(factory.make_customer(), (products[0], 1), (products[1], 2), (products[0], 4))
    order = orders_api.post("/orders", json=request).json

    cancel(orders_api, order)

    assert [factory.stock_of(product["id"]) for product in products] == [10, 20]


def test_cancel_restores_the_stock_of_a_product_that_is_no_longer_sold(orders_api, factory, product, order):
    orders_api.patch(f"/products/{product['id']}", json={"active": False})

    response = cancel(orders_api, order)

    assert response.status_code == 200
    assert factory.stock_of(product["id"]) == 10
