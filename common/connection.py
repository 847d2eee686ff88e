"""One connection to MySQL: how it is opened, what is sent on it, when it is given up."""

import contextlib
import dataclasses
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, TypeVarTuple

import mysql.connector
from mysql.connector import errors
from mysql.connector.connection_cext import CMySQLConnection

from common import metrics
from common.config import DatabaseSettings, Server
from common.problems import DatabaseUnavailable, IdempotencyKeyInFlight

log = logging.getLogger(__name__)

# MySQL's client library sets itself up in its first connection, and in several threads at once that may crash the
# process (MySQL's manual, mysql_library_init). So here is one, which fails, before there are threads.
with contextlib.suppress(errors.Error):
    mysql.connector.connect(unix_socket=os.devnull, use_pure=False)

# The connection, not the statement, is at fault: server gone or lost (2006, 2013, 2055),
# unreachable (2002, 2003, 2005), shutting down (1053), idle too long (4031), killed (1317
# with the connection, 3169), too many connections (1040), access lost (1045).
_CONNECTION_ERRORS = frozenset({1040, 1045, 1053, 2002, 2003, 2005, 2006, 2013, 2026, 2055, 3169, 4031})

# A member of a replication group says these while it leaves the group (3032, 3796 to 3798) or hands over to another
# primary (4094).
_MEMBER_ERRORS = frozenset({3032, 3796, 3797, 3798, 4094})

# The server takes no writes: after a failover it may be the wrong one, and a new connection finds the right one.
ER_OPTION_PREVENTS_STATEMENT = 1290
READ_ONLY_ERRORS = frozenset({ER_OPTION_PREVENTS_STATEMENT, 1792, 1836})

# The server is no member of a replication group: it lacks the plugin.
ER_UNKNOWN_SYSTEM_VARIABLE = 1193

# COMMIT's answer where the group refused the transaction: it is rolled back for certain.
ER_TRANSACTION_ROLLBACK_DURING_COMMIT = 3101

# The statement was ended: killed, or out of `max_execution_time`.
_INTERRUPTED_ERRORS = frozenset({1317, 3024})

# The server's disk is full, its temporary folder's too (3 and 20 are of its file functions).
_DISK_ERRORS = frozenset({3, 20, 1021, 1026, 1114})

# A transaction of ours takes some ten milliseconds, so 2 s is a queue of two hundred.
# With every retry it is 8 s before `Busy`, which a client with a key may still repeat.
LOCK_WAIT_SECONDS = 2
MAX_EXECUTION_MS = 5_000  # plain SELECTs only, by MySQL's own rule
CONNECT_TIMEOUT = 3  # seconds
MEMBER_TIMEOUT = 1  # seconds for each of several servers: a request asks all of them within its time
READ_TIMEOUT = 10  # seconds: longer than any statement may take by the two limits above

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
        self.lastrowid = 0  # after an INSERT
        self.rowcount = 0  # rows that a change has changed

    def execute(self, statement: str, values: Sequence[Any] | Row = ()):
        """Send one statement with its values bound, and read all of its result.

        `values` are in the order of the statement's `%s`, or a row, for `%(column)s`.
        """
        text = statement.encode()
        if values:
            bound: Any = self.connection.prepare_for_mysql(values if isinstance(values, dict) else tuple(values))
            text %= bound if isinstance(values, dict) else tuple(bound)
        result: Any = self.connection.cmd_query(text)
        self._rows = []
        if "columns" in result:
            names = [column[0] for column in result["columns"]]
            # All of them at once: a result left unread would poison the connection.
            rows, _ = self.connection.get_rows()
            self._rows = [dict(zip(names, row, strict=True)) for row in rows]
        else:
            self.lastrowid = result["insert_id"]
            self.rowcount = result["affected_rows"]

    def fetchone(self) -> Row | None:
        """Return the first row of the result, or None."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> list[Row]:
        """Return the rows of the result."""
        return self._rows


def driver_options(settings: DatabaseSettings) -> dict[str, Any]:
    """Return the driver's options by which the first server is reached and logged in at; without a schema."""
    options: dict[str, Any] = {
        **settings.servers[0]._asdict(),
        "user": settings.user,
        "password": settings.password,
        # Without it a C extension that fails to load means, in silence, a driver that is four times slower.
        "use_pure": False,
    }
    if settings.tls_ca:
        options |= {"ssl_ca": settings.tls_ca, "ssl_verify_cert": True, "ssl_verify_identity": True}
    return options


