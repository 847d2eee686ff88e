"""Brings what is older than the table events into it: `python -m sql.adopt`, once the version before runs nowhere.

Until then the feed has no page (orders/feed.py). The history of orders comes from order_events. Stock gets a movement
for each line of an order that should have one, and then an opening: what is missing to the stock of now. It may run
beside this version, and may be killed at any point and run again. Once it is done it does nothing more. A database that
was empty when the table was made needs none of it.
"""

from collections.abc import Callable
from datetime import datetime

from mysql.connector import errors

from common import config, times
from common.connection import Cursor
from common.database import Database, placeholders
from common.problems import Busy, DatabaseUnavailable
from orders import feed, product_store

ROWS = 9_900  # in a transaction, and the rest of an order: Group Replication takes 150 MB at most
PRODUCTS = 100  # in a transaction: whoever orders one of them waits meanwhile

# What is adopted has ids before those of the migration, which begin with FIRST_EVENT: the history of orders keeps its
# own, an opening's is made of the product's, a line's of the order's and its place in it. So none is written twice.
FIRST_OPENING = 100_000_000_000
FIRST_LINE = 200_000_000_000
FIRST_EVENT = 1_000_000_000_000
PLACES = 128  # for an order's lines, which are 100 at most

# The row of event_sequence: a second run waits here, and no writer of events.
_LOCK = "SELECT one FROM event_sequence FOR UPDATE"

Step = tuple[int | None, int]  # the id to go on after, None at the end; the events written


def adopt_history(tx: Cursor, after: int) -> Step:
    """Copy what is missing of the next rows of order_events."""
    # Locks: the row of event_sequence.
    tx.execute(_LOCK)
    last = _last_of(tx, "SELECT id FROM order_events WHERE id > %s ORDER BY id LIMIT %s", after)
    tx.execute(
        """
        INSERT INTO events (id, type, subject_type, subject_id, subject_version, data,
                            actor, reason, request_id, created_at)
        SELECT old.id, CONCAT('order.', old.type), 'order', o.id,
               CASE old.type WHEN 'created' THEN 1 WHEN 'confirmed' THEN 2 ELSE 2 + (o.confirmed_at IS NOT NULL) END,
               JSON_OBJECT('status', UPPER(old.type), 'total_cents', o.total_cents, 'customer_id', o.customer_id,
                           'customer_reference', o.customer_reference),
               old.actor, old.reason, old.request_id, old.created_at
          FROM order_events AS old
          JOIN orders AS o ON o.id = old.order_id
         WHERE old.id > %s AND old.id <= %s AND NOT EXISTS (SELECT 1 FROM events WHERE events.id = old.id)
        """,
        (after, last),
    )
    return last, tx.rowcount


def adopt_lines(tx: Cursor, after: int) -> Step:
    """Write what is missing of the movements by the lines of the next orders, taken or given back.

    A version that writes events writes the order's and its movements in one transaction: the first tells of the others.
    """
    # The index is named: of a table that is new, the optimizer believes for a minute that it is empty.
    # Locks: the row of event_sequence. None of the orders: a cancellation by this version adds what it gives back, and
    # what is missing here stays the same.
    tx.execute(_LOCK)
    last = _last_of(tx, "SELECT order_id AS id FROM order_items WHERE order_id > %s ORDER BY order_id LIMIT %s", after)
    tx.execute(
        f"""
        INSERT INTO events (id, type, subject_type, subject_id, subject_version, order_id, stock_delta, data,
                            actor, request_id, created_at)
        SELECT id, 'product.stock_changed', 'product', product_id, 1, order_id, qty * (held - moved),
               JSON_OBJECT('cause', IF(held < moved, 'order', 'cancel'), 'stock', NULL), 'system', 'adopted',
               IF(held < moved, created_at, canceled_at)
          FROM (SELECT {FIRST_LINE} + {PLACES} * i.order_id + i.line_no AS id, i.product_id, i.order_id, i.qty,
                       o.created_at, o.canceled_at,
                       IF(o.status = 'CANCELED', 0, -1) AS held,
                       (SELECT COALESCE(SUM(CASE type WHEN 'order.created' THEN -1 WHEN 'order.canceled' THEN 1 END), 0)
                          FROM events FORCE INDEX (ix_events_subject)
                         WHERE subject_type = 'order' AND subject_id = o.id AND id >= {FIRST_EVENT}) AS moved
                  FROM order_items AS i
                  JOIN orders AS o ON o.id = i.order_id
                 WHERE i.order_id > %s AND i.order_id <= %s) AS line
         WHERE held <> moved AND NOT EXISTS (SELECT 1 FROM events WHERE events.id = line.id)
        """,
        (after, last),
    )
    return last, tx.rowcount


