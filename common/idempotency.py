"""Idempotency keys: one key guards one effect, whatever fails in between.

The contract (after the IETF draft "The Idempotency-Key HTTP Header Field"):
- a key belongs to its caller and its operation;
- the key's row and the change commit in one transaction, so neither is there alone;
- a success is stored and replayed byte for byte; a refusal leaves no trace of its key;
- the same key with another method, path or body is refused;
- while the first request runs, the second waits for it;
- a key older than KEY_LIFETIME is as if never seen.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mysql.connector import errors

from common import strict_json
from common.database import ER_LOCK_WAIT_TIMEOUT, Args, Cursor, Row
from common.problems import IdempotencyKeyInFlight, IdempotencyKeyReused

KEY_LIFETIME = timedelta(hours=24)  # spec; the purge job deletes what is older

# Rows of the table idempotency_slots. Two keys that are in use at once share one, and then
# wait for each other some milliseconds, once in a thousand times.
SLOTS = 1000


@dataclass(frozen=True)
class Key:
    """A key as one request sent it; the first three fields are its identity."""

    caller: str
    operation: str
    key: str
    fingerprint: bytes  # of method, path and body


@dataclass(frozen=True)
class Answer:
    """What a workflow answers; rendered before the commit, stored under the key."""

    status: int
    body: bytes
    target_type: str  # what the change was made to: order, customer, product
    target_id: int
    replayed: bool = False


def fingerprint(method: str, path: str, body: Any) -> bytes:
    """Return 32 bytes that differ when the request differs in meaning (not in white space)."""
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), strict_json.canonical(body)))).digest()


def run_once(
    tx: Cursor, key: Key | None, now: datetime, work: Callable[[Cursor, *Args], Answer], *args: *Args
) -> Answer:
    """Run `work(tx, *args)` and keep its `Answer` under `key`, or replay the kept one.

    Without a key it just runs. Locks the key's slot and row first, before anything else in
    the transaction. Raises `IdempotencyKeyReused`, and `IdempotencyKeyInFlight` when the
    first request with this key takes longer than a lock wait.
    """
    if key is None:
        return work(tx, *args)
    row = _lock_key(tx, key)
    if row is not None:
        replay = _replay(row, key, now)
        if replay is not None:
            return replay
        _delete_expired_key(tx, key)
    answer = work(tx, *args)
    _insert_answer(tx, key, now, answer)
    return answer


def find_replay(tx: Cursor, key: Key, now: datetime) -> Answer | None:
    """Return the kept `Answer` of `key`, or None, by a plain read that waits for nobody."""
    tx.execute(
        """
        SELECT fingerprint, target_type, target_id, status, response_body, expires_at
          FROM idempotency_keys
         WHERE caller = %s AND operation = %s AND idempotency_key = %s
        """,
        (key.caller, key.operation, key.key),
    )
    row = tx.fetchone()
    return None if row is None else _replay(row, key, now)


def _lock_key(tx: Cursor, key: Key) -> Row | None:
    """Return the key's row or None; until the commit nobody else gets as far with this key."""
    # Equal keys queue at their slot, whose row never changes. A row of the key's own would be
    # rolled back with a refusal, and its waiters then deadlock at the gap where it was. The
    # outer join reads the slot first, and so the key when the queue is over.
    identity = f"{key.caller}\n{key.operation}\n{key.key}".encode()
    slot = int.from_bytes(hashlib.sha256(identity).digest()[:8]) % SLOTS
    try:
        tx.execute(
            """
            SELECT k.fingerprint, k.target_type, k.target_id, k.status, k.response_body, k.expires_at
              FROM idempotency_slots AS s
              LEFT JOIN idempotency_keys AS k
                ON k.caller = %s AND k.operation = %s AND k.idempotency_key = %s
             WHERE s.slot = %s
               FOR UPDATE
            """,
            (key.caller, key.operation, key.key, slot),
        )
    except errors.Error as ex:
        if ex.errno == ER_LOCK_WAIT_TIMEOUT:
            raise IdempotencyKeyInFlight() from ex
        raise
    (row,) = tx.fetchall()
    return row if row["expires_at"] else None


def _replay(row: Row, key: Key, now: datetime) -> Answer | None:
    if row["expires_at"] <= now:
        return None
    if bytes(row["fingerprint"]) != key.fingerprint:
        raise IdempotencyKeyReused()
    return Answer(row["status"], bytes(row["response_body"]), row["target_type"], row["target_id"], replayed=True)


def _delete_expired_key(tx: Cursor, key: Key):
    tx.execute(
        """
        DELETE FROM idempotency_keys
         WHERE caller = %s AND operation = %s AND idempotency_key = %s
        """,
        (key.caller, key.operation, key.key),
    )


def _insert_answer(tx: Cursor, key: Key, now: datetime, answer: Answer):
    tx.execute(
        """
        INSERT INTO idempotency_keys
               (caller, operation, idempotency_key, fingerprint,
                target_type, target_id, status, response_body, created_at, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            key.caller,
            key.operation,
            key.key,
            key.fingerprint,
            answer.target_type,
            answer.target_id,
            answer.status,
            answer.body,
            now,
            now + KEY_LIFETIME,
        ),
    )
