"""One app shared by many threads, as in a gunicorn worker, and the means to see what is left of it."""

import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from common import connection, metrics, times
from common.database import RETRIED
from orders.invariants import INVARIANTS
from orders.product_workflows import update_product
from tests.api.conftest import (  # noqa: F401 - fixtures
    authenticator,
    customers_api,
    factory,
    make_customers_api,
    make_database,
    make_orders_api,
    make_token,
    orders_api,
    service_token,
    stub_customers,
)
from tests.conftest import Clock, connect
from tests.factories import ORIGIN, unique

TIMEOUT = 60  # seconds; the slowest call here, one that is refused as busy, takes four


@pytest.fixture(scope="session", autouse=True)
def frequent_switches():
    """Let threads take turns every 50 µs and not every 5 ms: more interleavings in a run."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.00005)
    yield
    sys.setswitchinterval(interval)


class TickingClock(Clock):
    """Never tells the same time twice: an answer made again differs from the first."""

    def __init__(self):
        super().__init__()
        self._ticks = itertools.count()

    def __call__(self):
        return self.now + next(self._ticks) * type(self.now).resolution


@pytest.fixture
def clock():
    return TickingClock()


@pytest.fixture
def key():
    """An idempotency key that no other test uses."""
    return unique("key")


class Desk:
    """What operators ask of the Orders API, one method a request."""

    def __init__(self, api):
        self._api = api

    def create(self, customer, items, key=None, reference=None, **arguments):
        request = {
            "customer_id": customer["id"],
            "items": [{"product_id": product_id, "qty": qty} for product_id, qty in items.items()],
            **({"customer_reference": reference} if reference else {}),
        }
        return self._api.post("/orders", json=request, headers=_key_header(key), **arguments)

    def confirm(self, order, key=None):
        """Confirm, under a key of its own unless one is given."""
        return self._api.post(f"/orders/{order['id']}/confirm", headers=_key_header(key or unique("key")))

    def cancel(self, order, key=None):
        return self._api.post(f"/orders/{order['id']}/cancel", headers=_key_header(key))

    def change_product(self, product, changes, if_match=None):
        headers = {"If-Match": if_match} if if_match else {}
        return self._api.patch(f"/products/{product['id']}", json=changes, headers=headers)


def _key_header(key):
    return {"X-Idempotency-Key": key} if key else {}


@pytest.fixture
def desk(orders_api):  # noqa: F811
    return Desk(orders_api)


@pytest.fixture
def make_desk(make_orders_api):  # noqa: F811
    """`make_desk(settings=…)` returns a desk of an app of its own."""
    return lambda **collaborators: Desk(make_orders_api(**collaborators))


@pytest.fixture
def at_once(service_databases):
    """`at_once(functions)` runs them all at the same moment and returns their results in order."""

    def run_at_once(functions):
        barrier = threading.Barrier(len(functions))

        def run(function):
            # Connected before the barrier: a handshake takes longer than many a transaction, and
            # connections that open one after another would line the calls up.
            customers, orders = service_databases.values()
            customers.read(lambda _: orders.read(lambda _: barrier.wait(TIMEOUT)))
            return function()

        with ThreadPoolExecutor(len(functions)) as threads:
            return list(threads.map(run, functions, timeout=TIMEOUT))

    return run_at_once


@pytest.fixture
def start():
    """`start(function)` runs it in a thread; its `result(TIMEOUT)` waits for the end."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit


@pytest.fixture
def make_waiting_desk(make_desk, make_database, monkeypatch):  # noqa: F811
    """`make_waiting_desk(seconds)` returns a desk whose transactions wait for so long for a row's lock."""

    def make(seconds):
        monkeypatch.setattr(connection, "LOCK_WAIT_SECONDS", seconds)
        return make_desk(database=make_database())

    return make


