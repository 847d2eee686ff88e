"""The rules of customers: each function is the body of one transaction."""

from contextlib import contextmanager
from datetime import datetime
from typing import Any

from mysql.connector import errors

from common import conditional, strict_json
from common.database import Cursor, Row, duplicate_index
from common.idempotency import Answer
from common.problems import CustomerNotFound, EmailTaken
from customers import store
from customers.representations import customer_to_json


def create_customer(tx: Cursor, customer: dict[str, Any], now: datetime) -> Answer:
    """Add a customer; raises `EmailTaken`."""
    # Locks: none but the new row.
    row = {
        "name": customer["name"],
        "email": customer["email"],
        "phone": customer.get("phone"),
        "created_at": now,
        "updated_at": now,
    }
    with _email_taken():
        row["id"] = store.insert_customer(tx, row)
    store.SEARCH.insert(tx, row)
    return Answer(201, strict_json.dumps(customer_to_json(row)), "customer", row["id"])


def get_customer(tx: Cursor, customer_id: int) -> Row:
    """Return a living customer's row; raises `CustomerNotFound`."""
    row = store.select_customer(tx, customer_id)
    if row is None:
        raise CustomerNotFound()
    return row


def update_customer(tx: Cursor, customer_id: int, changes: dict[str, Any], if_match: str | None, now: datetime) -> Row:
    """Replace the fields given and return the new row.

    Raises `CustomerNotFound`, `PreconditionFailed`, `EmailTaken`.
    """
    # Locks: customer.
    old = _lock_living(tx, customer_id, if_match)
    row = {**old, **changes, "updated_at": now, "version": old["version"] + 1}
    with _email_taken():
        store.update_customer(tx, row)
    store.SEARCH.update(tx, old, row)
    return row


def delete_customer(tx: Cursor, customer_id: int, if_match: str | None, now: datetime):
    """Hide a customer and free its email; raises `CustomerNotFound`, `PreconditionFailed`."""
    # Locks: customer.
    row = _lock_living(tx, customer_id, if_match)
    store.update_customer_deleted(tx, customer_id, now)
    store.SEARCH.delete(tx, row)


def _lock_living(tx: Cursor, customer_id: int, if_match: str | None) -> Row:
    row = store.lock_customer(tx, customer_id)
    if row is None:
        raise CustomerNotFound()
    conditional.require_match(if_match, conditional.entity_tag(row["version"]))
    return row


@contextmanager
def _email_taken():
    try:
        yield
    except errors.IntegrityError as ex:
        if duplicate_index(ex) == "uq_customers_email":
            raise EmailTaken() from ex
        raise
