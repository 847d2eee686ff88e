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

from common import strict_json
from common.connection import Args, Cursor
from common.database import Database, unique
from common.problems import IdempotencyKeyInFlight, IdempotencyKeyReused
from common.times import Clock

KEY_LIFETIME = timedelta(hours=24)  # spec; the purge job deletes what is older

# Rows of the table idempotency_slots, see `find_answer`.
SLOTS = 1000


@dataclass(frozen=True)
class Key:
    """A key as one request sent it; the first three fields are its identity."""

    caller: str
    operation: str
    key: str
    fingerprint: bytes  # of method, path and body

    @property
    def identity(self) -> str:
        """What no other key has in common with it."""
        return f"{self.caller}\n{self.operation}\n{self.key}"


@dataclass(frozen=True)
class Answer:
    """What a workflow answers; rendered before the commit, stored under the key."""

    status: int
    body: bytes
    target_type: str  # what the change was made to: order, customer, product
    target_id: int
    etag: str | None = None  # sent as ETag
    replayed: bool = False


def fingerprint(method: str, path: str, body: Any) -> bytes:
    """Return 32 bytes that differ when the request differs in meaning (not in white space)."""
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), strict_json.canonical(body)))).digest()


class _Overtaken(IdempotencyKeyInFlight):
    """A row of the key was committed since this transaction looked for one.

    By a request whose named lock this server doesn't know: before a failover, say, another server had it.
    """


def once(
    database: Database,
    clock: Clock,
    key: Key | None,
    work: Callable[[Cursor, Clock, *Args], Answer],
    *args: *Args,
) -> Answer:
    """Run `work(tx, clock, *args)` in one transaction that has its effect once for `key`; then replay its `Answer`.

    Raises `IdempotencyKeyReused`, and `IdempotencyKeyInFlight` when the first request with this
    key takes longer than a lock wait.
    """
    if key is None:
        return database.transact(work, clock, *args)

    def work_or_replay(tx: Cursor) -> Answer:
        answer = find_answer(tx, clock, key)
        if answer is None:
            answer = work(tx, clock, *args)
            _insert_answer(tx, key, clock(), answer)
        return answer

    try:
        return database.transact(work_or_replay, lock=key.identity)
    except _Overtaken:
        # The row is there now, and is replayed.
        return database.transact(work_or_replay, lock=key.identity)


def find_answer(tx: Cursor, clock: Clock, key: Key) -> Answer | None:
    """Return the kept `Answer` of a key, or None; raises `IdempotencyKeyReused`.

    `tx` has the key's lock (`transact(…, lock=key.identity)`). An expired row is deleted.
    """
    # The version before may run beside this one during a deployment. It knows no named lock: its requests queue at a
    # slot, FOR UPDATE. FOR SHARE waits for them, and lets them wait, but not for each other. A later release, beside
    # which it can't run any more, needs no slots.
    slot = int.from_bytes(hashlib.sha256(key.identity.encode()).digest()[:8]) % SLOTS
    tx.execute(
        """
        SELECT k.fingerprint, k.target_type, k.target_id, k.status, k.response_body, k.etag, k.expires_at
          FROM idempotency_slots AS s
          LEFT JOIN idempotency_keys AS k
            ON k.caller = %s AND k.operation = %s AND k.idempotency_key = %s
         WHERE s.slot = %s
           FOR SHARE
        """,
        (key.caller, key.operation, key.key, slot),
    )
    (row,) = tx.fetchall()
    if row["expires_at"] is None:
        return None
    if row["expires_at"] <= clock():
        tx.execute(
            "DELETE FROM idempotency_keys WHERE caller = %s AND operation = %s AND idempotency_key = %s",
            (key.caller, key.operation, key.key),
        )
        return None
    if bytes(row["fingerprint"]) != key.fingerprint:
        raise IdempotencyKeyReused()
    body = bytes(row["response_body"])
    return Answer(row["status"], body, row["target_type"], row["target_id"], row["etag"], replayed=True)


def delete_expired(tx: Cursor, now: datetime, count: int) -> int:
    """Delete up to `count` keys that have expired; return how many."""
    tx.execute("DELETE FROM idempotency_keys WHERE expires_at <= %s ORDER BY expires_at LIMIT %s", (now, count))
    return tx.rowcount


def _insert_answer(tx: Cursor, key: Key, now: datetime, answer: Answer):
    with unique("PRIMARY", _Overtaken):
        tx.execute(
            """
            INSERT INTO idempotency_keys
                   (caller, operation, idempotency_key, fingerprint,
                    target_type, target_id, status, response_body, etag, created_at, expires_at)
            VALUES (%(caller)s, %(operation)s, %(key)s, %(fingerprint)s,
                    %(target_type)s, %(target_id)s, %(status)s, %(body)s, %(etag)s, %(created_at)s, %(expires_at)s)
            """,
            {**vars(key), **vars(answer), "created_at": now, "expires_at": now + KEY_LIFETIME},
        )