class Ledger:
    """What is committed, by SQL."""

    def __init__(self, database):
        self._database = database

    def order(self, order):
        return self._rows("SELECT status, version FROM orders WHERE id = %s", order["id"])[0]

    def events(self, order):
        return self._column(
            "SELECT SUBSTRING(type, 7) FROM events WHERE subject_type = 'order' AND subject_id = %s ORDER BY id",
            order["id"],
        )

    def event_ids(self, after):
        """Return the ids of the events past a place in the feed, and of those that have none."""
        return self._column("SELECT id FROM events WHERE sequence > %s OR sequence IS NULL", after)

    def last_ids(self):
        """Return the ids of the newest order and the newest product."""
        return self._rows("SELECT (SELECT MAX(id) FROM orders), (SELECT MAX(id) FROM products)")[0]

    def violations(self, after=(None, None)):
        """Return (invariant, id) of what doesn't add up of all orders and products but those up to `after`."""
        order, product = (last or 0 for last in after)
        return [
            (name, row[0])
            for name, (_, statement) in INVARIANTS.items()
            for row in self._rows(
                f"SELECT id FROM ({statement}) AS broken WHERE id > %s", product if name == "stock" else order
            )
        ]

    def orders_of(self, customer):
        return self._column("SELECT id FROM orders WHERE customer_id = %s", customer["id"])

    def stock(self, product):
        return self._column("SELECT stock FROM products WHERE id = %s", product["id"])[0]

    def sold(self, product):
        """Return how many pieces the orders hold that are not canceled."""
        query = """
            SELECT CAST(COALESCE(SUM(i.qty), 0) AS SIGNED)
              FROM order_items AS i JOIN orders AS o ON o.id = i.order_id
             WHERE i.product_id = %s AND o.status <> 'CANCELED'
        """
        return self._column(query, product["id"])[0]

    def keys(self, key):
        """Return how many rows this key has, over all callers and operations."""
        return self._column("SELECT COUNT(*) FROM idempotency_keys WHERE idempotency_key = %s", key)[0]

    def customer(self, customer):
        """Return (name, email, phone, version), of a deleted customer too."""
        return self._rows("SELECT name, email, phone, version FROM customers WHERE id = %s", customer["id"])[0]

    def living(self, email):
        """Return how many customers have this email."""
        return self._column("SELECT COUNT(*) FROM customers WHERE living_email = %s", email)[0]

    def stale_entries(self, customer):
        """Return how many search entries a customer has of texts that are no longer its own."""
        query = """
            SELECT COUNT(*)
              FROM customer_search AS g JOIN customers AS c ON c.id = g.id
             WHERE c.id = %s AND LOCATE(CONCAT(c1, c2, c3), CONCAT_WS('|', c.name, c.email, c.phone)) = 0
        """
        return self._column(query, customer["id"])[0]

    def _column(self, query, *values):
        return [row[0] for row in self._rows(query, *values)]

    def _rows(self, query, *values):
        def select(cursor):
            cursor.execute(query, values)
            return [tuple(row.values()) for row in cursor.fetchall()]

        return self._database.read(select)


@pytest.fixture
def ledger(database):
    return Ledger(database)


@pytest.fixture(autouse=True)
def violations(ledger):
    """`violations()` returns what doesn't add up of what a test has made: nothing, at the end of each test.

    What tests elsewhere have broken on purpose is older.
    """
    before = ledger.last_ids()

    def find():
        return ledger.violations(after=before)

    yield find
    assert find() == []


