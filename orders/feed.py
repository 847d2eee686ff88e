"""The feed: every event once, in one order, to its end and on from there.

Ids can't number it. AUTO_INCREMENT gives one at the INSERT, and the row becomes visible at the COMMIT: whoever reads on
from the largest id that it has seen loses the events of transactions that were open meanwhile. So a reader gives the
events that are committed and have none yet the next numbers, one reader at a time. Writers don't wait for it.
"""

import json
from dataclasses import dataclass

from mysql.connector import errors

from common.connection import Cursor, Row
from common.database import ER_LOCK_WAIT_TIMEOUT, Database, placeholders
from common.problems import EventsNotAdopted, InvalidRequest
from common.schemas import make_error

NUMBERED_AT_ONCE = 500  # as many as the longest page
# A reader waits so long for another that gives numbers, and then reads what has one.
NUMBERING_WAIT_MS = 500
# Rows that a page looks at for the types that are asked for: some 5 ms, also where they are all over the table.
LOOKED_AT = 2_500

ER_QUERY_TIMEOUT = 3024


@dataclass(frozen=True)
class Page:
    """Rows of the feed in its order, and where the next page begins."""

    rows: list[Row]
    next: int
    has_more: bool


def read_feed(
    database: Database,
    after: str,
    types: list[str],
    subject: tuple[str, int] | None,
    limit: int,
) -> Page:
    """Return the events past the number `after`, or past all for `latest`, of these types and of this subject.

    `types` may be empty, `subject` is a kind and an id. Raises `InvalidRequest` for an `after` beyond the end, and
    `EventsNotAdopted` while events of the version before are missing.
    """
    is_complete = not database.read(has_unnumbered) or database.transact(number)
    page = database.read(select_page, after, types, subject, limit)
    return page if is_complete else Page(page.rows, page.next, has_more=True)


def has_unnumbered(tx: Cursor) -> bool:
    """Return whether a committed event has no number yet."""
    tx.execute("SELECT 1 FROM events WHERE is_unsequenced = TRUE LIMIT 1")
    return bool(tx.fetchall())


def number(tx: Cursor, count: int = NUMBERED_AT_ONCE) -> bool:
    """Give up to `count` events their numbers; return whether all have theirs that were committed before.

    Not all have, if there are more, or if others are at it for longer than NUMBERING_WAIT_MS.
    Raises `EventsNotAdopted`.
    """
    # Locks: the one row of event_sequence, which no writer of events takes.
    try:
        end = lock_sequence(tx)
    except errors.Error as ex:
        if ex.errno not in (ER_QUERY_TIMEOUT, ER_LOCK_WAIT_TIMEOUT):
            raise
        return False
    if end["adopted_at"] is None:
        raise EventsNotAdopted()
    # A plain read, which waits for no writer. READ COMMITTED makes its snapshot here, after the lock: in one from
    # before, what another has numbered while this waited would have no number, and get a second one. A snapshot never
    # has an event without those of its subject that were committed before, and they have lower ids.
    tx.execute("SELECT id FROM events WHERE is_unsequenced = TRUE ORDER BY id LIMIT %s", (count,))
    ids = [row["id"] for row in tx.fetchall()]
    if ids:
        tx.execute(
            """
            UPDATE JSON_TABLE(%s, '$[*]' COLUMNS (place FOR ORDINALITY, id BIGINT UNSIGNED PATH '$')) AS numbered
              JOIN events USING (id)
               SET events.sequence = %s + place
            """,
            (json.dumps(ids), end["last_sequence"]),
        )
        tx.execute("UPDATE event_sequence SET last_sequence = last_sequence + %s", (len(ids),))
    return len(ids) < count


def lock_sequence(tx: Cursor) -> Row:
    """Return the row of event_sequence; holds it exclusively until the commit.

    Raises the driver's error if others have it for longer than NUMBERING_WAIT_MS.
    """
    tx.execute(
        f"""
        SELECT /*+ MAX_EXECUTION_TIME({NUMBERING_WAIT_MS}) */ last_sequence, adopted_at
          FROM event_sequence
           FOR UPDATE
        """
    )
    (row,) = tx.fetchall()
    return row


def select_page(tx: Cursor, after: str, types: list[str], subject: tuple[str, int] | None, limit: int) -> Page:
    """Return a page of what has a number; see `read_feed`."""
    # First of all: what has a number up to here is committed, and is seen by each later statement.
    tx.execute("SELECT last_sequence, adopted_at FROM event_sequence")
    (end,) = tx.fetchall()
    if end["adopted_at"] is None:
        raise EventsNotAdopted()
    last = end["last_sequence"]
    if after == "latest":
        return Page([], last, has_more=False)
    if int(after) > last:
        error = make_error("query:after", "maximum", f"must be at most {last}, the end of the feed, or latest")
        raise InvalidRequest(errors=[error])

    index, condition, values = "uq_events_sequence", "sequence > %s", [int(after)]
    if subject is not None:
        index, condition = "ix_events_subject_sequence", f"subject_type = %s AND subject_id = %s AND {condition}"
        values = [*subject, *values]
    until = last
    if types:
        # So that a page takes as long for a type that is rare.
        tx.execute(
            f"""
            SELECT sequence
              FROM events FORCE INDEX ({index})
             WHERE {condition}
             ORDER BY sequence
             LIMIT 1 OFFSET {LOOKED_AT - 1}
            """,
            values,
        )
        row = tx.fetchone()
        until = min(last, row["sequence"]) if row else last
        condition, values = f"type IN ({placeholders(types)}) AND {condition}", [*types, *values]
    tx.execute(
        f"""
        SELECT id, sequence, type, subject_type, subject_id, subject_version, order_id, stock_delta, data,
               actor, reason, request_id, created_at
          FROM events FORCE INDEX ({index})
         WHERE {condition} AND sequence <= %s
         ORDER BY sequence
         LIMIT %s
        """,
        (*values, until, limit),
    )
    rows = tx.fetchall()
    reached = rows[-1]["sequence"] if len(rows) == limit else until
    return Page(rows, reached, has_more=reached < last)
