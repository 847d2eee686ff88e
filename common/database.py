"""The database: one transaction per call, retries where they are safe, no call waits for long.

Holds no SQL of the product. Knows nothing of HTTP but the problems it raises.
"""

import logging
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any

from mysql.connector import errors

from common import logs, metrics
from common.config import DatabaseSettings, Server
from common.connection import (
    CONNECT_TIMEOUT,
    ER_TRANSACTION_ROLLBACK_DURING_COMMIT,
    ER_UNKNOWN_SYSTEM_VARIABLE,
    READ_ONLY_ERRORS,
    READ_TIMEOUT,
    Args,
    Connection,
    Cursor,
    Primary,
    Result,
    Row,
    is_read_only,
    translated,
)
from common.problems import Busy, DatabaseUnavailable, Problem

log = logging.getLogger(__name__)

# InnoDB's own words for "run the whole transaction again", and a replication group's.
ER_LOCK_WAIT_TIMEOUT = 1205
ER_LOCK_DEADLOCK = 1213
RETRIED = {
    ER_LOCK_DEADLOCK: "deadlock",
    ER_LOCK_WAIT_TIMEOUT: "lock_timeout",
    ER_TRANSACTION_ROLLBACK_DURING_COMMIT: "group_rollback",
}
# Where there are several servers, another one takes what this one refused.
RETRIED_ELSEWHERE = dict.fromkeys(READ_ONLY_ERRORS, "read_only")
ER_DUP_ENTRY = 1062
# No schema or table, or no right on it: rights come with it (sql/grants.py).
NO_SCHEMA_ERRORS = frozenset({1044, 1049, 1142, 1146})
NO_SCHEMA = {"is_read_only": 0, "has_schema": 0}

# The newest migration that this code needs. A newer one may be there: it comes before its code does.
SCHEMA_VERSION = "0010"

MAX_ATTEMPTS = 4  # the first and three retries
# Full jitter: a uniform wait up to base * 2^attempt keeps the losers of one deadlock
# from meeting again (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
BACKOFF_BASE_SECONDS = 0.01

# Connections of a process, and so calls at once. A worker of gunicorn has more threads (gunicorn_conf.py), which
# answer health checks, and refuse, while all connections wait.
CONNECTIONS = 8
# The longest that a call waits for one. Only a database that hangs, or many who queue for the same rows, take so long.
CONNECTION_WAIT_SECONDS = 1

# With a key, nothing begins later than this after its request came. Whoever asked has given up by then (the
# orchestrator after 4 s), may have asked again, and may have been refused: an order that came after that, nobody would
# know of. It came when a primary hung for ten seconds: its connection was replaced, and the request went on.
BEGIN_SECONDS = 3.9

INSPECT_TIMEOUT = 600  # seconds for one statement over whole tables

PROBE_SECONDS = 1  # between two probes, and for an answer; the driver's smallest timeout
# An unanswered probe counts for this long. Later it says nothing about the database.
PROBE_VALID_SECONDS = 3
# The driver's timeouts don't end a TLS handshake. What has no answer after this long never gets one.
PROBE_LOST_SECONDS = 10
# Who has not seen for this long that its member of a group is the primary looks first, for a moment.
PRIMARY_FRESH_SECONDS = 2
# Who has not seen it for this long begins nothing. A group that doesn't hear of its primary waits for 5 s (MySQL's
# manual, group_replication_member_expel_timeout) before it has another one, so nobody takes the old one for it.
PRIMARY_VALID_SECONDS = 4


class Spent(threading.local):
    """What this thread has spent since `reset`: seconds with a connection or in wait of one, transactions, retries.

    `began` is when that was, by the monotonic clock; infinity before the first one, in a thread that has no requests.
    """

    def __init__(self):
        self.reset()
        self.began = math.inf

    def reset(self):
        """Begin at nothing."""
        self.began = time.monotonic()
        self.seconds = 0.0
        self.transactions = self.retries = 0