class Outsider:
    """A second program in the same database: takes locks, and keeps them as long as a test wants."""

    def __init__(self, settings, service_settings):
        self._schema = settings.name
        self._holder = connect(settings, database=settings.name)
        # Sees what is not committed yet, and so how far another transaction is.
        read_uncommitted = "SET SESSION transaction_isolation = 'READ-UNCOMMITTED'"
        self._watcher = connect(settings, database=settings.name, autocommit=True, init_command=read_uncommitted)
        # MySQL shows an account what its own connections do.
        accounts = {account.user: account for account in service_settings.values()}
        self._colleagues = [connect(account, database=settings.name) for account in accounts.values()]

    def lock_product(self, product):
        """Lock a product's row until `release`, and change it in many small steps.

        The steps make this transaction the heavier one: InnoDB ends a deadlock by
        rolling back the one that has changed less.
        """
        with self._holder.cursor() as cursor:
            for _ in range(20):
                cursor.execute("UPDATE products SET version = version + 1 WHERE id = %s", (product["id"],))

    def lock_order(self, order):
        """Lock an order's row until `release`."""
        with self._holder.cursor(buffered=True) as cursor:
            cursor.execute("SELECT id FROM orders WHERE id = %s FOR UPDATE", (order["id"],))

    def sell_out(self, product):
        """Commit that nothing is left of a product, and let the locks go."""
        with self._holder.cursor(buffered=True, dictionary=True) as cursor:
            update_product(cursor, times.utc_now, product["id"], {"stock": 0}, None, ORIGIN)
        self._holder.commit()

    def change_with_event(self, product):
        """Change a product and write its event, and leave both uncommitted until `commit`."""
        with self._holder.cursor() as cursor:
            cursor.execute("UPDATE products SET version = version + 1 WHERE id = %s", (product["id"],))
            cursor.execute(
                """
                INSERT INTO events (type, subject_type, subject_id, subject_version, data,
                                    actor, request_id, created_at)
                VALUES ('product.updated', 'product', %s, 2, '{"sku": "S", "price_cents": 1, "active": true}',
                        'outsider', 'outsider', NOW(6))
                """,
                (product["id"],),
            )

    def number_events(self):
        """Give the events that are committed their numbers, and leave that uncommitted until `commit`."""
        with self._holder.cursor(buffered=True) as cursor:
            cursor.execute("SELECT last_sequence FROM event_sequence FOR UPDATE")
            (end,) = cursor.fetchone()
            cursor.execute("SELECT id FROM events WHERE sequence IS NULL ORDER BY id")
            for place, (event_id,) in enumerate(cursor.fetchall(), start=end + 1):
                cursor.execute("UPDATE events SET sequence = %s WHERE id = %s", (place, event_id))
                cursor.execute("UPDATE event_sequence SET last_sequence = %s", (place,))

    def delete_customer(self, customer):
        """Delete a customer, and keep its row locked until `commit`."""
        with self._holder.cursor() as cursor:
            cursor.execute("UPDATE customers SET deleted_at = NOW(6) WHERE id = %s", (customer["id"],))

    def commit(self):
        """Commit everything, and let the locks go."""
        self._holder.commit()

    def read_slots(self, lock):
        """Lock every slot of keys until `release`, `FOR UPDATE` or `FOR SHARE`."""
        with self._holder.cursor(buffered=True) as cursor:
            cursor.execute(f"SELECT slot FROM idempotency_slots {lock}")

    def answer_under(self, key, of):
        """Commit under `key` the answer that is kept under the key `of`, as the version before does; release all."""
        with self._holder.cursor() as cursor:
            cursor.execute(
                """
                REPLACE INTO idempotency_keys
                       (caller, operation, idempotency_key, fingerprint,
                        target_type, target_id, status, response_body, created_at, expires_at)
                SELECT caller, operation, %s, fingerprint,
                       target_type, target_id, status, response_body, created_at, expires_at
                  FROM idempotency_keys
                 WHERE idempotency_key = %s
                """,
                (key, of),
            )
        self._holder.commit()

    def release(self):
        """Undo everything, and let the locks go."""
        self._holder.rollback()

    def wait_for_key(self):
        """Wait until some transaction has claimed a key: it holds the key's slot, too."""
        query = (
            "SELECT COUNT(*) < (SELECT COUNT(*) FROM idempotency_slots) FROM idempotency_slots FOR UPDATE SKIP LOCKED"
        )
        self._wait_until(lambda: self._watch(query)[0][0])

    def wait_for_lock(self, product):
        """Wait until some transaction holds a product's row."""
        query = "SELECT 1 FROM products WHERE id = %s FOR UPDATE SKIP LOCKED"
        self._wait_until(lambda: not self._watch(query, product["id"]))

    def wait_for_waiting(self, count, statement=""):
        """Wait until this many connections to this schema wait for a lock, in a statement with that text."""
        self._wait_until(lambda: len(set.intersection(*(self._running(statement) for _ in range(10)))) >= count)

    def _running(self, statement):
        # What is seen ten times in a row waits: none of our statements takes as long as that, on a busy machine either.
        # Not information_schema.processlist: it breaks on the bytes of a fingerprint.
        show = "SHOW FULL PROCESSLIST"
        return {
            (row[0], row[7])
            for colleague in self._colleagues
            for row in self._ask(colleague, show)
            if row[3] == self._schema and row[7] not in (None, show) and statement in row[7]
        }

    def _watch(self, query, *values) -> list[Any]:
        return self._ask(self._watcher, query, *values)

    @staticmethod
    def _ask(connection, query, *values) -> list[Any]:
        with connection.cursor(buffered=True) as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()

    @staticmethod
    def _wait_until(condition):
        deadline = time.monotonic() + TIMEOUT
        while not condition():  # no pause is needed, each question being a round trip
            assert time.monotonic() < deadline, "what was waited for did not happen"

    def close(self):
        for client in (self._holder, self._watcher, *self._colleagues):
            client.close()


@pytest.fixture
def outsider(database_settings, service_settings):
    outsider = Outsider(database_settings, service_settings)
    yield outsider
    outsider.close()


@pytest.fixture
def retries():
    """`retries()` returns {errno: how many attempts of the test InnoDB ended by it}."""

    def counted():
        name = "b2b_transaction_retries_total"
        return {
            errno: metrics.COUNTED.get_sample_value(name, {"cause": cause}) or 0 for errno, cause in RETRIED.items()
        }

    before = counted()
    return lambda: {errno: count - before[errno] for errno, count in counted().items() if count > before[errno]}