def adopt_openings(tx: Cursor, after: int) -> Step:
    """Write what is missing to the stock of the next products."""
    # Locks: the row of event_sequence; the products, by id, so that stock and movements belong together.
    tx.execute(_LOCK)
    tx.execute("SELECT id FROM products WHERE id > %s ORDER BY id LIMIT %s", (after, PRODUCTS))
    ids = [row["id"] for row in tx.fetchall()]
    if not ids:
        return None, 0
    product_store.lock_products(tx, ids)
    tx.execute(
        f"""
        INSERT INTO events (id, type, subject_type, subject_id, subject_version, stock_delta, data,
                            actor, request_id, created_at)
        SELECT IF(EXISTS (SELECT 1 FROM events WHERE id = {FIRST_OPENING} + p.id), NULL, {FIRST_OPENING} + p.id),
               'product.stock_changed', 'product', p.id, 1, p.stock - COALESCE(moved, 0),
               JSON_OBJECT('cause', 'opening', 'stock', NULL), 'system', 'adopted', p.created_at
          FROM products AS p
          LEFT JOIN (SELECT subject_id, SUM(stock_delta) AS moved
                       FROM events
                      WHERE subject_type = 'product' AND subject_id IN ({placeholders(ids)})
                      GROUP BY subject_id) AS movements ON subject_id = p.id
         WHERE p.id IN ({placeholders(ids)}) AND p.stock <> COALESCE(moved, 0)
        """,
        (*ids, *ids),
    )
    return ids[-1], tx.rowcount


def finish(tx: Cursor, now: datetime):
    """Open the feed."""
    tx.execute("UPDATE event_sequence SET adopted_at = %s WHERE adopted_at IS NULL", (now,))


def _is_done(tx: Cursor) -> bool:
    tx.execute("SELECT adopted_at IS NOT NULL AS is_done FROM event_sequence")
    (row,) = tx.fetchall()
    return bool(row["is_done"])


def _last_of(tx: Cursor, statement: str, after: int) -> int | None:
    tx.execute(f"SELECT MAX(id) AS last FROM ({statement}) AS batch", (after, ROWS))
    (batch,) = tx.fetchall()
    return batch["last"]


def _run(database: Database, what: str, step: Callable[[Cursor, int], Step]):
    """Take a step after the other to the end; print how many events it wrote."""
    after, total = 0, 0
    while after is not None:
        after, written = database.transact(step, after)
        total += written
    print(f"{what}: {total} events", flush=True)


def adopt(database: Database):
    """Take all steps, unless that was done, and give the events their places in the feed."""
    if database.read(_is_done):
        print("Nothing to adopt.")
    else:
        _run(database, "history of orders", adopt_history)
        _run(database, "lines of orders", adopt_lines)
        _run(database, "openings of products", adopt_openings)
        database.transact(finish, times.utc_now())
    while not database.transact(feed.number, ROWS):
        pass


def main():
    """Adopt what the database has that the environment names."""
    with config.exit_on_error():
        database = Database(config.load_database_settings(config.read_environment()))
    try:
        adopt(database)
    except (Busy, DatabaseUnavailable) as ex:
        raise SystemExit("adopt: the database does not answer, or others keep its rows locked; run it again") from ex
    except errors.ProgrammingError as ex:
        raise SystemExit(f"adopt: {ex.msg}; run make migrate first") from ex


if __name__ == "__main__":
    main()