class Database:
    """Lends a connection to each call, opened when it is first needed, and kept; fork first, then call.

    A bulkhead: a call that gets none of CONNECTIONS within CONNECTION_WAIT_SECONDS is `Busy`.
    A circuit breaker: while the `probe` has no answer, every call is, at once.
    """

    def __init__(
        self,
        settings: DatabaseSettings,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
        connections: int = CONNECTIONS,
    ):
        self._settings = settings
        self._sleep = sleep
        self._jitter = jitter
        self._primary = Primary(settings.servers)
        self._retried = RETRIED | (RETRIED_ELSEWHERE if self._primary.is_one_of_several else {})
        # The last one back is the first one out: no more are opened than are used at once.
        self._idle = [Connection(settings, self._primary, CONNECT_TIMEOUT, READ_TIMEOUT) for _ in range(connections)]
        self._permits: queue.SimpleQueue[None] = queue.SimpleQueue()  # one for each that is idle
        for _ in self._idle:
            self._permits.put(None)
        self.probe = Probe(settings, self._primary)
        self.spent = Spent()

    def transact(
        self,
        fn: Callable[[Cursor, *Args], Result],
        *args: *Args,
        lock: str | None = None,
        may_be_late: bool = False,
    ) -> Result:
        """Run `fn(tx, *args)` in one transaction and return what it returns.

        `fn` runs again, at most three times, after a deadlock, a lock wait that was too long, or a
        group's refusal; then `Busy` is raised. Anything that `fn` raises rolls back. A COMMIT without an
        answer is never retried: its outcome is unknown, and `DatabaseUnavailable` says so.

        `lock` is held from before the first attempt until after the last, see `Connection.begin`. With it nothing
        begins later than BEGIN_SECONDS, but what `may_be_late`, since it only looks.
        """
        deadline = math.inf if may_be_late else self.spent.began + BEGIN_SECONDS
        self.spent.transactions += 1
        cause: errors.Error | None = None
        with self._lend(lock) as connection:
            for attempt in range(MAX_ATTEMPTS):
                self.spent.retries += attempt > 0
                try:
                    return self._attempt(connection, lock, deadline, fn, *args)
                except errors.Error as ex:
                    if ex.errno not in self._retried:
                        raise translated(ex) from ex
                    metrics.of(metrics.RETRIES, self._retried[ex.errno]).inc()
                    cause = ex
                if attempt + 1 < MAX_ATTEMPTS:
                    self._sleep(self._jitter(0, BACKOFF_BASE_SECONDS * 2**attempt))
        metrics.of(metrics.TRANSACTIONS, "busy").inc()
        raise Busy() from cause

    def _attempt(self, connection, lock, deadline, fn, *args):
        tx = connection.begin(lock, deadline)
        try:
            result = fn(tx, *args)
        except BaseException as ex:
            errno = getattr(ex, "errno", None)
            if errno in READ_ONLY_ERRORS:
                connection.leave()
            else:
                connection.roll_back()
            if errno not in self._retried:
                metrics.of(metrics.TRANSACTIONS, "rolled_back").inc()
            raise
        connection.commit()
        return result

    def read(self, fn: Callable[[Cursor, *Args], Result], *args: *Args) -> Result:
        """Run `fn(cursor, *args)`, plain reads only, each in a transaction of its own."""
        with self._lend() as connection:
            return connection.read(fn, *args)

    def inspect(self, fn: Callable[[Cursor], Result]) -> Result:
        """Run `fn(cursor)`, plain reads only, on one snapshot and for as long as they take; no call waits for it."""
        connection = Connection(self._settings, self._primary, CONNECT_TIMEOUT, INSPECT_TIMEOUT)
        try:
            return connection.read(_on_one_snapshot, fn)
        finally:
            connection.drop()

    def close(self):
        """Close the connections; none may be lent."""
        self.probe.close()
        for connection in self._idle:
            connection.drop()

    @contextmanager
    def _lend(self, lock: str | None = None) -> Iterator[Connection]:
        started = time.perf_counter()
        try:
            connection = self._take()
            try:
                if self._primary.is_one_of_several:
                    self._require_primary()
                yield connection
            finally:
                if lock is not None:
                    connection.release_locks()
                self._idle.append(connection)
                self._permits.put(None)
        finally:
            self.spent.seconds += time.perf_counter() - started

    def _take(self) -> Connection:
        if self._primary.is_one_of_several:
            self.probe.ask()  # once a second, whether the primary still is one
        if self.probe.is_unanswered():
            self.probe.ask()  # again, or nobody would find out that the database is back
            raise DatabaseUnavailable() from TimeoutError("the probe has no answer")
        try:
            self._permits.get_nowait()
        except queue.Empty:
            self.probe.ask()
            try:
                self._permits.get(timeout=CONNECTION_WAIT_SECONDS)
            except queue.Empty:
                # A probe that is answered tells that the database is well: others wait for rows, on all connections.
                problem = DatabaseUnavailable() if self.probe.is_unanswered() else Busy()
                raise problem from TimeoutError("all connections are in use")
        return self._idle.pop()

    def _require_primary(self):
        failure = None
        for _ in range(2):  # again where another thread has left that server meanwhile
            if self.probe.has_seen_primary(PRIMARY_FRESH_SECONDS):
                return
            is_valid, answer = self.probe.has_seen_primary(PRIMARY_VALID_SECONDS), self.probe.ask()
            if wait([answer], PROBE_SECONDS * (1 if is_valid else len(self._settings.servers))).done:
                failure = answer.exception()
        if not self.probe.has_seen_primary(PRIMARY_VALID_SECONDS):
            raise DatabaseUnavailable() from (failure and failure.__cause__) or TimeoutError("no primary is known")


