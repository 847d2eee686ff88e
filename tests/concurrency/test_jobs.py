"""Passes of the jobs at once, beside each other and beside operators."""

import dataclasses
from collections import Counter

import pytest

from orders import jobs
from tests.concurrency.answers import outcomes
from tests.concurrency.conftest import TIMEOUT


@pytest.fixture
def expire(service_databases, settings, clock, database):
    """`expire()` makes one pass; nothing of other tests is overdue."""
    postpone = "UPDATE orders SET expires_at = NULL WHERE expires_at IS NOT NULL"
    database.transact(lambda tx: tx.execute(postpone))
    return lambda: jobs.expire(settings, service_databases["orders"], clock)


@pytest.fixture
def make_overdue(factory, settings, clock):
    """`make_overdue(items)` returns an order that is overdue."""

    def make(items=None):
        order = factory.make_order(dataclasses.replace(settings, order_ttl_seconds=1), items=items)
        clock.advance(seconds=2)
        return order

    return make


def test_ten_passes_at_once_cancel_each_overdue_order_once(expire, make_overdue, factory, settings, at_once, ledger):
    products = [factory.make_product(stock=1000) for _ in range(3)]
    items = [{"product_id": product["id"], "qty": 2} for product in products]
    overdue = [make_overdue(items[number % 2 :]) for number in range(60)]
    in_time = factory.make_order(settings, items=items)

    summaries = at_once([expire] * 10)

    assert sum(summary["expired"] for summary in summaries) == 60
    assert all(summary["ok"] for summary in summaries)
    assert {ledger.order(order) for order in overdue} == {("CANCELED", 2)}
    assert ledger.order(in_time) == ("CREATED", 1)
    assert [ledger.stock(product) for product in products] == [998] * 3


def test_confirm_and_expiry_at_once_end_as_one_of_them(expire, make_overdue, desk, at_once, ledger):
    ends = Counter()
    for _ in range(20):
        order = make_overdue()

        confirmed, summary = at_once([lambda order=order: desk.confirm(order), expire])

        (outcome,) = outcomes([confirmed])
        ends[outcome, ledger.order(order), summary["expired"]] += 1
        # A pass that met the order locked leaves it, and the next one finds it confirmed.
        assert expire()["expired"] == 0

    assert set(ends) <= {(200, ("CONFIRMED", 2), 0), ("order_state_conflict", ("CANCELED", 2), 1)}, ends


def test_order_that_somebody_has_locked_is_the_next_passes(expire, make_overdue, outsider, start, ledger):
    locked, free = make_overdue(), make_overdue()
    outsider.lock_order(locked)

    assert start(expire).result(TIMEOUT) == {"ok": True, "expired": 1, "failed": []}
    assert [ledger.order(order)[0] for order in (locked, free)] == ["CREATED", "CANCELED"]

    outsider.release()
    assert expire()["expired"] == 1
