"""The rules of customers: each function is the body of one transaction."""

from typing import Any

from common import conditional, strict_json
from common.connection import Cursor, Row
from common.idempotency import Answer
from common.problems import CustomerNotFound
from common.times import Clock
from customers import store
from customers.representations import customer_to_json


def create_customer(tx: Cursor, clock: Clock, customer: dict[str, Any]) -> Answer:
    """Add a customer; raises `EmailTaken`."""
    # Locks: none but the new row.
    now = clock()
    row = {
        "name": customer["name"],
        "email": customer["email"],
        "phone": customer.get("phone"),
        "created_at": now,
        "updated_at": now,
    }
    row["id"] = store.insert_customer(tx, row)
    store.SEARCH.insert(tx, row)
    return Answer(201, strict_json.dumps(customer_to_json(row)), "customer", row["id"])


def get_customer(tx: Cursor, customer_id: int) -> Row:
    """Return a living customer's row; raises `CustomerNotFound`."""
    row = store.select_customer(tx, customer_id)
    if row is None:
        raise CustomerNotFound()
    return row


def update_customer(
    tx: Cursor, clock: Clock, customer_id: int, changes: dict[str, Any], if_match: str | None
) -> Answer:
    """Replace the fields given.

    Raises `CustomerNotFound`, `PreconditionFailed`, `EmailTaken`.
    """
    # Locks: (idempotency key,) customer.
    old = _lock_living(tx, customer_id, if_match)
    row: Row = {**old, **changes, "updated_at": clock(), "version": old["version"] + 1}
    store.update_customer(tx, row)
    store.SEARCH.update(tx, old, row)
    etag = conditional.entity_tag(row["version"])
    return Answer(200, strict_json.dumps(customer_to_json(row)), "customer", customer_id, etag)


def delete_customer(tx: Cursor, clock: Clock, customer_id: int, if_match: str | None):
    """Hide a customer and free its email; raises `CustomerNotFound`, `PreconditionFailed`."""
    # Locks: customer.
    row = _lock_living(tx, customer_id, if_match)
    store.update_customer_deleted(tx, customer_id, clock())
    store.SEARCH.delete(tx, row)


def _lock_living(tx: Cursor, customer_id: int, if_match: str | None) -> Row:
    row = store.lock_customer(tx, customer_id)
    if row is None:
        raise CustomerNotFound()
    conditional.require_match(if_match, conditional.entity_tag(row["version"]))
    return row
