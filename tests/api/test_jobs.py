"""Jobs: orders expire, what is over is deleted, and what doesn't add up is found."""

import dataclasses
from datetime import timedelta

import pytest

import customers.jobs
import orders.jobs
from common.idempotency import KEY_LIFETIME
from common.problems import DatabaseUnavailable
from orders import jobs, order_workflows
from orders.invariants import INVARIANTS
from tests.contract_client import refusal
from tests.factories import unique

DAY = timedelta(days=1)


@pytest.fixture
def expire(service_databases, settings, clock):
    """`expire()` makes one pass."""
    return lambda: orders.jobs.expire(settings, service_databases["orders"], clock)


@pytest.fixture
def purge(service_databases, settings, clock):
    """`purge()` makes one pass."""
    return lambda: customers.jobs.purge(settings, service_databases["customers"], clock)


@pytest.fixture(autouse=True)
def nothing_overdue(request, database, clock):
    """Whatever other tests have left isn't overdue, in this test's time either."""
    postpone = "UPDATE orders SET expires_at = NULL WHERE expires_at IS NOT NULL"
    database.transact(lambda tx: tx.execute(postpone))


# --- expire ----------------------------------------------------------------------------


def test_unconfirmed_order_is_canceled_when_it_is_overdue(orders_api, factory, settings, clock, expire):
    product = factory.make_product(stock=5)
    order = factory.make_order(settings, items=[{"product_id": product["id"], "qty": 3}])
    clock.advance(seconds=settings.order_ttl_seconds - 1)
    assert expire() == {"ok": True, "expired": 0, "failed": []}
    clock.advance(seconds=1)

    assert expire() == {"ok": True, "expired": 1, "failed": []}
    assert expire() == {"ok": True, "expired": 0, "failed": []}

    assert orders_api.get(f"/orders/{order['id']}").json["status"] == "CANCELED"
    event = orders_api.get(f"/orders/{order['id']}/events").json["data"][-1]
    assert (event["type"], event["actor"], event["reason"]) == ("canceled", "system", "expired")
    moved = orders_api.get(f"/products/{product['id']}/events").json["data"][-1]
    assert (moved["stock_delta"], moved["stock"], moved["cause"], moved["order_id"]) == (3, 5, "expiry", order["id"])


def test_confirmed_canceled_and_everlasting_orders_do_not_expire(orders_api, factory, settings, clock, expire):
    confirmed, canceled = factory.make_order(settings), factory.make_order(settings)
    everlasting = factory.make_order(dataclasses.replace(settings, order_ttl_seconds=0))
    orders_api.post(f"/orders/{confirmed['id']}/confirm", headers={"X-Idempotency-Key": unique("key")})
    orders_api.post(f"/orders/{canceled['id']}/cancel")
    clock.advance(seconds=settings.order_ttl_seconds + 1)

    assert expire() == {"ok": True, "expired": 0, "failed": []}
    assert [
        orders_api.get(f"/orders/{order['id']}").json["version"] for order in (confirmed, canceled, everlasting)
    ] == [
        2,
        2,
        1,
    ]


def test_order_that_no_pass_has_met_yet_can_be_confirmed(orders_api, factory, settings, clock, expire):
    order = factory.make_order(settings)
    clock.advance(seconds=settings.order_ttl_seconds + 1)
    path = f"/orders/{order['id']}/confirm"

    assert orders_api.post(path, headers={"X-Idempotency-Key": unique("key")}).status_code == 200
    assert expire()["expired"] == 0


def test_confirm_of_an_expired_order_is_409(orders_api, factory, settings, clock, expire):
    order = factory.make_order(settings)
    clock.advance(seconds=settings.order_ttl_seconds)
    expire()
    headers = {"X-Idempotency-Key": unique("key")}

    response = orders_api.post(f"/orders/{order['id']}/confirm", headers=headers)

    assert refusal(response) == (409, "order_state_conflict")


def test_order_that_can_not_be_expired_is_named_and_holds_up_no_other(
    factory, settings, clock, expire, monkeypatch, ledger_status
):
    bad, good = factory.make_order(settings), factory.make_order(settings)
    cancel = order_workflows.cancel_order

    def fail(tx, clock, order_id, *arguments, **named):
        if order_id == bad["id"]:
            raise ValueError("broken")
        return cancel(tx, clock, order_id, *arguments, **named)

    monkeypatch.setattr(order_workflows, "cancel_order", fail)
    clock.advance(seconds=settings.order_ttl_seconds)

    assert expire() == {"ok": False, "expired": 1, "failed": [bad["id"]]}
    assert (ledger_status(bad), ledger_status(good)) == ("CREATED", "CANCELED")


def test_lost_database_is_no_failure_of_the_order_at_hand(factory, settings, clock, expire, monkeypatch):
    factory.make_order(settings)
    cancel = order_workflows.cancel_order

    def cancel_and_lose_connection(tx, *arguments, **named):
        cancel(tx, *arguments, **named)
        tx.execute("KILL CONNECTION_ID()")

    monkeypatch.setattr(order_workflows, "cancel_order", cancel_and_lose_connection)
    clock.advance(seconds=settings.order_ttl_seconds)

    with pytest.raises(DatabaseUnavailable):
        expire()


