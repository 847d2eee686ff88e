"""The feed beside writers: every reader has each committed event once, and each row's in the order of their commits."""

import random
import time
from collections import Counter, defaultdict
from contextlib import suppress

import pytest

from common import events
from common.auth import Origin
from common.events import Event
from common.problems import Busy
from orders import feed, product_store, product_workflows
from tests.concurrency.answers import statuses
from tests.concurrency.conftest import TIMEOUT
from tests.factories import end_of

ORIGIN = Origin("demo", "writer")


class Undone(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def orders_database(service_databases):
    return service_databases["orders"]


def change(tx, rng, products, clock):
    """Change two products in an order that may deadlock, and take some milliseconds over it; undo a part of them."""
    for product_id in rng.sample(products, 2):
        (old,) = product_store.lock_products(tx, [product_id])
        row = {**old, "stock": old["stock"] + 1, "version": old["version"] + 1, "updated_at": clock()}
        product_store.update_product(tx, row)
        events.record(tx, ORIGIN, clock(), product_workflows.change_events(old, row))
        time.sleep(rng.uniform(0, 0.003))
    if rng.random() < 0.2:
        raise Undone


def test_each_reader_has_every_committed_event_once_and_in_order(
    orders_api, orders_database, factory, clock, at_once, ledger, retries
):
    products = [factory.make_product()["id"] for _ in range(3)]
    start = end_of(orders_api)
    writing = set(range(8))

    def write(number):
        rng = random.Random(number)
        for _ in range(40):
            with suppress(Undone, Busy):
                orders_database.transact(change, rng, products, clock)
        writing.discard(number)

    def read():
        seen, after, is_over = [], start, False
        while not is_over:
            is_last = not writing
            page = orders_api.get("/events", params={"after": after, "limit": 7}).json
            seen += page["data"]
            is_over = is_last and not page["has_more"]
            after = page["next"]
        return seen

    def number():
        while writing:
            orders_database.transact(feed.number)

    readers = at_once([*[lambda n=n: write(n) for n in range(8)], number, read, read, read])[-3:]

    committed = ledger.event_ids(start)
    assert len(committed) > 300
    for seen in readers:
        assert [event["sequence"] for event in seen] == list(range(start + 1, start + 1 + len(committed)))
        assert sorted(event["id"] for event in seen) == sorted(f"evt_{event_id}" for event_id in committed)
        versions = defaultdict(list)
        for event in seen:
            versions[event["subject"]["id"]].append(event["subject"]["version"])
        # Each change is one event here, so that none is missing between two others, either.
        assert all(found == list(range(2, 2 + len(found))) for found in versions.values())
    assert 1213 in retries()


def test_event_of_a_transaction_that_was_open_comes_after_those_committed_before(orders_api, factory, outsider):
    product = factory.make_product()
    start = end_of(orders_api)
    outsider.change_with_event(product)
    factory.make_customer()

    first = orders_api.get("/events", params={"after": start}).json
    outsider.commit()
    second = orders_api.get("/events", params={"after": first["next"]}).json

    assert [event["type"] for event in first["data"]] == ["customer.created"]
    assert [event["subject"]["id"] for event in second["data"]] == [product["id"]]
    assert int(second["data"][0]["id"][4:]) < int(first["data"][0]["id"][4:])


def test_who_waits_to_number_takes_what_was_committed_meanwhile_and_nothing_twice(
    orders_api, orders_database, factory, outsider, start, monkeypatch
):
    monkeypatch.setattr(feed, "NUMBERING_WAIT_MS", 20_000)
    begin = end_of(orders_api)
    first = factory.make_customer()
    outsider.number_events()
    waiting = start(orders_database.transact, feed.number)
    outsider.wait_for_waiting(1, "event_sequence")
    second = factory.make_customer()
    outsider.commit()

    assert waiting.result(TIMEOUT) is True

    seen = orders_api.get("/events", params={"after": begin}).json["data"]
    assert [(event["sequence"] - begin, event["subject"]["id"]) for event in seen] == [
        (1, first["id"]),
        (2, second["id"]),
    ]


def test_reader_does_not_wait_for_long_for_another_that_numbers(orders_api, factory, outsider):
    begin = end_of(orders_api)
    factory.make_customer()
    outsider.number_events()

    page = orders_api.get("/events", params={"after": begin}).json
    outsider.commit()

    assert page == {"data": [], "next": begin, "has_more": True}
    assert len(orders_api.get("/events", params={"after": begin}).json["data"]) == 1


def test_writers_do_not_wait_for_who_numbers(desk, factory, outsider):
    outsider.number_events()

    assert desk.create(factory.make_customer(), {factory.make_product()["id"]: 1}).status_code == 201

    outsider.release()


@pytest.mark.parametrize("seed", range(3))
def test_stock_is_the_sum_of_its_movements_whatever_happens_at_once(desk, factory, settings, at_once, violations, seed):
    products = [factory.make_product(stock=40) for _ in range(4)]
    customer = factory.make_customer()
    orders = [
        factory.make_order(settings, customer, [{"product_id": product["id"], "qty": 1} for product in products])
        for _ in range(12)
    ]

    def work(number):
        rng = random.Random(100 * seed + number)
        for _ in range(12):
            order, product = rng.choice(orders), rng.choice(products)
            yield rng.choice(
                [
                    lambda: desk.create(customer, {it["id"]: rng.randint(1, 6) for it in rng.sample(products, 3)}),
                    lambda order=order: desk.confirm(order),
                    lambda order=order: desk.cancel(order),
                    lambda product=product: desk.change_product(product, {"stock_delta": rng.randint(-3, 3)}),
                    lambda product=product: desk.change_product(product, {"stock": 20, "price_cents": 5}),
                ]
            )()

    answers = sum(at_once([lambda n=n: list(work(n)) for n in range(16)]), [])

    assert statuses(answers).keys() <= {200, 201, 409}
    assert violations() == []


def test_change_whose_event_can_not_be_written_is_not_made(desk, factory, settings, monkeypatch, ledger):
    order = factory.make_order(settings)
    product = order["items"][0]
    monkeypatch.setattr(Event, "subject_type", property(lambda event: "nothing"))  # ck_events_subject refuses it

    answers = [
        desk.create(order["customer"], {product["product_id"]: 1}),
        desk.confirm(order),
        desk.cancel(order),
        desk.change_product({"id": product["product_id"]}, {"stock_delta": 1}),
    ]

    assert Counter(answer.status_code for answer in answers) == {500: 4}
    assert ledger.order(order) == ("CREATED", 1)
    assert ledger.stock({"id": product["product_id"]}) == 99
