"""Log-ins and changes of operators at the same moment."""

import threading

import pytest

from customers import login_store, logins, passwords
from customers.logins import Logins
from tests.concurrency.answers import outcomes, statuses
from tests.factories import unique

PASSWORD = "seven-brown-pallets"


def test_of_forty_wrong_log_ins_of_one_pair_five_are_hashed(database, clock, factory, at_once, monkeypatch):
    hashed, lock = [], threading.Lock()

    def is_right(password_hash, password):
        with lock:
            hashed.append(password)
        return False

    monkeypatch.setattr(passwords, "is_right", is_right)
    monkeypatch.setattr(logins, "LOGINS_AT_ONCE", 40)
    workers = Logins(database, clock), Logins(database, clock)
    username, address = factory.make_operator(PASSWORD), unique("address")

    def log_in(worker):
        try:
            worker.check(username, "wrong", address)
        except Exception as ex:  # noqa: BLE001 - what it is, is counted
            return type(ex).__name__

    answers = at_once([lambda worker=worker: log_in(worker) for worker in workers * 20])

    assert len(hashed) == 5
    assert sorted(set(answers)) == ["invalid_credentials", "too_many_logins"]
    assert answers.count("invalid_credentials") == 5


def test_right_log_ins_at_once_are_none_however_they_overlap(database, clock, factory, at_once, monkeypatch):
    monkeypatch.setattr(logins, "LOGINS_AT_ONCE", 40)
    username, address = factory.make_operator(PASSWORD), unique("address")
    checker = Logins(database, clock)

    for _ in range(10):
        at_once([lambda: checker.check(username, PASSWORD, address)] * 3)

    of = login_store.buckets(username, address)
    rows = database.read(login_store.select_counts, of, clock())
    assert {rows[kind]["failures"] for kind in ("address", "name", "pair")} == {0}


@pytest.mark.parametrize("_", range(8))  # so that one of them overlaps
def test_two_admins_who_demote_each_other_leave_one(customers_api, factory, database, make_token, at_once, _):
    names = [factory.make_operator(PASSWORD, role="admin") for _ in range(2)]
    others = "UPDATE operators SET active = FALSE WHERE role = 'admin' AND username NOT IN (%s, %s)"
    database.transact(lambda tx: tx.execute(others, names))

    def demote(caller, other):
        token = make_token(caller, "admin")
        return customers_api.patch(f"/operators/{other}", json={"role": "viewer"}, token=token)

    answers = at_once([lambda: demote(*names), lambda: demote(*reversed(names))])

    assert statuses(answers) == {200: 1, 409: 1}
    assert outcomes(answers)["last_admin"] == 1
