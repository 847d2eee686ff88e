"""The rules of customers: each function is the body of one transaction."""

from typing import Any

from common import conditional, strict_json
from common.auth import Origin
from common.connection import Cursor, Row
from common.events import Event, record, select_history
from common.idempotency import Answer
from common.problems import CustomerNotFound
from common.times import Clock
from customers import store
from customers.representations import customer_to_json


def create_customer(tx: Cursor, clock: Clock, customer: dict[str, Any], origin: Origin) -> Answer:
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
    record(tx, origin, now, [Event("customer.created", row["id"], 1)])
    return Answer(201, strict_json.dumps(customer_to_json(row)), "customer", row["id"])


def get_customer(tx: Cursor, customer_id: int) -> Row:
    """Return a living customer's row; raises `CustomerNotFound`."""
    row = store.select_customer(tx, customer_id)
    if row is None:
        raise CustomerNotFound()
    return row


def update_customer(
    tx: Cursor, clock: Clock, customer_id: int, changes: dict[str, Any], if_match: str | None, origin: Origin
) -> Answer:
    """Replace the fields given.

    Raises `CustomerNotFound`, `PreconditionFailed`, `EmailTaken`.
    """
    # Locks: (idempotency key,) customer.
    old = _lock_living(tx, customer_id, if_match)
    row: Row = {**old, **changes, "updated_at": clock(), "version": old["version"] + 1}
    store.update_customer(tx, row)
    store.SEARCH.update(tx, old, row)
    record(tx, origin, row["updated_at"], change_events(old, row))
    etag = conditional.entity_tag(row["version"])
    return Answer(200, strict_json.dumps(customer_to_json(row)), "customer", customer_id, etag)


def delete_customer(tx: Cursor, clock: Clock, customer_id: int, if_match: str | None, origin: Origin):
    """Hide a customer and free its email; raises `CustomerNotFound`, `PreconditionFailed`."""
    # Locks: customer.
    row = _lock_living(tx, customer_id, if_match)
    now = clock()
    store.update_customer_deleted(tx, customer_id, now)
    store.SEARCH.delete(tx, row)
    record(tx, origin, now, [Event("customer.deleted", customer_id, row["version"] + 1)])


def get_customer_events(tx: Cursor, customer_id: int, after: tuple[int, ...] | None, count: int) -> list[Row]:
    """Return up to `count` event rows past the position `after`, (id,) or None; of a deleted customer too.

    Raises `CustomerNotFound`.
    """
    events = select_history(tx, "customer", customer_id, after, count)
    if not events and not store.is_known(tx, customer_id):  # one from before there were events may have none
        raise CustomerNotFound()
    return events


def change_events(old: Row, row: Row) -> list[Event]:
    """Return the event of a change."""
    changed = [name for name in ("name", "email", "phone") if row[name] != old[name]]
    return [Event("customer.updated", row["id"], row["version"], {"changed": changed})]


def _lock_living(tx: Cursor, customer_id: int, if_match: str | None) -> Row:
    row = store.lock_customer(tx, customer_id)
    if row is None:
        raise CustomerNotFound()
    conditional.require_match(if_match, conditional.entity_tag(row["version"]))
    return row