def _on_one_snapshot(cursor: Cursor, fn: Callable[[Cursor], Result]) -> Result:
    cursor.execute("SET SESSION max_execution_time = 0, SESSION transaction_isolation = 'REPEATABLE-READ'")
    cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    return fn(cursor)


class Probe:
    """Asks the database how it is, in a thread and on a connection of its own, once in PROBE_SECONDS at most.

    Only its silence means that the database hangs. The time that statements take doesn't: an
    order that waits for a row is no dead MySQL.
    """

    def __init__(self, settings: DatabaseSettings, primary: Primary):
        self._settings, self._primary = settings, primary
        self.connection = self._connect()
        self._lock = threading.Lock()
        self._answer: Future[Row] | None = None  # to the latest question
        self._asked_at = 0.0
        self._silent_since = 0.0  # the first question without an answer; 0 when there is none
        self._seen: tuple[Server | None, float] = (None, 0.0)  # the last primary that answered, and when it was asked

    def ask(self) -> "Future[Row]":
        """Return the answer of `select_state` to come, or the latest one; a failure is `DatabaseUnavailable`."""
        with self._lock:
            now = time.monotonic()
            if self._answer is not None and not self._answer.done() and self._asked_at + PROBE_LOST_SECONDS <= now:
                self.connection, self._answer = self._connect(), None  # the thread that hangs keeps the other one
            if self._answer is None or (self._answer.done() and self._is_due(now)):
                if not self.is_unanswered():
                    self._silent_since = now
                self._answer, self._asked_at = Future(), now
                # No daemon: a process that ends in the middle of a call to MySQL's library may crash.
                threading.Thread(target=self._ask, args=(self.connection, self._answer, now)).start()
            return self._answer

    def _is_due(self, now):
        server, asked_at = self._seen
        # At once where another thread has found another primary since.
        has_moved = asked_at == self._asked_at and server != self._primary.current
        return has_moved or self._asked_at + PROBE_SECONDS <= now

    def has_seen_primary(self, seconds: int) -> bool:
        """Return whether the server in use was the primary within that time."""
        server, asked_at = self._seen
        return server is not None and server == self._primary.current and time.monotonic() < asked_at + seconds

    def _connect(self):
        # Where connecting anew may take a second for each server, a slow answer is waited for.
        seconds = PROBE_VALID_SECONDS if self._primary.is_one_of_several else PROBE_SECONDS
        return Connection(self._settings, self._primary, PROBE_SECONDS, seconds)

    def close(self):
        """Close the connection, once the latest question is answered: PROBE_SECONDS a server or two."""
        if self._answer is not None:
            wait([self._answer])
        self.connection.drop()

    def is_unanswered(self) -> bool:
        """Return whether the database has said nothing for PROBE_SECONDS."""
        now = time.monotonic()
        return 0 < self._silent_since <= now - PROBE_SECONDS and now < self._asked_at + PROBE_VALID_SECONDS

    def _ask(self, connection, answer, asked_at):
        select = select_state_of_group if self._primary.is_one_of_several else select_state
        try:
            state = connection.read(select)
            if state["is_read_only"]:
                connection.leave()
                if self._primary.is_one_of_several:
                    state = connection.read(select)
        except Exception as ex:  # noqa: BLE001 - whoever waits for the answer gets it
            cause = ex.__cause__ or ex
            errno = getattr(cause, "errno", None)
            log.warning("probe failed: %s", logs.words_of(cause))
            # What fails at once (refused, locked out, no connection free) is no server that hangs.
            if time.monotonic() < asked_at + PROBE_SECONDS:
                self._silent_since = 0.0
            if errno in NO_SCHEMA_ERRORS:
                self._answered(connection, answer, asked_at, NO_SCHEMA)
            else:
                problem = DatabaseUnavailable()
                problem.__cause__ = cause
                answer.set_exception(problem if errno else ex)
        else:
            self._answered(connection, answer, asked_at, state)

    def _answered(self, connection, answer, asked_at, state):
        if answer is self._answer:  # and not one that was given up
            self._silent_since, self._seen = 0.0, (connection.server, asked_at)
        answer.set_result(state)


