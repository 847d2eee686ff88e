"""One order, confirmed and canceled by many at the same moment."""

from dataclasses import replace

import pytest

from tests.concurrency.answers import bodies, outcomes, replays, statuses
from tests.concurrency.conftest import TIMEOUT
from tests.factories import unique


@pytest.mark.parametrize(("number_of_keys", "replayed"), [(1, 19), (20, 0)])
def test_twenty_confirms_are_one_confirmation(desk, factory, settings, at_once, ledger, number_of_keys, replayed):
    order = factory.make_order(settings)
    keys = [unique("key") for _ in range(number_of_keys)] * (20 // number_of_keys)

    answers = at_once([lambda key=key: desk.confirm(order, key) for key in keys])

    assert statuses(answers) == {200: 20}
    assert len(bodies(answers)) == 1
    assert replays(answers) == replayed
    assert ledger.events(order) == ["created", "confirmed"]
    assert ledger.order(order) == ("CONFIRMED", 2)


def test_a_cancel_that_waits_past_the_end_of_the_window_is_refused(
    desk, factory, settings, start, outsider, clock, ledger
):
    product = factory.make_product(stock=10)
    order = factory.make_order(settings, items=[{"product_id": product["id"], "qty": 3}])
    desk.confirm(order)
    outsider.lock_product(product)
    call = start(lambda: desk.cancel(order))
    outsider.wait_for_waiting(1)
    clock.advance(seconds=settings.cancel_window_seconds)

    outsider.release()

    assert outcomes([call.result(TIMEOUT)]) == {"cancel_window_closed": 1}
    assert (ledger.order(order), ledger.stock(product)) == (("CONFIRMED", 2), 7)


KEYS = {
    "no_key": lambda key: 10 * [None],
    "one_key": lambda key: 10 * [key],
    "ten_keys": lambda key: [f"{key}-{number}" for number in range(10)],
}


@pytest.mark.parametrize("confirmed", [[], ["confirmed"]], ids=["created", "confirmed"])
@pytest.mark.parametrize("keys", KEYS)
def test_ten_cancels_restore_the_stock_once(desk, factory, settings, key, at_once, ledger, keys, confirmed):
    product = factory.make_product(stock=10)
    order = factory.make_order(settings, items=[{"product_id": product["id"], "qty": 3}])
    before = [desk.confirm(order).json["status"].lower() for _ in confirmed]

    answers = at_once([lambda key=key: desk.cancel(order, key) for key in KEYS[keys](key)])

    assert before == confirmed
    assert statuses(answers) == {200: 10}
    assert len(bodies(answers)) == 1
    assert ledger.stock(product) == 10
    assert ledger.events(order) == ["created", *confirmed, "canceled"]
    assert ledger.order(order) == ("CANCELED", 2 + len(confirmed))


# (confirm, cancel) -> status, version, events and stock that must then be there. With a
# window of 0 s, a confirmation that comes first may close it before the cancellation comes.
CONSISTENT = {
    (200, 200): ("CANCELED", 3, ["created", "confirmed", "canceled"], 10),
    ("order_state_conflict", 200): ("CANCELED", 2, ["created", "canceled"], 10),
    (200, "cancel_window_closed"): ("CONFIRMED", 2, ["created", "confirmed"], 7),
}


@pytest.mark.parametrize("window", [600, 0])
def test_confirm_against_cancel_leaves_what_was_answered(make_desk, factory, settings, at_once, ledger, window):
    desk = make_desk(settings=replace(settings, cancel_window_seconds=window))
    products = [factory.make_product(stock=10) for _ in range(30)]
    made = [factory.make_order(settings, items=[{"product_id": product["id"], "qty": 3}]) for product in products]

    pairs = [
        at_once([lambda order=order: desk.confirm(order), lambda order=order: desk.cancel(order)]) for order in made
    ]

    answered = [tuple(next(iter(outcomes([answer]))) for answer in pair) for pair in pairs]
    left = [
        (*ledger.order(order), ledger.events(order), ledger.stock(product))
        for order, product in zip(made, products, strict=True)
    ]
    assert left == [CONSISTENT.get(pair, f"never {pair}") for pair in answered]
