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
from common.connection import Args, Cursor
from common.database import ER_LOCK_WAIT_TIMEOUT
from common.problems import IdempotencyKeyInFlight, IdempotencyKeyReused

KEY_LIFETIME = timedelta(hours=24)  # spec; the purge job deletes what is older

# Rows of the table idempotency_slots. Once in a thousand times two keys in use share a slot.
# One then waits some milliseconds for the other.
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
    etag: str | None = None
    replayed: bool = False


def fingerprint(method: str, path: str, body: Any) -> bytes:
    """Return 32 bytes that differ when the request differs in meaning (not in white space)."""
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), strict_json.canonical(body)))).digest()


def once(key: Key | None, now: datetime, work: Callable[[Cursor, *Args], Answer]) -> Callable[[Cursor, *Args], Answer]:
    """Return `work` as a transaction that has its effect once for `key`, and replays its `Answer` afterwards.

    Without a key it is `work` itself. With one it locks the key before all else, and raises
    what `lock_key` does.
    """
    if key is None:
        return work

    def work_or_replay(tx: Cursor, *args: *Args) -> Answer:
        answer = lock_key(tx, key, now)
        if answer is None:
            answer = work(tx, *args)
            _insert_answer(tx, key, now, answer)
        return answer

    return work_or_replay


def lock_key(tx: Cursor, key: Key, now: datetime) -> Answer | None:
    """Return the kept `Answer` of a key, or None; until the commit nobody else gets as far with this key.

    Locks the key's slot and row. Raises `IdempotencyKeyReused`, and `IdempotencyKeyInFlight`
    when the first request with this key takes longer than a lock wait.
    """
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
    if row["expires_at"] is None or row["expires_at"] <= now:
        return None
    if bytes(row["fingerprint"]) != key.fingerprint:
        raise IdempotencyKeyReused()
    return Answer(row["status"], bytes(row["response_body"]), row["target_type"], row["target_id"], replayed=True)


def _insert_answer(tx: Cursor, key: Key, now: datetime, answer: Answer):
    # REPLACE, for the place may be taken by an expired one.
    tx.execute(
        """
        REPLACE INTO idempotency_keys
               (caller, operation, idempotency_key, fingerprint,
                target_type, target_id, status, response_body, created_at, expires_at)
        VALUES (%(caller)s, %(operation)s, %(key)s, %(fingerprint)s,
                %(target_type)s, %(target_id)s, %(status)s, %(body)s, %(created_at)s, %(expires_at)s)
        """,
        {**vars(key), **vars(answer), "created_at": now, "expires_at": now + KEY_LIFETIME},
    )
