"""SQL of the tables orders and order_items, and of an order's events."""

from datetime import datetime
from typing import Any

from common.connection import Cursor, Row
from common.database import placeholders, unique
from common.problems import CustomerNotFound, DuplicateReference, Problem

_ORDER_COLUMNS = """
    id, customer_id, customer_name, customer_email, customer_phone, customer_reference,
    status, total_cents, version, created_at, confirmed_at, canceled_at, expires_at
"""

# An order with its lines, in the order in which they were sent: a row for each line, with the order's
# columns in each. It has at least one, by the contract. None of the two tables' columns share a name.
_ORDER_AND_ITEMS = f"""
    SELECT {_ORDER_COLUMNS}, product_id, sku, name, qty, unit_price_cents, subtotal_cents
      FROM orders AS o
      JOIN order_items AS i ON i.order_id = o.id
     WHERE o.id = %s
     ORDER BY i.line_no
"""

# filter -> its condition; a list's WHERE clause is made of these and nothing else.
_ORDER_FILTERS = {
    "status": "status = %s",
    "customer_id": "customer_id = %s",
    "customer_reference": "customer_reference = %s",
    "from": "created_at >= %s",
    "to": "created_at < %s",
}

# filters -> the index that has just these rows, in the list's order. None has both reference and status: at most
# one of a customer's orders with a reference is not canceled.
_ORDER_INDEXES: dict[tuple[str, ...], str] = {
    (): "ix_orders_created",
    ("status",): "ix_orders_status_created",
    ("customer_id",): "ix_orders_customer_created",
    ("customer_id", "status"): "ix_orders_customer_status_created",
    ("customer_reference",): "ix_orders_reference_created",
    ("customer_reference", "status"): "ix_orders_reference_created",
    ("customer_reference", "customer_id"): "ix_orders_reference_customer_created",
    ("customer_reference", "customer_id", "status"): "ix_orders_reference_customer_created",
}


def insert_order(tx: Cursor, row: Row) -> int:
    """Insert an order and return its id; raises `DuplicateReference`, `CustomerNotFound`.

    The customer's row is held shared until the commit: a delete before it is seen, one after it waits.
    """
    with unique("uq_orders_reference", lambda: _duplicate_reference(tx, row)):
        # The foreign key takes the same lock, but looks at no deleted_at.
        tx.execute(
            """
            INSERT INTO orders
                   (customer_id, customer_name, customer_email, customer_phone, customer_reference,
                    status, total_cents, version, created_at, expires_at)
            SELECT id, %(customer_name)s, %(customer_email)s, %(customer_phone)s, %(customer_reference)s,
                   %(status)s, %(total_cents)s, %(version)s, %(created_at)s, %(expires_at)s
              FROM customers
             WHERE id = %(customer_id)s AND deleted_at IS NULL
               FOR SHARE
            """,
            row,
        )
    if not tx.lastrowid:
        raise CustomerNotFound()
    return tx.lastrowid


def _duplicate_reference(tx: Cursor, row: Row) -> Problem:
    tx.execute(
        """
        SELECT id
          FROM orders
         WHERE living_reference = %(customer_reference)s AND customer_id = %(customer_id)s
        """,
        row,
    )
    return DuplicateReference(order_id=tx.fetchall()[0]["id"])


def select_order(tx: Cursor, order_id: int) -> list[Row]:
    """Return the order's lines, each with the order's own columns; none if there is no such order."""
    tx.execute(_ORDER_AND_ITEMS, (order_id,))
    return tx.fetchall()


def lock_order(tx: Cursor, order_id: int) -> list[Row]:
    """Return the same as `select_order`; holds the order's row exclusively until the commit."""
    tx.execute(f"{_ORDER_AND_ITEMS} FOR UPDATE OF o", (order_id,))
    return tx.fetchall()


def lock_overdue(tx: Cursor, now: datetime, passed_over: list[int]) -> int | None:
    """Return the id of the unconfirmed order that is overdue for longest, but for those `passed_over`, or None.

    Holds its row exclusively until the commit; what somebody else has locked is passed over, too.
    """
    others = f"AND id NOT IN ({placeholders(passed_over)})" if passed_over else ""
    # The index gives the order: with a sort, all that are overdue would be locked.
    tx.execute(
        f"""
        SELECT id
          FROM orders FORCE INDEX (ix_orders_expiry)
         WHERE status = 'CREATED' AND expires_at <= %s {others}
         ORDER BY expires_at
         LIMIT 1
           FOR UPDATE SKIP LOCKED
        """,
        (now, *passed_over),
    )
    row = tx.fetchone()
    return row["id"] if row else None


def select_orders(tx: Cursor, filters: dict[str, Any], before: tuple[datetime, int] | None, count: int) -> list[Row]:
    """Return up to `count` rows, newest first, past the position `before`.

    `filters` maps names of _ORDER_FILTERS to values. `before` is (created_at, id) or None.
    """
    # The index is named: the optimizer assumes that matching rows are spread evenly over time, and would
    # search all orders for the newest of a status or customer.
    index = _ORDER_INDEXES[tuple(name for name in ("customer_reference", "customer_id", "status") if name in filters)]
    conditions = [_ORDER_FILTERS[name] for name in filters]
    values = list(filters.values())
    if before is not None:
        # Not (created_at, id) < (…): MySQL makes no index range of a row comparison.
        conditions.append("created_at <= %s AND (created_at < %s OR id < %s)")
        values += [before[0], before[0], before[1]]
    tx.execute(
        f"""
        SELECT {_ORDER_COLUMNS}
          FROM orders FORCE INDEX ({index})
         WHERE {" AND ".join(conditions) or "TRUE"}
         ORDER BY created_at DESC, id DESC
         LIMIT %s
        """,
        (*values, count),
    )
    return tx.fetchall()


def update_order_status(tx: Cursor, row: Row):
    """Write what a transition changes in a locked row."""
    tx.execute(
        """
        UPDATE orders
           SET status = %(status)s, confirmed_at = %(confirmed_at)s, canceled_at = %(canceled_at)s,
               version = %(version)s
         WHERE id = %(id)s
        """,
        row,
    )


def insert_order_items(tx: Cursor, order_id: int, items: list[Row]):
    """Insert all lines of an order in one statement."""
    columns = ("product_id", "sku", "name", "qty", "unit_price_cents", "subtotal_cents")
    tx.execute(
        f"""
        INSERT INTO order_items (order_id, line_no, {", ".join(columns)})
        VALUES {", ".join(["(%s, %s, %s, %s, %s, %s, %s, %s)"] * len(items))}
        """,
        [
            value
            for line_no, item in enumerate(items, start=1)
            for value in (order_id, line_no, *(item[column] for column in columns))
        ],
    )


def select_order_events(tx: Cursor, order_id: int) -> list[Row]:
    """Return an order's events, three at most, as they came to pass."""
    # What the version before has written is in order_events until `make adopt` has run, with the id that it keeps.
    tx.execute(
        """
        SELECT id, SUBSTRING_INDEX(type, '.', -1) AS type, actor, reason, request_id, created_at, subject_version
          FROM events FORCE INDEX (ix_events_subject)
         WHERE subject_type = 'order' AND subject_id = %s
         UNION ALL
        SELECT id, type, actor, reason, request_id, created_at, FIELD(type, 'created', 'confirmed', 'canceled')
          FROM order_events AS old FORCE INDEX (ix_order_events_order)
         WHERE order_id = %s AND NOT EXISTS (SELECT 1 FROM events WHERE events.id = old.id)
         ORDER BY subject_version
        """,
        (order_id, order_id),
    )
    return tx.fetchall()