class Primary:
    """The server that takes writes: the only one, or the member of a group that this process found last.

    After a switch the old one may answer reads for ever, so no connection stays with a server that isn't `current`.
    """

    def __init__(self, servers: Sequence[Server]):
        self._servers = servers  # in the order in which they are asked: the one found last is the first
        self.is_one_of_several = len(servers) > 1
        self.current: Server | None = None if self.is_one_of_several else servers[0]

    def connect(self, options: dict[str, Any]) -> tuple[Server, Any]:
        """Return (server, the driver's connection to it), or raise the driver's error.

        Of several servers, those are passed over that let nobody in or take no writes.
        """
        if not self.is_one_of_several:
            return self._servers[0], mysql.connector.connect(**options)
        failures: list[str] = []
        errno = None
        for server in self._servers:
            others = tuple(other for other in self._servers if other != server)
            # Last, until it has answered: one that hangs in the middle of the TLS handshake hangs the thread, too.
            self._servers = (*others, server)
            try:
                driver: Any = mysql.connector.connect(
                    **options | server._asdict() | {"connection_timeout": MEMBER_TIMEOUT}
                )
                if not is_read_only(Cursor(driver)):
                    self._servers = (server, *others)
                    self.current = server
                    return server, driver
                driver.close()
                failures.append(f"{server} takes no writes")
                errno = errno or ER_OPTION_PREVENTS_STATEMENT
            except errors.Error as ex:
                failures.append(f"{server}: {ex.msg}")
                errno = errno or ex.errno
        raise errors.DatabaseError("; ".join(failures), errno=errno)

    def forget(self, server: Server | None):
        """Let every connection find the primary anew, if there are several servers: this one takes no writes."""
        if self.is_one_of_several and self.current == server:
            self.current = None


def at_primary(settings: DatabaseSettings) -> DatabaseSettings:
    """Return settings with that server alone, for a program of another project; raise the driver's error."""
    primary = Primary(settings.servers)
    if primary.is_one_of_several:
        _, driver = primary.connect(driver_options(settings) | {"read_timeout": READ_TIMEOUT})
        driver.close()
    return dataclasses.replace(settings, servers=(primary.current,))


def is_read_only(cursor: Cursor) -> bool:
    """Return whether the server takes no writes; innodb_read_only is how a replica of Aurora says it."""
    cursor.execute(
        """
        SELECT @@GLOBAL.read_only OR @@GLOBAL.innodb_read_only OR @@GLOBAL.transaction_read_only AS is_read_only
        """
    )
    (row,) = cursor.fetchall()
    return bool(row["is_read_only"])