def select_state(cursor: Cursor) -> Row:
    """Return {is_read_only, has_schema}: whether the server takes changes, and has what SCHEMA_VERSION brings."""
    # dbmate keeps the table.
    cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM schema_migrations WHERE version = %s) AS has_schema", (SCHEMA_VERSION,)
    )
    (row,) = cursor.fetchall()
    return {"is_read_only": is_read_only(cursor), **row}


def select_state_of_group(cursor: Cursor) -> Row:
    """Return `select_state` once the server has what its group agreed on before; an error where it is in none any more.

    One that was away for some seconds and is back answers all else as before, until it learns that the group has gone
    on without it.
    """
    try:
        cursor.execute("SET SESSION group_replication_consistency = 'BEFORE'")
    except errors.Error as ex:
        if ex.errno != ER_UNKNOWN_SYSTEM_VARIABLE:
            raise
    return select_state(cursor)


def placeholders(values: Collection[Any]) -> str:
    """Return `%s, %s, …`, one for each value: the driver expands no list for IN (…)."""
    return ", ".join(["%s"] * len(values))


@contextmanager
def unique(index: str, refuse: Callable[[], Problem]) -> Iterator[None]:
    """Raise what `refuse()` returns where the unique index of that name refuses what is written inside.

    The transaction is still open then, and InnoDB keeps the entry that is in the way locked until its end: `refuse`
    finds the row that has it.
    """
    try:
        yield
    except errors.IntegrityError as ex:
        # "Duplicate entry '…' for key 'customers.uq_customers_email'": the name ends the message,
        # so nothing that a client sent can stand in its place.
        if ex.errno == ER_DUP_ENTRY and str(ex).rsplit("'", 2)[-2].rsplit(".", 1)[-1] == index:
            raise refuse() from ex
        raise
