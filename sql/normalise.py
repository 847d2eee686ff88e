"""Brings stored texts to the form in which they are looked for (common/texts.py): `python -m sql.normalise`.

It adds the search entries that are missing, too. It may run beside the programs, again and again, and may be killed at
any point. What an order keeps of its customer and products stays as it was written. A changed customer or product has
an event of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mysql.connector import errors

from common import config, times
from common.auth import Origin
from common.connection import Cursor, Row
from common.database import ER_DUP_ENTRY, Database
from common.events import Event, record
from common.problems import Busy, DatabaseUnavailable
from common.search import SearchIndex
from common.texts import clean
from common.tracing import request_id
from customers.store import SEARCH as CUSTOMERS
from customers.workflows import change_events
from orders import product_workflows
from orders.product_store import SEARCH as PRODUCTS

BATCH = 100  # rows in a transaction: who changes one of them waits some 0.1 s

ER_BAD_NULL = 1048  # nothing is left of a text that is required
ER_DATA_TOO_LONG = 1406  # NFC makes two characters of some (U+0958), never of what was sent in NFC


@dataclass(frozen=True)
class Texts:
    """Columns of one table; all are names and conditions of ours, never a client's."""

    table: str
    columns: tuple[str, ...]
    condition: str  # of the rows
    holder: str  # condition of the row that has a unique text already
    search: SearchIndex | None = None
    # What is kept of a change, by the old and the new row, and what it needs to know beside the texts.
    events: Callable[[Row, Row], list[Event]] | None = None
    others: tuple[str, ...] = ()


ALL = (
    Texts(
        *(CUSTOMERS.table, CUSTOMERS.columns, "deleted_at IS NULL", "living_email = %(email)s", CUSTOMERS),
        events=change_events,
        others=("version",),
    ),
    Texts(
        *(PRODUCTS.table, PRODUCTS.columns, "TRUE", "sku = %(sku)s", PRODUCTS),
        events=product_workflows.change_events,
        others=("version", "stock", "price_cents", "active"),
    ),
    Texts(
        "orders",
        ("customer_reference",),
        "customer_reference IS NOT NULL",
        "living_reference = %(customer_reference)s"
        " AND customer_id = (SELECT customer_id FROM orders WHERE id = %(id)s)",
    ),
)


def normalise_batch(
    tx: Cursor, texts: Texts, after: int, origin: Origin, now: datetime
) -> tuple[list[Row], int, list[str]]:
    """Bring the next rows past the id `after` to one form; return them, how many changed, and why others can't be."""
    # Locks: the rows, by id.
    tx.execute(
        f"""
        SELECT id, {", ".join(texts.columns + texts.others)}
          FROM {texts.table}
         WHERE id > %s AND {texts.condition}
         ORDER BY id
         LIMIT %s
           FOR UPDATE
        """,
        (after, BATCH),
    )
    rows, changed, refusals, events = [], 0, [], []
    for old in tx.fetchall():
        row: Row = old | {column: clean(old[column] or "") or None for column in texts.columns}
        if row != old:
            if texts.events:
                row |= {"version": row["version"] + 1, "updated_at": now}
            refusal = _update(tx, texts, row)
            if refusal:
                refusals.append(f"{texts.table} {old['id']} stays as it is: {refusal}")
                row = old
            elif texts.search:
                texts.search.delete(tx, old)
            if row != old:
                changed += 1
                events += texts.events(old, row) if texts.events else []
        rows.append(row)
    if texts.search:
        texts.search.insert(tx, *rows)
    if events:
        record(tx, origin, now, events)
    return rows, changed, refusals


def _update(tx: Cursor, texts: Texts, row: Row) -> str | None:
    """Write the texts of a locked row; return why the database refuses them, or None."""
    # An order's version counts its events, and this is none of them.
    columns = texts.columns + (("version", "updated_at") if texts.events else ())
    assignments = ", ".join(f"{column} = %({column})s" for column in columns)
    try:
        tx.execute(f"UPDATE {texts.table} SET {assignments} WHERE id = %(id)s", row)
    except errors.Error as ex:
        if ex.errno in (ER_BAD_NULL, ER_DATA_TOO_LONG):
            return ex.msg
        if ex.errno != ER_DUP_ENTRY:
            raise
        tx.execute(f"SELECT id FROM {texts.table} WHERE {texts.holder}", row)
        return f"{texts.table} {', '.join(str(other['id']) for other in tx.fetchall())} has it already"
    return None


def normalise(database: Database, texts: Texts):
    """Bring all rows of a table to one form; print a line for each that can't be, and one for the table."""
    origin = Origin("system", request_id())
    after, total, total_changed = 0, 0, 0
    while True:
        rows, changed, refusals = database.transact(normalise_batch, texts, after, origin, times.utc_now())
        for refusal in refusals:
            print(refusal)
        if not rows:
            break
        after, total, total_changed = rows[-1]["id"], total + len(rows), total_changed + changed
    print(f"{texts.table}: {total} rows, {total_changed} changed", flush=True)


def main():
    """Bring the texts of the database that the environment names to one form."""
    with config.exit_on_error():
        database = Database(config.load_database_settings(config.read_environment()))
    try:
        for texts in ALL:
            normalise(database, texts)
    except (Busy, DatabaseUnavailable) as ex:
        raise SystemExit(
            "normalise: the database does not answer, or others keep its rows locked; run it again"
        ) from ex
    except errors.ProgrammingError as ex:
        raise SystemExit(f"normalise: {ex.msg}; run make migrate first") from ex


if __name__ == "__main__":
    main()
