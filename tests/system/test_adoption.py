"""An upgrade to the version with events: both versions under orders side by side, then `make adopt`."""

import os
import random
import shutil

import pytest

from common import config
from common.database import Database
from sql import adopt, migrate
from tests.concurrency.conftest import Ledger
from tests.conftest import run_module
from tests.system.conftest import ROOT, Operator, wait_until
from tests.system.services import Clients, Services, prepare

PRODUCTS = range(1, 6)
STOCK = 10_000


class VersionBefore:
    """What the version before does in the database, without HTTP around it."""

    def __init__(self, database):
        self._database = database

    def create(self, items):
        return self._database.transact(self._create, items)

    def change(self, order_id, action):
        return self._database.transact(self._change, order_id, action)

    def correct(self, product_id, delta):
        statement = "UPDATE products SET stock = stock + %s, version = version + 1 WHERE id = %s"
        self._database.transact(lambda tx: tx.execute(statement, (delta, product_id)))

    def _create(self, tx, items):
        lock_products(tx, items)
        tx.execute(
            """
            INSERT INTO orders (customer_id, customer_name, customer_email, status, total_cents, created_at)
            VALUES (1, 'ACME', 'ops@acme.example', 'CREATED', %s, UTC_TIMESTAMP(6))
            """,
            (sum(items.values()),),
        )
        order_id = tx.lastrowid
        for line_no, (product_id, qty) in enumerate(items.items(), start=1):
            tx.execute(
                "INSERT INTO order_items VALUES (%s, %s, %s, 'SKU', 'Product', %s, 1, %s)",
                (order_id, product_id, line_no, qty, qty),
            )
            move(tx, product_id, -qty)
        write_event(tx, order_id, "created")
        return order_id

    def _change(self, tx, order_id, action):
        tx.execute("SELECT status FROM orders WHERE id = %s FOR UPDATE", (order_id,))
        status = tx.fetchone()["status"]
        if action == "canceled" and status != "CANCELED":
            tx.execute("SELECT product_id, qty FROM order_items WHERE order_id = %s", (order_id,))
            items = {row["product_id"]: row["qty"] for row in tx.fetchall()}
            lock_products(tx, items)
            for product_id, qty in items.items():
                move(tx, product_id, qty)
        elif action != "confirmed" or status != "CREATED":
            return
        tx.execute(
            f"UPDATE orders SET status = %s, {action}_at = UTC_TIMESTAMP(6), version = version + 1 WHERE id = %s",
            (action.upper(), order_id),
        )
        write_event(tx, order_id, action)


def lock_products(tx, items):
    tx.execute(f"SELECT id FROM products WHERE id IN ({', '.join(map(str, items))}) ORDER BY id FOR UPDATE")


def move(tx, product_id, pieces):
    tx.execute("UPDATE products SET stock = stock + %s, version = version + 1 WHERE id = %s", (pieces, product_id))


def write_event(tx, order_id, event_type):
    tx.execute(
        """
        INSERT INTO order_events (order_id, type, actor, request_id, created_at)
        VALUES (%s, %s, 'ada', 'before', UTC_TIMESTAMP(6))
        """,
        (order_id, event_type),
    )


@pytest.fixture
def new(database_settings, other_connection):
    """Programs' environment; its database isn't there yet."""
    name = f"{database_settings.name}_adoption"
    with other_connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")
        yield {**os.environ, "DB_NAME": name}
        cursor.execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def environ(new, tmp_path, monkeypatch):
    """Programs' environment; its database is the version before's."""
    settings = config.load_database_settings(new)
    for file in sorted((ROOT / "sql" / "migrations").glob("000[1-7]*.sql")):
        shutil.copy(file, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "MIGRATIONS", tmp_path)
        patch.setattr(migrate, "GRANTS", {})
        migrate.migrate(settings)
    return new


@pytest.fixture
def database(environ):
    database = Database(config.load_database_settings(environ), connections=16)
    yield database
    database.close()


@pytest.fixture
def before(database):
    """The version before, with products, and a life of its own behind it."""

    def fill(tx):
        tx.execute(
            "INSERT INTO customers VALUES (1, 'ACME', 'ops@acme.example', NULL, 1, NOW(6), NOW(6), NULL, DEFAULT)"
        )
        for product_id in PRODUCTS:
            tx.execute(
                "INSERT INTO products VALUES (%s, %s, 'Product', 1, %s, TRUE, 1, NOW(6), NOW(6))",
                (product_id, f"OLD-{product_id}", STOCK),
            )

    database.transact(fill)
    before = VersionBefore(database)
    rng = random.Random(1)
    for _ in range(30):
        order_id = before.create({product_id: rng.randint(1, 5) for product_id in rng.sample(PRODUCTS, 3)})
        for action in rng.choice([(), ("confirmed",), ("canceled",), ("confirmed", "canceled")]):
            before.change(order_id, action)
        before.correct(rng.choice(PRODUCTS), rng.randint(-3, 3))
    return before


def orders_of(database):
    def select(cursor):
        cursor.execute("SELECT id FROM orders")
        return [row["id"] for row in cursor.fetchall()]

    return database.read(select)


