"""SQL of the table login_failures: log-ins that were not right, counted in windows of WINDOW."""

import hashlib
from datetime import datetime, timedelta

from common.connection import Cursor, Row

WINDOW = timedelta(minutes=5)  # from the first failure; then the count starts anew
KNOWN_FOR = timedelta(days=30)  # since the last right log-in
KEPT_FOR = timedelta(days=1)  # all else, for whoever looks into an attack

_ROWS = " OR ".join(f"(kind = '{kind}' AND bucket = %({kind})s)" for kind in ("address", "name", "pair"))


def buckets(name: str, address: str) -> dict[str, bytes]:
    """Return kind -> bucket of all that a log-in counts under; `name` in lower case."""
    texts = {"address": address, "known": f"{name}\n{address}", "name": name, "pair": f"{name}\n{address}"}
    return {kind: hashlib.sha256(text.encode()).digest() for kind, text in texts.items()}


def select_counts(tx: Cursor, of: dict[str, bytes], now: datetime) -> dict[str, Row]:
    """Return kind -> row of those whose window hasn't ended, and `known` if there is one."""
    tx.execute(
        f"""
        SELECT kind, failures, started_at
          FROM login_failures
         WHERE (started_at > %(since)s AND ({_ROWS})) OR (kind = 'known' AND bucket = %(known)s)
        """,
        {**of, "since": now - WINDOW},
    )
    return {row["kind"]: row for row in tx.fetchall()}


def count_attempt(tx: Cursor, of: dict[str, bytes], now: datetime):
    """Add 1 for the address, the name and the pair.

    Holds the rows until the commit. They are written in the order of their kinds, so that two log-ins never deadlock.
    """
    # `failures` before `started_at`: MySQL evaluates from left to right, and the other order would never start anew.
    tx.execute(
        """
        INSERT INTO login_failures (kind, bucket, failures, started_at)
        VALUES ('address', %(address)s, 1, %(now)s), ('name', %(name)s, 1, %(now)s), ('pair', %(pair)s, 1, %(now)s)
            AS new
        ON DUPLICATE KEY UPDATE
            failures = IF(login_failures.started_at > %(since)s, login_failures.failures + 1, 1),
            started_at = IF(login_failures.started_at > %(since)s, login_failures.started_at, new.started_at)
        """,
        {**of, "now": now, "since": now - WINDOW},
    )


def take_back(tx: Cursor, of: dict[str, bytes], now: datetime):
    """Count a right log-in as none: the pair starts at 0 again, and the address is known for the name."""
    # Nothing is taken off 0, which MySQL would refuse for an unsigned number.
    tx.execute(
        f"""
        UPDATE login_failures
           SET failures = IF(kind = 'pair', 0, failures - 1)
         WHERE failures > 0 AND ({_ROWS})
        """,
        of,
    )
    tx.execute(
        """
        INSERT INTO login_failures (kind, bucket, failures, started_at)
        VALUES ('known', %(known)s, 0, %(now)s) AS new
        ON DUPLICATE KEY UPDATE started_at = new.started_at
        """,
        {**of, "now": now},
    )


def delete_old(tx: Cursor, now: datetime, count: int) -> int:
    """Delete up to `count` rows that count for nothing any more; return how many."""
    tx.execute(
        """
        DELETE FROM login_failures
         WHERE started_at <= %s AND (kind <> 'known' OR started_at <= %s)
         ORDER BY started_at
         LIMIT %s
        """,
        (now - KEPT_FOR, now - KNOWN_FOR, count),
    )
    return tx.rowcount
