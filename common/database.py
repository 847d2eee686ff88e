"""MySQL: one connection per thread, one transaction per call, retries where they are safe.

Holds no SQL of the product. Knows nothing of HTTP but the problems it raises.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar, TypeVarTuple

import mysql.connector
from mysql.connector import errors
from mysql.connector.connection_cext import CMySQLConnection

from common.config import DatabaseSettings
from common.problems import Busy, DatabaseUnavailable

log = logging.getLogger(__name__)

# InnoDB's own words for "run the whole transaction again".
ER_LOCK_WAIT_TIMEOUT = 1205
ER_LOCK_DEADLOCK = 1213
# A unique index said no; stores turn it into the problem it means.
ER_DUP_ENTRY = 1062

# The connection, not the statement, is at fault: server gone or lost (2006, 2013, 2055),
# unreachable (2002, 2003, 2005), shutting down (1053), idle too long (4031), killed (1317
# with the connection, 3169), too many connections (1040), access lost (1045).
_CONNECTION_ERRORS = frozenset({1040, 1045, 1053, 2002, 2003, 2005, 2006, 2013, 2026, 2055, 3169, 4031})

# The server takes no writes: after a failover it may be the wrong one, and a new connection finds the right one.
_READ_ONLY_ERRORS = frozenset({1290, 1792, 1836})

# The statement was ended: killed, or out of `max_execution_time`.
_INTERRUPTED_ERRORS = frozenset({1317, 3024})

# A transaction of ours takes some ten milliseconds, so 2 s is a queue of two hundred.
# With every retry it is 8 s before `Busy`, which a client with a key may still repeat.
LOCK_WAIT_SECONDS = 2
MAX_EXECUTION_MS = 5_000  # plain SELECTs only, by MySQL's own rule
CONNECT_TIMEOUT = 3  # seconds
READ_TIMEOUT = 10  # seconds: longer than any statement may take by the two limits above
IMPATIENT_TIMEOUT = 1  # seconds, the driver's smallest: for both, where nobody waits for longer

MAX_ATTEMPTS = 4  # the first and three retries
# Full jitter: a uniform wait up to base * 2^attempt keeps the losers of one deadlock
# from meeting again (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
BACKOFF_BASE_SECONDS = 0.01


Row = dict[str, Any]  # one of a table: its columns by name
Result = TypeVar("Result")
Args = TypeVarTuple("Args")


class Cursor:
    """What stores use of PEP 249's cursor, on a connection of the driver's C extension.

    The driver's own take longer over a statement than sending it does: they look for further
    statements in its text, and `connection.cursor()` asks the server whether it is there.
    """

    def __init__(self, connection: CMySQLConnection):
        self.connection = connection
        self._rows: list[Row] = []
        self.rowcount = -1
        self.lastrowid = 0  # after an INSERT

    def execute(self, statement: str, values: Sequence[Any] = ()):
        """Send one statement with its values bound, and read all of its result."""
        text = statement.encode()
        if values:
            text %= tuple(self.connection.prepare_for_mysql(tuple(values)))
        result: Any = self.connection.cmd_query(text)
        self._rows = []
        if "columns" in result:
            names = [column[0] for column in result["columns"]]
            # All of them at once: a result left unread would poison the connection.
            rows, _ = self.connection.get_rows()
            self._rows = [dict(zip(names, row, strict=True)) for row in rows]
            self.rowcount = len(rows)
        else:
            self.rowcount, self.lastrowid = result["affected_rows"], result["insert_id"]

    def fetchone(self) -> Row | None:
        """Return the first row of the result, or None."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Row]:
        """Return the rows of the result."""
        return self._rows


