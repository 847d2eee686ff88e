"""How Orders asks Customers: what counts as an answer, and what is asked a second time."""

import json

import pytest

from common import gunicorn_conf
from common.database import CONNECTIONS
from common.problems import CustomerNotFound, CustomersUnavailable, InvalidCredentials
from orders import customers_client
from orders.customers_client import CustomersClient
from tests.unit.conftest import CUSTOMER, Reply, make_problem

TOKEN = "t" * 32
HEADERS = {"X-Request-ID": "abc", "traceparent": "00-trace"}
FOUND = Reply(200, CUSTOMER)
CREDENTIALS = {"username": "maria", "password": "of her own"}
TOKEN_ANSWER = {"token": "a.b.c", "token_type": "Bearer", "expires_in": 7200}
WRONG_CREDENTIALS = Reply(401, make_problem(401, "invalid_credentials"))

# What is neither a customer nor a token.
UNUSABLE = {
    "503": Reply(503, make_problem(503, "busy")),
    "401": Reply(401, make_problem(401, "invalid_token")),
    "404 of a wrong address": Reply(404, make_problem(404, "not_found")),
    "404 with a list": Reply(404, ["customer_not_found"]),
    "redirect": Reply(302, b"", {"Location": "/elsewhere"}),
    "HTML": Reply(200, b"<html>"),
    "another customer": Reply(200, {**CUSTOMER, "id": 2}),
    "a field too many": Reply(200, {**CUSTOMER, "password": "x"}),
    "an id of text": Reply(200, {**CUSTOMER, "id": "1"}),
    "201": Reply(201, CUSTOMER),
    "a name that is no text": Reply(200, json.dumps({**CUSTOMER, "name": "\ud800"}).encode()),
    "nested without end": Reply(200, b"[" * 100_000),
    "a token with a field too many": Reply(200, {**TOKEN_ANSWER, "refresh_token": "x"}),
}
for_everything_unusable = pytest.mark.parametrize("reply", UNUSABLE.values(), ids=UNUSABLE.keys())


@pytest.fixture
def client(upstream):
    return CustomersClient(upstream.base, TOKEN)


def test_customer_is_fetched_once_with_token_and_the_headers_given(client, upstream):
    upstream.replies = [FOUND]

    customer = client.fetch(1, HEADERS)

    ((method, path, headers, _),) = upstream.requests
    assert customer == CUSTOMER
    assert (method, path) == ("GET", "/internal/customers/1")
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert {name: headers[name] for name in HEADERS} == HEADERS


def test_token_is_fetched_once_with_the_credentials_for_the_address_of_whoever_logs_in(client, upstream):
    upstream.replies = [Reply(200, TOKEN_ANSWER)]

    token = client.fetch_token(CREDENTIALS, "192.0.2.7", HEADERS)

    ((method, path, headers, body),) = upstream.requests
    assert token == TOKEN_ANSWER
    assert (method, path, body) == ("POST", "/auth/token", CREDENTIALS)
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert (headers["X-On-Behalf-Of-Address"], headers["X-Request-ID"]) == ("192.0.2.7", "abc")


def test_customer_not_found_and_wrong_credentials_are_believed_at_once(client, upstream):
    upstream.replies = [Reply(404, make_problem(404, "customer_not_found")), WRONG_CREDENTIALS]

    with pytest.raises(CustomerNotFound):
        client.fetch(1, HEADERS)
    with pytest.raises(InvalidCredentials):
        client.fetch_token(CREDENTIALS, "192.0.2.7", HEADERS)

    assert len(upstream.requests) == 2


@for_everything_unusable
def test_answer_that_is_none_is_asked_for_twice_and_then_unavailable(client, upstream, reply):
    upstream.replies = [reply]

    with pytest.raises(CustomersUnavailable):
        client.fetch(1, HEADERS)

    assert len(upstream.requests) == 2


@for_everything_unusable
def test_answer_without_a_token_is_asked_for_twice_and_then_unavailable(client, upstream, reply):
    upstream.replies = [reply]

    with pytest.raises(CustomersUnavailable):
        client.fetch_token(CREDENTIALS, "192.0.2.7", HEADERS)

    assert len(upstream.requests) == 2


def test_second_attempt_may_succeed(client, upstream):
    upstream.replies = [UNUSABLE["503"], FOUND]

    assert client.fetch(1, HEADERS) == CUSTOMER


def test_hanging_service_is_unavailable_after_its_timeout(client, upstream, monkeypatch):
    monkeypatch.setattr(customers_client, "CALL_TIMEOUT", 0.1)
    upstream.replies = [Reply(hangs=True)]

    with pytest.raises(CustomersUnavailable):
        client.fetch(1, HEADERS)

    assert len(upstream.requests) == 2


def test_service_that_does_not_listen_is_unavailable():
    with pytest.raises(CustomersUnavailable):
        CustomersClient("http://127.0.0.1:1", TOKEN).fetch(1, HEADERS)


def test_threads_are_left_while_every_call_hangs():
    assert gunicorn_conf.threads >= CONNECTIONS + customers_client.CALLS_AT_ONCE + 2


def test_log_in_beyond_those_that_run_is_refused_without_asking(upstream, monkeypatch):
    monkeypatch.setattr(customers_client, "LOGINS_AT_ONCE", 0)

    with pytest.raises(CustomersUnavailable) as caught:
        CustomersClient(upstream.base, TOKEN).fetch_token(CREDENTIALS, "192.0.2.7", HEADERS)

    assert caught.value.detail == "Too many log-ins at once; try again."
    assert upstream.requests == []


def test_log_in_that_has_ended_makes_room_for_the_next_however_it_ended(client, upstream):
    upstream.replies = [WRONG_CREDENTIALS] * customers_client.LOGINS_AT_ONCE + [Reply(200, TOKEN_ANSWER)]

    for _ in range(customers_client.LOGINS_AT_ONCE):
        with pytest.raises(InvalidCredentials):
            client.fetch_token(CREDENTIALS, "192.0.2.7", HEADERS)

    assert client.fetch_token(CREDENTIALS, "192.0.2.7", HEADERS) == TOKEN_ANSWER