def run_adopt(environ):
    run = run_module("sql.adopt", environ=environ)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def follow(operator):
    """Return the whole feed."""
    events, page = [], {"next": 0, "has_more": True}
    while page["has_more"]:
        page = operator.get(operator.stack.orders, "/events", after=page["next"], limit=500)
        events += page["data"]
    return events


def test_versions_side_by_side_and_adoption_lose_nothing(environ, database, before, tmp_path):
    untouched = [before.create({1: 1}) for _ in range(3)]
    prepare(environ)
    ledger = Ledger(database)
    with Services(environ, tmp_path) as services:
        operator = Operator(services, "demo", "demo-password")

        def send(method, path, body=None):
            headers = {"X-Idempotency-Key": f"key-{random.random()}"}
            url = services.orders + path
            return operator.session.request(method, url, json=body, headers=headers, timeout=30).status_code

        def one_change():
            items = {product_id: random.randint(1, 4) for product_id in random.sample(PRODUCTS, 3)}
            order_id = random.choice([it for it in orders_of(database) if it not in untouched])
            lines = [{"product_id": product_id, "qty": qty} for product_id, qty in items.items()]
            return random.choice(
                [
                    lambda: before.create(items) and 200,
                    lambda: before.change(order_id, "confirmed") or 200,
                    lambda: before.change(order_id, "canceled") or 200,
                    lambda: send("POST", "/orders", {"customer_id": 1, "items": lines}),
                    lambda: send("POST", f"/orders/{order_id}/confirm", {}),
                    lambda: send("POST", f"/orders/{order_id}/cancel", {}),
                    lambda: send("PATCH", f"/products/{random.choice(PRODUCTS)}", {"stock_delta": 1}),
                ]
            )()

        with Clients(8, one_change) as clients:
            wait_until(lambda: len(clients.results) > 300)
        statuses = set(clients.results)
        assert operator.session.get(f"{services.orders}/events", timeout=30).status_code == 503
        for order_id in untouched:
            assert send("POST", f"/orders/{order_id}/confirm", {}) == 200
            assert send("POST", f"/orders/{order_id}/cancel", {}) == 200
        histories = [operator.get(services.orders, f"/orders/{it}/events")["data"] for it in orders_of(database)]
        with Clients(4, lambda: send("PATCH", f"/products/{random.choice(PRODUCTS)}", {"stock_delta": -1})) as clients:
            wait_until(lambda: len(clients.results) > 5)
            run_adopt(environ)
        statuses |= set(clients.results)

        assert statuses <= {200, 201, 409}
        # What an order's history was, it is, ids included.
        assert [
            operator.get(services.orders, f"/orders/{it}/events")["data"] for it in orders_of(database)
        ] == histories
        life = [event["type"] for history in histories for event in history]
        assert {"created", "confirmed", "canceled"} == set(life)
        feed = follow(operator)
        assert [event["sequence"] for event in feed] == list(range(1, len(feed) + 1))
        assert len(feed) == len(ledger.event_ids(0))
        for order_id in untouched:
            subject = {"type": "order", "id": order_id}
            assert [event["subject"] for event in feed if event["subject"].items() >= subject.items()] == [
                {**subject, "version": version} for version in (1, 2, 3)
            ]
    assert run_adopt(environ) == ["Nothing to adopt."]


class Killed(BaseException):
    """As kill -9 ends it: nothing is caught."""


def test_adoption_that_is_killed_again_and_again_is_completed(environ, database, before, monkeypatch):
    prepare(environ)
    monkeypatch.setattr(adopt, "ROWS", 7)
    monkeypatch.setattr(adopt, "PRODUCTS", 2)
    commits_left = 0

    def transact_or_die(*arguments):
        nonlocal commits_left
        if commits_left == 0:
            raise Killed
        commits_left -= 1
        return Database.transact(database, *arguments)

    monkeypatch.setattr(database, "transact", transact_or_die)
    attempt = 0
    for attempt in range(1, 100):
        commits_left = attempt
        try:
            adopt.adopt(database)
            break
        except Killed:
            continue

    assert attempt > 10
    ledger = Ledger(database)
    assert ledger.violations() == []
    assert ledger.event_ids(10**9) == []  # all have their number


def test_database_that_was_empty_needs_no_adoption(new, tmp_path):
    prepare(new)

    assert run_adopt(new) == ["Nothing to adopt."]

    with Services(new, tmp_path) as services:
        feed = follow(Operator(services, "demo", "demo-password"))

    assert [(event["type"], event["actor"]) for event in feed] == [
        *[("customer.created", "system")] * 3,
        *[("product.created", "system"), ("product.stock_changed", "system")] * 5,
    ]


def test_adoption_without_its_tables_or_its_database_is_one_line(new, other_connection):
    other_connection.cursor().execute(f"CREATE DATABASE {new['DB_NAME']}")
    for change in ({}, {"DB_PORT": "1"}):
        run = run_module("sql.adopt", environ=new | change)

        assert (run.returncode, run.stdout) == (1, "")
        assert len(run.stderr.splitlines()) == 1
        assert run.stderr.startswith("adopt: ")
