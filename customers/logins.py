"""Who may log in: names and passwords, checked two at a time, and counted before they are."""

import logging
import math
import threading
from datetime import datetime, timedelta

from common import metrics
from common.connection import Cursor, Row
from common.database import Database
from common.problems import Busy, InvalidCredentials, TooManyLogins
from common.times import Clock
from customers import login_store, operator_store, passwords
from customers.login_store import WINDOW

log = logging.getLogger(__name__)

# Anybody may send log-ins, and each takes 40 ms of a processor. With more at once, they would hold the threads that
# orders need.
LOGINS_AT_ONCE = 2

# Failures in WINDOW. 30 for an address: an office may be behind one.
LIMITS = {"address": 30, "name": 100, "pair": 5}

# An address from which a name has logged in within this time isn't bound by the name's limit, so that nobody who
# knows a name can lock its owner out.

# Attempts that began this short a time ago may still be checked. Right ones among them count as none then.
CHECKED_WITHIN = timedelta(seconds=2)


class Logins:
    """Checks names and passwords; LOGINS_AT_ONCE in this process."""

    def __init__(self, database: Database, clock: Clock):
        self._database = database
        self._clock = clock
        self._turns = threading.BoundedSemaphore(LOGINS_AT_ONCE)

    def check(self, username: str, password: str, address: str) -> Row:
        """Return the operator's row; `address` is who asks, see `addresses.client_address`.

        Raises `InvalidCredentials`, whatever of the two is wrong; `TooManyLogins` beyond LIMITS, without looking at
        the password; `Busy` at once while LOGINS_AT_ONCE others are checked.
        """
        if not self._turns.acquire(blocking=False):
            raise Busy("Too many log-ins at once; nothing was checked.")
        try:
            return self._check(username, password, address)
        finally:
            self._turns.release()

    def _check(self, username, password, address):
        operator = self._database.read(operator_store.select_operator, username)
        # As the table has it: to its collation é is e, and both would have counts of their own.
        name = (operator["username"] if operator else username).lower()
        of = login_store.buckets(name, address)
        now = self._clock()
        seconds = self._database.transact(count, of, now)
        # An unknown name isn't logged: people type their password there.
        who = operator["username"] if operator else "an unknown name"
        if seconds:
            log.warning("log-in refused: too many of %s from %s", who, address)
            metrics.of(metrics.LOGINS, "throttled").inc()
            raise TooManyLogins(headers={"Retry-After": str(seconds)})
        is_right = passwords.is_right(operator["password_hash"] if operator else None, password)
        if not (operator and is_right and operator["active"]):
            log.warning("log-in refused: %s from %s", who, address)
            metrics.of(metrics.LOGINS, "refused").inc()
            raise InvalidCredentials()
        self._database.transact(_log_in, of, operator["id"], self._clock())
        metrics.of(metrics.LOGINS, "ok").inc()
        return operator


def count(tx: Cursor, of: dict[str, bytes], now: datetime) -> int:
    """Return 0 and count an attempt, or return the seconds until the next may be made.

    What is refused at the first look counts for nothing: else one address could use up what the owner of a name has
    elsewhere, and what others have behind the same address. What the second look refuses counts; it is as many as ran
    at once.
    """
    # Locks: the log-in's rows.
    if seconds := _wait_seconds(login_store.select_counts(tx, of, now), now, 1):
        return seconds
    login_store.count_attempt(tx, of, now)
    # Others may have been counted at the same moment.
    return _wait_seconds(login_store.select_counts(tx, of, now), now, 0)


def _wait_seconds(rows, now, more):
    """Return the seconds to wait if `more` failures were one too many, else 0."""
    is_known = "known" in rows and rows["known"]["started_at"] > now - login_store.KNOWN_FOR
    starts = [
        rows[kind]["started_at"]
        for kind, limit in LIMITS.items()
        if kind in rows and rows[kind]["failures"] + more > limit and not (kind == "name" and is_known)
    ]
    if not starts:
        return 0
    if now < max(starts) + CHECKED_WITHIN:
        return 1
    return max(1, math.ceil((max(starts) + WINDOW - now).total_seconds()))


def _log_in(tx: Cursor, of: dict[str, bytes], operator_id: int, now: datetime):
    # Locks: the log-in's rows, operator.
    login_store.take_back(tx, of, now)
    operator_store.update_last_login(tx, operator_id, now)
