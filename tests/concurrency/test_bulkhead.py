"""No call waits for long where all connections are in use, and none at all where the database hangs."""

import threading
import time

import pytest

from common import database as database_module
from common.auth import Caller
from common.current_operators import CurrentOperators
from common.problems import Busy, DatabaseUnavailable
from tests.concurrency.conftest import TIMEOUT


def select_one(cursor):
    cursor.execute("SELECT 1 AS one")
    return cursor.fetchone()["one"]


@pytest.fixture
def narrow(make_database):
    """A database with one connection."""
    return make_database(connections=1)


@pytest.fixture
def hold(start):
    """`hold(database)` takes a connection and returns what gives it back, and its thread."""

    def take(database):
        taken, released = threading.Event(), threading.Event()

        def work(cursor):
            taken.set()
            assert released.wait(TIMEOUT)

        call = start(lambda: database.read(work))
        assert taken.wait(TIMEOUT)
        return released, call

    return take


def test_call_that_finds_all_connections_in_use_waits_for_one(narrow, hold, start):
    released, holder = hold(narrow)
    waiting = start(lambda: narrow.read(select_one))

    released.set()

    assert (waiting.result(TIMEOUT), holder.result(TIMEOUT)) == (1, None)


def test_call_that_gets_no_connection_in_time_is_busy_and_others_are_served_afterwards(narrow, hold, monkeypatch):
    monkeypatch.setattr(database_module, "CONNECTION_WAIT_SECONDS", 0.1)
    released, holder = hold(narrow)

    with pytest.raises(Busy):
        narrow.read(select_one)
    # The probe has asked meanwhile: statements that take long are no database that hangs.
    assert narrow.probe.ask().result(10)["has_schema"] == 1
    is_unanswered = narrow.probe.is_unanswered()
    released.set()
    holder.result(TIMEOUT)

    assert not is_unanswered
    assert narrow.read(select_one) == 1


def test_database_that_hangs_is_unavailable_at_once(make_database, silent_settings, start):
    database = make_database(settings=silent_settings, connections=1)
    hanging = start(lambda: database.read(select_one))
    with pytest.raises(DatabaseUnavailable):  # waits in vain, and has the probe ask
        database.read(select_one)
    with pytest.raises(DatabaseUnavailable):  # until that has been unanswered for a second
        database.probe.ask().result(10)
    started = time.monotonic()

    for _ in range(100):
        with pytest.raises(DatabaseUnavailable):
            database.read(select_one)

    assert time.monotonic() - started < 10 * database_module.CONNECTION_WAIT_SECONDS
    with pytest.raises(DatabaseUnavailable):
        hanging.result(TIMEOUT)


def test_who_may_act_is_asked_by_no_more_threads_than_there_are_connections(narrow, hold, monkeypatch):
    monkeypatch.setattr(database_module, "CONNECTION_WAIT_SECONDS", 0.1)
    operators, caller = CurrentOperators(narrow), Caller("operatorToken", "maria")
    released, holder = hold(narrow)

    for _ in range(2):  # the second one asks as soon as the first was refused
        with pytest.raises(Busy):
            operators.require_current(caller)
    released.set()
    holder.result(TIMEOUT)

    operators.require_current(caller)
