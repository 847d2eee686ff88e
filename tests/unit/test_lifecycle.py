"""The lifecycle's table: every status, every action, and the edge of the cancel window."""

from datetime import datetime, timedelta

import pytest

from common.problems import CancelWindowClosed, OrderStateConflict
from orders import lifecycle
from orders.order_workflows import merge_lines

CONFIRMED_AT = datetime(2026, 11, 25, 12)
WINDOW = 600


def order(status):
    return {"status": status, "confirmed_at": CONFIRMED_AT}


@pytest.mark.parametrize(
    ("status", "action", "next_status"),
    [("CREATED", "confirm", "CONFIRMED"), ("CREATED", "cancel", "CANCELED"), ("CONFIRMED", "cancel", "CANCELED")],
)
def test_transition_that_the_table_has_gives_the_next_status(status, action, next_status):
    assert lifecycle.require(order(status), action, CONFIRMED_AT, WINDOW) == next_status


@pytest.mark.parametrize(
    ("status", "action"), [("CONFIRMED", "confirm"), ("CANCELED", "confirm"), ("CANCELED", "cancel")]
)
def test_transition_that_the_table_has_not_is_a_conflict(status, action):
    with pytest.raises(OrderStateConflict):
        lifecycle.require(order(status), action, CONFIRMED_AT, WINDOW)


@pytest.mark.parametrize(
    ("status", "action", "done"),
    [
        ("CREATED", "confirm", False),
        ("CREATED", "cancel", False),
        ("CONFIRMED", "confirm", True),
        ("CONFIRMED", "cancel", False),
        ("CANCELED", "confirm", False),
        ("CANCELED", "cancel", True),
    ],
)
def test_action_is_done_where_it_would_lead(status, action, done):
    assert lifecycle.is_done(order(status), action) is done


@pytest.mark.parametrize("window", [0, 1, WINDOW])
def test_last_instant_of_the_window_is_in_it(window):
    now = CONFIRMED_AT + timedelta(seconds=window)

    assert lifecycle.require(order("CONFIRMED"), "cancel", now, window) == "CANCELED"
    assert lifecycle.allowed_actions(order("CONFIRMED"), now, window) == ["cancel"]


@pytest.mark.parametrize("window", [0, 1, WINDOW])
def test_one_microsecond_later_it_is_closed(window):
    now = CONFIRMED_AT + timedelta(seconds=window, microseconds=1)

    with pytest.raises(CancelWindowClosed):
        lifecycle.require(order("CONFIRMED"), "cancel", now, window)
    assert lifecycle.allowed_actions(order("CONFIRMED"), now, window) == []


def test_created_order_knows_no_window():
    created = {"status": "CREATED", "confirmed_at": None}

    assert lifecycle.allowed_actions(created, CONFIRMED_AT + timedelta(days=999), 0) == ["confirm", "cancel"]
    assert lifecycle.require(created, "cancel", CONFIRMED_AT + timedelta(days=999), 0) == "CANCELED"


def test_canceled_order_allows_nothing():
    assert lifecycle.allowed_actions(order("CANCELED"), CONFIRMED_AT, WINDOW) == []


@pytest.mark.parametrize(
    ("lines", "merged"),
    [
        ([(7, 1)], [(7, 1)]),
        ([(7, 1), (3, 2)], [(7, 1), (3, 2)]),
        ([(7, 1), (3, 2), (7, 5)], [(7, 6), (3, 2)]),
        ([(7, 100_000)] * 100, [(7, 10_000_000)]),
    ],
)
def test_lines_of_one_product_are_added_up_where_it_is_first_named(lines, merged):
    request = [{"product_id": product_id, "qty": qty} for product_id, qty in lines]
    before = [dict(line) for line in request]

    assert list(merge_lines(request).items()) == merged
    assert request == before
