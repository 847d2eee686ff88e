"""`GET /health`, `/health/live` and `/health/ready`: for load balancers and whatever starts the programs.

gunicorn_worker.py keeps threads for these, so that they answer when all others wait for the database.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from mysql.connector import errors

from common.problems import DatabaseReadOnly, DatabaseUnavailable, SchemaOutdated
from common.web import send_json

# The newest migration that this code needs. A newer one may be there: it comes before its code does.
SCHEMA_VERSION = "0001"

# Who probes us waits a second, commonly; what is left of it is for the network and a busy machine.
PATIENCE_SECONDS = 0.7

ER_NO_SUCH_TABLE = 1146


class Health:
    """`GET /health` and `GET /health/live`: the process answers; nothing behind it is asked."""

    def __init__(self, service):
        self._service = service

    def on_get(self, req, resp):
        """Say who answers."""
        send_json(resp, {"ok": True, "status": "ok", "service": self._service})


class Readiness:
    """`GET /health/ready`: orders can be taken; within a second, whatever the database does."""

    def __init__(self, service, database):
        self._service = service
        self._database = database.impatient()
        self._lock = threading.Lock()
        # Its one thread starts with the first probe: after the fork, with a connection of its own.
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._check = None  # the one that runs, or ran last
        self._deadline = None  # monotonic; of all who wait for it

    def on_get(self, req, resp):
        """Answer once the database has, or raise what is wrong with it."""
        with self._lock:
            if self._check is None or self._check.done():
                self._check = self._executor.submit(self._ask)
                self._deadline = time.monotonic() + PATIENCE_SECONDS
            check, deadline = self._check, self._deadline
        try:
            check.result(max(0, deadline - time.monotonic()))
        except TimeoutError:
            # The check goes on alone. Until it ends, whoever asks is told at once.
            raise DatabaseUnavailable() from None
        send_json(resp, {"ok": True, "status": "ok", "service": self._service})

    def _ask(self):
        try:
            row = self._database.read(_select_state)
        except errors.ProgrammingError as ex:
            if ex.errno == ER_NO_SUCH_TABLE:
                raise SchemaOutdated() from ex
            raise
        if row["is_read_only"]:
            # Perhaps a server that has been replaced: the next probe connects anew.
            self._database.close()
            raise DatabaseReadOnly()
        if not row["has_schema"]:
            raise SchemaOutdated()


def _select_state(cursor):
    # dbmate keeps the table; innodb_read_only is how a replica of Aurora says it.
    cursor.execute(
        """
        SELECT @@GLOBAL.read_only OR @@GLOBAL.innodb_read_only AS is_read_only,
               EXISTS (SELECT 1 FROM schema_migrations WHERE version = %s) AS has_schema
        """,
        (SCHEMA_VERSION,),
    )
    return cursor.fetchone()
