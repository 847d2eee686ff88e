"""Log-ins that are wrong: counted for name and address, address, and name, before the password is looked at."""

import dataclasses
import ipaddress
import itertools
import logging
from datetime import timedelta

import pytest

from common.problems import Busy
from customers import login_store, logins
from tests.contract_client import refusal
from tests.factories import unique

PASSWORD = "seven-brown-pallets"
WRONG, TOO_MANY = (401, "invalid_credentials"), (429, "too_many_logins")
_addresses = (f"10.0.{number >> 8}.{number & 255}" for number in itertools.count(1))


@pytest.fixture
def address():
    """An address from which nobody has logged in."""
    return next(_addresses)


@pytest.fixture
def log_in(make_customers_api, settings):
    """`log_in(username, password, address)` asks for a token through a proxy that is trusted."""
    proxied = dataclasses.replace(settings, trusted_proxies=(ipaddress.ip_network("127.0.0.0/8"),))
    api = make_customers_api(settings=proxied)

    def ask(username, password, address):
        body = {"username": username, "password": password}
        return api.post("/auth/token", json=body, token=None, headers={"X-Forwarded-For": address})

    return ask


@pytest.fixture
def count(database, clock):
    """`count(name, address)` counts a log-in as one is before it is checked, and returns the seconds to wait."""

    def count_attempt(name, address):
        return database.transact(logins.count, login_store.buckets(name, address), clock())

    return count_attempt


def test_sixth_log_in_of_a_name_from_an_address_waits_for_the_window_to_end(log_in, factory, address, clock):
    username = factory.make_operator(PASSWORD)
    wrong = [refusal(log_in(username, "wrong", address)) for _ in range(5)]
    clock.advance(seconds=100)

    sixth = log_in(username, PASSWORD, address)
    clock.advance(seconds=200)
    later = log_in(username, PASSWORD, address)

    assert wrong == [WRONG] * 5
    assert (refusal(sixth), sixth.headers["Retry-After"]) == (TOO_MANY, "200")
    assert later.status_code == 200


def test_owner_gets_in_from_another_address_meanwhile(log_in, factory, address):
    username = factory.make_operator(PASSWORD)
    for _ in range(6):
        log_in(username, "wrong", address)

    assert log_in(username, PASSWORD, next(_addresses)).status_code == 200


def test_what_is_refused_unseen_counts_for_nobody_else(count, log_in, factory, address, clock):
    username, colleague = factory.make_operator(PASSWORD), factory.make_operator(PASSWORD)
    waits = [count(username, address) for _ in range(105)]
    clock.advance(seconds=3)

    assert waits.count(0) == 5
    assert log_in(username, PASSWORD, next(_addresses)).status_code == 200
    assert log_in(colleague, PASSWORD, address).status_code == 200


def test_unknown_name_is_refused_as_a_known_one_is(log_in, factory, address):
    known, unknown = factory.make_operator(PASSWORD), unique("nobody")

    answers = [[log_in(name, "wrong", address) for _ in range(6)][-1] for name in (known, unknown)]

    assert [refusal(answer) for answer in answers] == [TOO_MANY] * 2
    assert answers[0].json["detail"] == answers[1].json["detail"]


def test_name_with_an_accent_has_no_count_of_its_own(log_in, factory, address):
    username = factory.make_operator(PASSWORD).replace("operator", "opérator")

    # The contract refuses such a name; the table would take it for the other.
    assert refusal(log_in(username, "wrong", address)) == (400, "invalid_request")


def test_address_has_thirty_wrong_log_ins_whatever_the_names(count, log_in, factory, address, clock):
    for _ in range(30):
        assert count(unique("name"), address) == 0
    clock.advance(seconds=3)

    assert refusal(log_in(factory.make_operator(PASSWORD), PASSWORD, address)) == TOO_MANY


def test_name_has_a_hundred_but_where_it_has_logged_in_before(count, log_in, factory, address, clock):
    username = factory.make_operator(PASSWORD)
    assert log_in(username, PASSWORD, address).status_code == 200
    clock.advance(days=29)
    for _ in range(100):
        assert count(username, next(_addresses)) == 0

    elsewhere = log_in(username, PASSWORD, next(_addresses))
    at_its_own = log_in(username, PASSWORD, address)

    assert refusal(elsewhere) == TOO_MANY
    assert at_its_own.status_code == 200


def test_address_is_known_for_thirty_days(count, log_in, factory, address, clock):
    username = factory.make_operator(PASSWORD)
    log_in(username, PASSWORD, address)
    clock.advance(days=30)
    for _ in range(100):
        count(username, next(_addresses))

    assert refusal(log_in(username, PASSWORD, address)) == TOO_MANY


def test_right_log_ins_of_an_office_count_as_none(log_in, factory, address):
    username = factory.make_operator(PASSWORD)

    answers = [log_in(username, PASSWORD, address).status_code for _ in range(31)]

    assert answers == [200] * 31


def test_right_log_in_forgives_the_wrong_ones_of_its_name_there(log_in, factory, address):
    username = factory.make_operator(PASSWORD)
    passwords = [*["wrong"] * 4, PASSWORD, *["wrong"] * 5]

    answers = [log_in(username, password, address).status_code for password in passwords]

    assert answers == [*[401] * 4, 200, *[401] * 5]


def test_what_comes_while_others_are_checked_is_told_to_come_back_in_a_second(count, address, clock):
    name = unique("name")

    waits = [count(name, address) for _ in range(8)]
    clock.advance(seconds=2)

    assert waits == [0] * 5 + [1] * 3
    assert count(name, address) == 298


@pytest.mark.timeout(30)  # a wait for a turn would be longer
def test_log_in_beyond_those_that_are_checked_is_busy_at_once(database, clock, monkeypatch, address):
    monkeypatch.setattr(logins, "LOGINS_AT_ONCE", 0)

    with pytest.raises(Busy):
        logins.Logins(database, clock).check("demo", PASSWORD, address)


def test_refusal_has_a_line_in_the_log_without_the_password_or_an_unknown_name(log_in, factory, address, caplog):
    known, unknown = factory.make_operator(PASSWORD), unique("nobody")
    with caplog.at_level(logging.WARNING):
        for name in (known, unknown):
            log_in(name, "wrong-password", address)

    lines = [record.getMessage() for record in caplog.records if "log-in" in record.getMessage()]
    assert lines == [f"log-in refused: {known} from {address}", f"log-in refused: an unknown name from {address}"]


@pytest.mark.parametrize(("is_ours", "status"), [(True, 401), (False, 429)])
def test_address_that_a_program_logs_in_for_is_believed_with_the_service_token(
    customers_api, factory, service_token, is_ours, status
):
    body = {"username": factory.make_operator(PASSWORD), "password": "wrong"}
    headers = [{"X-On-Behalf-Of-Address": next(_addresses)} for _ in range(6)]
    token = service_token if is_ours else None

    answers = [customers_api.post("/auth/token", json=body, token=token, headers=each) for each in headers]

    assert answers[-1].status_code == status


def test_window_ends_five_minutes_after_the_first_failure(count, address, clock):
    name = unique("name")
    for _ in range(5):
        count(name, address)
        clock.advance(seconds=59)
    clock.now += timedelta(seconds=5)  # 300 after the first

    assert [count(name, address) for _ in range(5)] == [0] * 5