class Database:
    """A lazily opened connection for each thread that asks; fork first, then ask."""

    def __init__(
        self,
        settings: DatabaseSettings,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
        connect_timeout: int = CONNECT_TIMEOUT,
        read_timeout: int = READ_TIMEOUT,
    ):
        self._settings = settings
        self._options = {
            "host": settings.host,
            "port": settings.port,
            "user": settings.user,
            "password": settings.password,
            "database": settings.name,
            # Without it a C extension that fails to load means, in silence, the slower driver (bench/driver.py).
            "use_pure": False,
            "autocommit": True,
            "charset": "utf8mb4",
            "collation": "utf8mb4_0900_ai_ci",
            "connection_timeout": connect_timeout,
            "read_timeout": read_timeout,
            "write_timeout": read_timeout,
            # One statement a call: an injected second one is a syntax error.
            "client_flags": [-mysql.connector.ClientFlag.MULTI_STATEMENTS],
            "init_command": (
                "SET time_zone = '+00:00',"
                " SESSION transaction_isolation = 'READ-COMMITTED',"
                " SESSION sql_mode = 'TRADITIONAL,NO_ENGINE_SUBSTITUTION,ONLY_FULL_GROUP_BY',"
                f" SESSION innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS},"
                f" SESSION max_execution_time = {MAX_EXECUTION_MS}"
            ),
        }
        self._local = threading.local()
        self._sleep = sleep
        self._jitter = jitter

    def transact(self, fn: Callable[[Cursor, *Args], Result], *args: *Args) -> Result:
        """Run `fn(tx, *args)` in one transaction and return what it returns.

        `fn` runs again, at most three times, after a deadlock or a lock wait that was
        too long; then `Busy` is raised. Anything that `fn` raises rolls back. A failed
        COMMIT is never retried: its outcome is unknown, and `DatabaseUnavailable` says so.
        """
        for attempt in range(MAX_ATTEMPTS):
            connection = self._begin()
            try:
                result = fn(Cursor(connection), *args)
            except errors.Error as ex:
                if ex.errno in _READ_ONLY_ERRORS:
                    self._drop()
                else:
                    self._roll_back(connection)
                if ex.errno in (ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT):
                    log.info("transaction retried: errno=%s attempt=%s", ex.errno, attempt + 1)
                    if attempt + 1 < MAX_ATTEMPTS:
                        self._sleep(self._jitter(0, BACKOFF_BASE_SECONDS * 2**attempt))
                    continue
                raise _translated(ex) from ex
            except BaseException:
                self._roll_back(connection)
                raise
            self._commit(connection)
            return result
        raise Busy()

    def read(self, fn: Callable[[Cursor, *Args], Result], *args: *Args) -> Result:
        """Run `fn(cursor, *args)`, plain reads only, each in a transaction of its own."""
        is_second = False
        while True:
            connection = self._connection()
            try:
                return fn(Cursor(connection), *args)
            except errors.Error as ex:
                self._drop()
                if is_second or ex.errno not in _CONNECTION_ERRORS:
                    raise _translated(ex) from ex
                # A read may be repeated: the kept connection may have died since its last use.
                is_second = True
            except SystemExit:
                # gunicorn aborts a worker in the middle of anything, an answer half read too.
                self._drop()
                raise

    def impatient(self) -> "Database":
        """Return the same database with connections of its own that give up after a second."""
        return Database(self._settings, connect_timeout=IMPATIENT_TIMEOUT, read_timeout=IMPATIENT_TIMEOUT)

    def close(self):
        """Close this thread's connection, if it has one."""
        self._drop()

    def _begin(self) -> CMySQLConnection:
        is_second = False
        while True:
            connection = self._connection()
            try:
                connection.cmd_query("START TRANSACTION")
            except errors.Error as ex:
                self._drop()
                if is_second or ex.errno not in _CONNECTION_ERRORS:
                    raise _translated(ex) from ex
                # Nothing has happened yet, so a dead kept connection costs a new one, no more.
                is_second = True
            else:
                return connection

    def _commit(self, connection):
        try:
            connection.cmd_query("COMMIT")
        except BaseException as ex:
            self._drop()
            raise DatabaseUnavailable() from ex

    def _roll_back(self, connection):
        try:
            connection.cmd_query("ROLLBACK")
        except Exception:  # noqa: BLE001 - whatever it is, closing the connection makes the server roll back
            self._drop()

    def _connection(self) -> CMySQLConnection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            try:
                connection: Any = mysql.connector.connect(**self._options)
            except errors.Error as ex:
                raise DatabaseUnavailable() from ex
            self._local.connection = connection
        return connection

    def _drop(self):
        connection, self._local.connection = getattr(self._local, "connection", None), None
        if connection is not None:
            try:
                connection.close()
            except Exception:
                log.debug("closing a broken connection failed", exc_info=True)


def _translated(ex):
    """Return the problem that a driver error means, or the error itself: a defect, a 500."""
    if ex.errno in _CONNECTION_ERRORS | _READ_ONLY_ERRORS | _INTERRUPTED_ERRORS:
        return DatabaseUnavailable()
    return ex


def placeholders(values: Collection[Any]) -> str:
    """Return `%s, %s, …`, one for each value: the driver expands no list for IN (…)."""
    return ", ".join(["%s"] * len(values))


def duplicate_index(ex: errors.Error) -> str | None:
    """Return the name of the unique index that an ER_DUP_ENTRY error names, else None."""
    if ex.errno != ER_DUP_ENTRY:
        return None
    # "Duplicate entry '…' for key 'customers.uq_customers_email'": the name ends the message,
    # so nothing that a client sent can stand in its place.
    return str(ex).rsplit("'", 2)[-2].rsplit(".", 1)[-1]
