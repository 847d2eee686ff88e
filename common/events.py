"""The record of what happened: every change of an order, a product or a customer, in the change's own transaction."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from common import strict_json
from common.auth import Origin
from common.connection import Cursor, Row

_COLUMNS = (
    "type",
    "subject_type",
    "subject_id",
    "subject_version",
    "order_id",
    "stock_delta",
    "data",
    "actor",
    "reason",
    "request_id",
    "created_at",
)
_PLACES = f"({', '.join(['%s'] * len(_COLUMNS))})"


@dataclass(frozen=True)
class Event:
    """What happened to one row: an order, a product or a customer. The schema of each type is in the contract."""

    type: str  # the kind of its subject, and what happened to it: order.created
    subject_id: int
    version: int  # the row's, after the change
    data: dict[str, Any] | None = None
    reason: str | None = None  # in words for people
    order_id: int | None = None  # of a movement of stock: the order that moved it
    stock_delta: int | None = None  # of a movement of stock: pieces

    @property
    def subject_type(self) -> str:
        """The kind of its subject: order, product or customer."""
        return self.type.partition(".")[0]


def record(tx: Cursor, origin: Origin, now: datetime, events: Iterable[Event]):
    """Write down what a transaction has changed, in one statement; `tx` is the change's own and locks the subjects."""
    rows = [
        (
            event.type,
            event.subject_type,
            event.subject_id,
            event.version,
            event.order_id,
            event.stock_delta,
            None if event.data is None else strict_json.dumps(event.data).decode(),
            origin.actor,
            event.reason,
            origin.request_id,
            now,
        )
        for event in events
    ]
    tx.execute(
        f"INSERT INTO events ({', '.join(_COLUMNS)}) VALUES {', '.join([_PLACES] * len(rows))}",
        [value for row in rows for value in row],
    )


def select_history(
    tx: Cursor, subject_type: str, subject_id: int, after: tuple[int, ...] | None, count: int
) -> list[Row]:
    """Return up to `count` events of one row, oldest first, past the position `after`, (id,) or None."""
    # Whoever changes the row holds its lock, so that its events have ids in the order of their commits. The index is
    # named: the optimizer may otherwise walk the others' events in id order.
    tx.execute(
        """
        SELECT id, type, order_id, stock_delta, data, actor, reason, request_id, created_at
          FROM events FORCE INDEX (ix_events_subject)
         WHERE subject_type = %s AND subject_id = %s AND id > %s
         ORDER BY id
         LIMIT %s
        """,
        (subject_type, subject_id, after[0] if after else 0, count),
    )
    return tx.fetchall()


def data_of(row: Row) -> dict[str, Any]:
    """Return what the column `data` of an event's row holds."""
    return json.loads(row["data"]) if row["data"] else {}


def name_of(row: Row) -> str:
    """Return what happened, without the kind of the subject: created."""
    return row["type"].partition(".")[2]
