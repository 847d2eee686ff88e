"""`GET /health`, `/health/live` and `/health/ready`: for load balancers and whatever starts the programs.

gunicorn_worker.py keeps threads for these, so that they answer when all others wait for the database.
"""

import logging
import threading
import time
from queue import SimpleQueue

from falcon import Response
from mysql.connector import errors

from common.database import Cursor, Database, Row
from common.problems import DatabaseReadOnly, DatabaseUnavailable, InternalError, Problem, SchemaOutdated
from common.web import Request, send_json

log = logging.getLogger(__name__)

# The newest migration that this code needs. A newer one may be there: it comes before its code does.
SCHEMA_VERSION = "0003"

# Who probes us waits for a second, commonly; what is left of it is for the network and a busy machine.
PATIENCE_SECONDS = 0.7
# For so long an answer is given again: many who ask cost the database some three statements a second.
FRESH_SECONDS = 0.3
# A server that drips bytes holds a check for ever, since the driver's timeouts are for each read.
ABANDONED_SECONDS = 5

ER_NO_SUCH_TABLE = 1146


class Health:
    """`GET /health` and `GET /health/live`: the process answers; nothing behind it is asked."""

    def __init__(self, service: str):
        self._service = service

    def on_get(self, req: Request, resp: Response):
        """Say who answers."""
        send_json(resp, {"ok": True, "status": "ok", "service": self._service})


class Readiness:
    """`GET /health/ready`: orders can be taken; within a second, whatever the database does."""

    def __init__(self, service: str, database: Database):
        self._service = service
        self._database = database.impatient()
        self._lock = threading.Lock()
        self._check: _Check | None = None  # the latest
        self._checks: SimpleQueue[_Check | None] = SimpleQueue()

    def on_get(self, req: Request, resp: Response):
        """Answer what the latest check finds, or raise what is wrong with the database."""
        with self._lock:
            check = self._check
            if check is None or check.is_old():
                check = self._check_anew()
        check.wait()
        send_json(resp, {"ok": True, "status": "ok", "service": self._service})

    def _check_anew(self):
        if self._check is None or not self._check.is_done():
            self._checks.put(None)  # for a thread that hangs: should it go on some day, it ends
            self._checks = SimpleQueue()
            # A daemon: no exit waits for it.
            threading.Thread(target=_run, args=(self._checks,), daemon=True).start()
        self._check = _Check(self._database)
        self._checks.put(self._check)
        return self._check


def _run(checks):
    # In one thread, which keeps its connection: a new one takes ten times as long, and on a busy
    # machine too long. Who is busy is ready.
    while check := checks.get():
        check.run()


class _Check:
    """Asks the database once; all who come meanwhile wait for the same."""

    def __init__(self, database: Database):
        self._database = database
        self._started = time.monotonic()
        self._problem: type[Problem] | None = None
        self._is_done = threading.Event()
        self._ended = self._started  # not yet

    def is_done(self):
        return self._is_done.is_set()

    def is_old(self):
        now = time.monotonic()
        return now > self._ended + FRESH_SECONDS if self.is_done() else now > self._started + ABANDONED_SECONDS

    def wait(self):
        """Return if all is well, raise the problem if not, `PATIENCE_SECONDS` after the start at the latest."""
        if not self._is_done.wait(max(0, self._started + PATIENCE_SECONDS - time.monotonic())):
            raise DatabaseUnavailable()
        if self._problem is not None:
            raise self._problem()

    def run(self):
        try:
            self._ask()
        except Problem as ex:
            self._problem = type(ex)
        except errors.Error as ex:
            log.warning("readiness: MySQL says errno=%s", ex.errno)
            self._problem = SchemaOutdated if ex.errno == ER_NO_SUCH_TABLE else DatabaseUnavailable
        except Exception:
            log.exception("readiness")
            self._problem = InternalError
        finally:
            if self._problem is not None:
                self._database.close()  # after a failover it may be the wrong server's
            self._ended = time.monotonic()
            self._is_done.set()

    def _ask(self):
        row = self._database.read(_select_state)
        if row["is_read_only"]:
            raise DatabaseReadOnly()
        if not row["has_schema"]:
            raise SchemaOutdated()


def _select_state(cursor: Cursor) -> Row:
    # dbmate keeps the table; innodb_read_only is how a replica of Aurora says it.
    cursor.execute(
        """
        SELECT @@GLOBAL.read_only OR @@GLOBAL.innodb_read_only OR @@GLOBAL.transaction_read_only AS is_read_only,
               EXISTS (SELECT 1 FROM schema_migrations WHERE version = %s) AS has_schema
        """,
        (SCHEMA_VERSION,),
    )
    (row,) = cursor.fetchall()
    return row