class Connection:
    """The driver's, opened when it is first needed, and kept; one thread at a time has it."""

    def __init__(self, settings: DatabaseSettings, primary: Primary, connect_timeout: int, read_timeout: int):
        self._primary = primary
        self.server: Server | None = None  # where it is connected, or was last
        self._options = driver_options(settings) | {
            "database": settings.name,
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
        self._driver: Any = None
        self._has_lock = False  # of its request's key

    def read(self, fn: Callable[[Cursor, *Args], Result], *args: *Args) -> Result:
        """Run `fn(cursor, *args)`, and once more if the connection was dead: a read may be repeated."""
        is_second = False
        while True:
            cursor = Cursor(self._open())
            try:
                return fn(cursor, *args)
            except errors.Error as ex:
                self.drop()
                if is_second or ex.errno not in _CONNECTION_ERRORS | _MEMBER_ERRORS:
                    raise translated(ex) from ex
                is_second = True
            except SystemExit:
                # gunicorn aborts a worker in the middle of anything, an answer half read too.
                self.drop()
                raise

    def begin(self, lock: str | None = None, deadline: float = math.inf) -> Cursor:
        """Begin a transaction. Nothing has happened yet, so a dead connection costs a new one, no more.

        `lock` is an idempotency key: no other connection to this server has it from now until `release_locks`.
        `IdempotencyKeyInFlight` after LOCK_WAIT_SECONDS. Whoever gets it after the `deadline`, by the monotonic
        clock, gets `DatabaseUnavailable` in place of a transaction.
        """
        return self.read(self._start_transaction, lock, deadline)

    def _start_transaction(self, cursor: Cursor, lock: str | None, deadline: float) -> Cursor:
        if lock is not None and not self._has_lock:
            # Named locks are the whole server's, hence the schema. A name has 64 characters at most, hence the hash.
            cursor.execute(
                "SELECT GET_LOCK(SHA2(CONCAT_WS(':', DATABASE(), %s), 256), @@innodb_lock_wait_timeout) AS is_locked",
                (lock,),
            )
            (row,) = cursor.fetchall()
            if not row["is_locked"]:
                raise IdempotencyKeyInFlight()
            if time.monotonic() > deadline:
                raise DatabaseUnavailable() from TimeoutError("the request came too long ago")
            self._has_lock = True
        cursor.execute("START TRANSACTION")
        return cursor

    def commit(self):
        """Commit, or raise `DatabaseUnavailable`: the outcome is unknown then.

        ER_TRANSACTION_ROLLBACK_DURING_COMMIT alone is raised as it is: nothing was committed.
        """
        try:
            # On the connection of `begin`, whichever server is the primary by now.
            self._driver.cmd_query("COMMIT")
        except BaseException as ex:
            if getattr(ex, "errno", None) == ER_TRANSACTION_ROLLBACK_DURING_COMMIT:
                raise
            metrics.of(metrics.TRANSACTIONS, "unknown").inc()
            self.drop()
            raise DatabaseUnavailable() from ex
        metrics.of(metrics.TRANSACTIONS, "committed").inc()

    def roll_back(self):
        """Roll back, one way or the other; raises nothing."""
        self._give_back("ROLLBACK")

    def release_locks(self):
        """Let go of what `begin` locked, after the commit or the rollback; raises nothing."""
        self._has_lock = False
        self._give_back("DO RELEASE_ALL_LOCKS()")

    def _give_back(self, statement: str):
        if self._driver is not None:
            try:
                self._driver.cmd_query(statement)
            except Exception:  # noqa: BLE001 - whatever it is, closing the connection makes the server do it
                self.drop()

    def leave(self):
        """Close it, and let all connections find the primary anew: its server takes no writes."""
        self._primary.forget(self.server)
        self.drop()

    def drop(self):
        """Close it; the next use opens another."""
        driver, self._driver = self._driver, None
        self._has_lock = False
        if driver is not None:
            try:
                driver.close()
            except Exception:
                log.debug("closing a broken connection failed", exc_info=True)

    def _open(self) -> CMySQLConnection:
        if self.server != self._primary.current:
            self.drop()
        if self._driver is None:
            try:
                self.server, self._driver = self._primary.connect(self._options)
            except errors.Error as ex:
                raise DatabaseUnavailable() from ex
        return self._driver


def translated(ex: errors.Error) -> Exception:
    """Return the problem that a driver error means, or the error itself: a defect, a 500."""
    if ex.errno in _CONNECTION_ERRORS | _MEMBER_ERRORS | READ_ONLY_ERRORS | _INTERRUPTED_ERRORS | _DISK_ERRORS:
        return DatabaseUnavailable()
    return ex