@pytest.fixture
def ledger_status(database):
    """`ledger_status(order)` returns the status that is committed."""

    def select(cursor, order):
        cursor.execute("SELECT status FROM orders WHERE id = %s", (order["id"],))
        return cursor.fetchone()["status"]

    return lambda order: database.read(select, order)


def test_pass_ends_after_so_many(factory, settings, clock, expire, monkeypatch):
    monkeypatch.setattr(jobs, "EXPIRED_AT_ONCE", 2)
    for _ in range(3):
        factory.make_order(settings)
    clock.advance(seconds=settings.order_ttl_seconds)

    assert [expire()["expired"] for _ in range(3)] == [2, 1, 0]


# --- purge -----------------------------------------------------------------------------


def keys(database):
    def select(cursor):
        cursor.execute("SELECT COUNT(*) AS count FROM idempotency_keys")
        return cursor.fetchone()["count"]

    return database.read(select)


def test_expired_keys_are_deleted_in_batches_and_no_others(calls, database, clock, purge, monkeypatch):
    monkeypatch.setattr(customers.jobs, "BATCH", 2)
    clock.advance(days=400)
    purge()
    assert keys(database) == 0
    clock.advance(days=-400)
    for _ in range(5):
        assert calls["create_product"]().send(**{"X-Idempotency-Key": unique("key")}).status_code == 201
    clock.advance(seconds=1)
    calls["create_customer"]().send(**{"X-Idempotency-Key": unique("key")})
    clock.now += KEY_LIFETIME - timedelta(seconds=1)

    assert purge()["keys"] == 5
    assert keys(database) == 1


def test_counts_of_log_ins_are_deleted_and_known_addresses_are_kept_for_longer(database, clock, purge):
    def insert(tx):
        tx.execute("DELETE FROM login_failures")
        for kind, bucket, age in (("pair", b"a", 2), ("name", b"b", 2), ("pair", b"c", 0.5), ("known", b"d", 29)):
            tx.execute(
                "INSERT INTO login_failures VALUES (%s, %s, 1, %s)", (kind, bucket.ljust(32), clock() - age * DAY)
            )

    def left(cursor):
        cursor.execute("SELECT kind, started_at FROM login_failures ORDER BY started_at")
        return [row["kind"] for row in cursor.fetchall()]

    database.transact(insert)

    assert purge()["logins"] == 2
    assert database.read(left) == ["known", "pair"]
    clock.now += 2 * DAY
    assert purge()["logins"] == 2


# --- verify ----------------------------------------------------------------------------

ORDER_EVENTS = "WHERE subject_type = 'order' AND subject_id = %(order)s"
BROKEN = {
    "total": "UPDATE orders SET total_cents = total_cents + 1 WHERE id = %(order)s",
    "life": f"DELETE FROM events {ORDER_EVENTS}",
    "stock": "UPDATE products SET stock = stock + 1 WHERE id = %(product)s",
    "holding": "UPDATE events SET order_id = NULL WHERE order_id = %(order)s",
    "expiry": "UPDATE orders SET expires_at = '2020-01-01' WHERE id = %(order)s",
}


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_what_breaks_an_invariant_is_found(database, service_databases, factory, settings, invariant):
    order = factory.make_order(settings)
    ids = {"order": order["id"], "product": order["items"][0]["product_id"]}
    expected = ids["product" if invariant == "stock" else "order"]

    def found():
        statement = INVARIANTS[invariant][1]
        select = f"SELECT id FROM ({statement}) AS broken WHERE id = {expected}"
        return service_databases["orders"].inspect(lambda tx: (tx.execute(select), tx.fetchall())[1])

    assert found() == []
    database.transact(lambda tx: tx.execute(BROKEN[invariant], ids))
    assert found() == [{"id": expected}]


def test_order_with_a_step_too_many_is_found(database, factory, settings):
    order = factory.make_order(settings)
    twice = f"""
        INSERT INTO events (type, subject_type, subject_id, subject_version, actor, request_id, created_at)
        SELECT type, subject_type, subject_id, subject_version, actor, request_id, created_at FROM events {ORDER_EVENTS}
    """
    database.transact(lambda tx: tx.execute(twice, {"order": order["id"]}))

    select = f"SELECT id FROM ({INVARIANTS['life'][1]}) AS broken WHERE id = {order['id']}"
    assert database.inspect(lambda tx: (tx.execute(select), tx.fetchall())[1]) == [{"id": order["id"]}]


def test_verify_names_what_is_broken_and_what_is_not_adopted(database, service_databases, factory, settings):
    order = factory.make_order(settings)
    database.transact(lambda tx: tx.execute(BROKEN["total"], {"order": order["id"]}))

    def set_adopted(tx, moment):
        tx.execute("UPDATE event_sequence SET adopted_at = %s", (moment,))

    summary = orders.jobs.verify(settings, service_databases["orders"])
    assert (summary["ok"], summary["adopted"], order["id"] in summary["violations"]["total"]) == (False, True, True)
    database.transact(set_adopted, None)
    assert orders.jobs.verify(settings, service_databases["orders"]) == {
        "ok": False,
        "adopted": False,
        "violations": {},
    }
    database.transact(set_adopted, "2026-01-01")
