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
    replay = _claim_key(tx, key, now)
    if replay is not None:
        return replay
    answer = work(tx, *args)
    _update_answer(tx, key, answer)
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


def _claim_key(tx: Cursor, key: Key, now: datetime) -> Answer | None:
    """Own the key's row until the commit; return the answer to replay, or None to work."""
    try:
        # Equal keys queue here and not at the key's own row: a refusal rolls that row back,
        # its waiters then all hold the gap where it was, and each insert into it deadlocks.
        _lock_slot(tx, key)
        tx.execute(
            """
            INSERT INTO idempotency_keys
                   (caller, operation, idempotency_key, fingerprint, created_at, expires_at)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON DUPLICATE KEY UPDATE caller = caller
            """,
            (key.caller, key.operation, key.key, key.fingerprint, now, now + KEY_LIFETIME),
        )
        if tx.rowcount == 1:  # inserted; a duplicate left as it was counts 0
            return None
        row = _lock_key(tx, key)
    except errors.Error as ex:
        if ex.errno == ER_LOCK_WAIT_TIMEOUT:
            raise IdempotencyKeyInFlight() from ex
        raise
    replay = _replay(row, key, now)
    if replay is None:
        _update_expired_key(tx, key, now)
    return replay


def _lock_slot(tx: Cursor, key: Key):
    identity = f"{key.caller}\n{key.operation}\n{key.key}".encode()
    slot = int.from_bytes(hashlib.sha256(identity).digest()[:8]) % SLOTS
    tx.execute(
        """
        SELECT slot
          FROM idempotency_slots
         WHERE slot = %s
           FOR UPDATE
        """,
        (slot,),
    )


def _lock_key(tx: Cursor, key: Key) -> Row:
    tx.execute(
        """
        SELECT fingerprint, target_type, target_id, status, response_body, expires_at
          FROM idempotency_keys
         WHERE caller = %s AND operation = %s AND idempotency_key = %s
           FOR UPDATE
        """,
        (key.caller, key.operation, key.key),
    )
    (row,) = tx.fetchall()
    return row


def _replay(row: Row, key: Key, now: datetime) -> Answer | None:
    if row["expires_at"] <= now:
        return None
    if bytes(row["fingerprint"]) != key.fingerprint:
        raise IdempotencyKeyReused()
    return Answer(row["status"], bytes(row["response_body"]), row["target_type"], row["target_id"], replayed=True)


def _update_expired_key(tx: Cursor, key: Key, now: datetime):
    tx.execute(
        """
        UPDATE idempotency_keys
           SET fingerprint = %s, created_at = %s, expires_at = %s
         WHERE caller = %s AND operation = %s AND idempotency_key = %s
        """,
        (key.fingerprint, now, now + KEY_LIFETIME, key.caller, key.operation, key.key),
    )


def _update_answer(tx: Cursor, key: Key, answer: Answer):
    tx.execute(
        """
        UPDATE idempotency_keys
           SET target_type = %s, target_id = %s, status = %s, response_body = %s
         WHERE caller = %s AND operation = %s AND idempotency_key = %s
        """,
        (answer.target_type, answer.target_id, answer.status, answer.body, key.caller, key.operation, key.key),
    )
