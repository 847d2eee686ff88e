"""Who may act now: the table operators, kept for a few seconds, so that a token ends before it expires.

A request costs nothing more; the table is read again by the first one after KEPT.
"""

import logging
import threading
import time
from collections.abc import Callable

from common.auth import ROLES, Caller
from common.connection import Cursor, Row
from common.database import CONNECTION_WAIT_SECONDS, Database
from common.problems import CallerNotAllowed, Problem, TokenRevoked

log = logging.getLogger(__name__)

KEPT = 15  # seconds
# While the database doesn't answer, what was read last counts for this long. Within a minute a token is revoked, or
# nobody gets in.
STALE = 60
# Before the next read after one that failed.
PAUSE = 1


class CurrentOperators:
    """Each operator's role, whether active, and token_version, at most STALE old."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic):
        self._database = database
        # A look at the date would cost each request 5 µs more.
        self._monotonic = monotonic
        self._rows: dict[str, Row] = {}
        self._read_at = self._tried_at = float("-inf")
        self._reading = threading.Lock()

    def require_current(self, caller: Caller):
        """Raise `TokenRevoked` if the operator's token was ended since it was issued.

        A name that isn't there is let in: no operator is ever deleted, so it was added just now.
        """
        row = self._current().get(caller.name or "")
        if row and _has_ended(row, caller.token_version):
            raise TokenRevoked()

    def acting_for(self, program: Caller, username: str, token_version: int | None) -> Caller:
        """Return the caller that acts for an operator; `token_version` is that of the operator's token, if it is known.

        Raises `CallerNotAllowed` for a name that is no operator's, `TokenRevoked` for one that may not act (any more).
        """
        row = self._current().get(username)
        if row is None or (token_version or 0) > row["token_version"]:
            self._read()  # it was added or changed since
            row = self._rows.get(username)
        if row is None:
            log.warning("a program was refused: it names no operator")
            raise CallerNotAllowed("X-On-Behalf-Of names no operator.")
        if not row["active"] or (token_version is not None and _has_ended(row, token_version)):
            raise TokenRevoked()
        return program.acting_for(username, frozenset(ROLES[row["role"]]))

    def _current(self):
        now = self._monotonic()
        if now - self._read_at <= KEPT:
            return self._rows
        is_stale = now - self._read_at > STALE
        if is_stale or now - self._tried_at > PAUSE:
            # One thread reads for all. The others go on with what is known. Where that is too old they wait for it, as
            # long as for a connection, and then ask for themselves: a database that hangs holds no more threads so.
            is_first = self._reading.acquire(timeout=CONNECTION_WAIT_SECONDS if is_stale else 0)
            try:
                if (is_first or is_stale) and self._monotonic() - self._read_at > KEPT:
                    self._read()
            except Problem as ex:
                if is_stale:
                    raise
                log.warning("operators were not read: %s", ex.code)
            finally:
                if is_first:
                    self._reading.release()
        return self._rows

    def _read(self):
        now = self._tried_at = self._monotonic()
        self._rows = {row["username"]: row for row in self._database.read(_select_operators)}
        self._read_at = now


def _has_ended(row, token_version):
    # Whoever deactivates by hand, without a new version, means it too. A higher version than the row's is newer
    # than what was read.
    return token_version < row["token_version"] or (token_version == row["token_version"] and not row["active"])


def _select_operators(tx: Cursor) -> list[Row]:
    tx.execute("SELECT username, role, active, token_version FROM operators")
    return tx.fetchall()
