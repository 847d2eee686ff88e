"""gunicorn and the application on raw sockets: what is no request, what stops in the middle, what is too large."""

import os
import re
import uuid
from contextlib import ExitStack

import pytest

from tests.system.conftest import wait_until
from tests.system.raw_http import Connection, exchange, request

HOST = "Host: api.example"
JSON = "Content-Type: application/json"
LOGIN = ("POST", "/auth/token", HOST, JSON)  # open to everybody, and takes a body
HEALTH = request("GET", "/health", HOST, "X-Request-ID: health")
# Stands where another server would see a body, or the next request: nobody must answer it.
SMUGGLED = request("GET", "/health", HOST, "X-Request-ID: smuggled")
BODY_LIMIT = 65_536
THREADS = 24  # of a service: two workers with twelve


@pytest.fixture(autouse=True)
def workers_survive(stack):
    """Whatever was sent: both services answer afterwards, and no worker was replaced."""
    yield
    booted = [int(pid) for pid in re.findall(r"Booting worker with pid: ([0-9]+)", "".join(stack.log))]
    assert len(booted) == 4
    assert [os.kill(pid, 0) for pid in booted] == [None] * 4
    assert [exchange(each, HEALTH)[0].status for each in (stack.customers, stack.orders)] == [200, 200]


# --- what never reaches the application ------------------------------------------------

NO_REQUEST = {
    "length and chunked": request(*LOGIN, "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "two lengths": request(*LOGIN, "Content-Length: 2", f"Content-Length: {2 + len(SMUGGLED)}", body=b"{}"),
    "two hosts": request("GET", "/health", HOST, "Host: other.example"),
    "bytes": b"\x00\xff\xfe" * 300 + b"\r\n\r\n",
}
NO_HOST = {"none": [], "a b": ["Host: a b"]}
TOO_LONG = {
    (414, "uri_too_long"): request("GET", "/orders?search=" + "a" * 20_000, HOST),
    (431, "header_too_large"): request("GET", "/health", HOST, "X-Long: " + "a" * 20_000),
}


@pytest.mark.parametrize("message", NO_REQUEST.values(), ids=NO_REQUEST)
def test_what_is_no_request_is_a_problem_and_ends_the_connection(stack, message):
    answers = exchange(stack.orders, message + SMUGGLED)

    assert [(answer.status, answer.code) for answer in answers] == [(400, "invalid_request")]
    assert answers[0].headers["connection"] == "close"
    assert answers[0].headers["cache-control"] == "no-store"
    assert answers[0].headers["x-content-type-options"] == "nosniff"
    assert answers[0].request_id not in (None, "smuggled")


@pytest.mark.parametrize("hosts", NO_HOST.values(), ids=NO_HOST)
def test_request_without_a_host_is_400_but_in_http_1_0(stack, hosts):
    (answer,) = exchange(stack.orders, request("GET", "/health", *hosts))
    (older,) = exchange(stack.orders, request("GET", "/health", version="HTTP/1.0"))

    assert (answer.status, answer.code, older.status) == (400, "invalid_request", 200)


@pytest.mark.parametrize(("expected", "message"), TOO_LONG.items())
def test_what_is_longer_than_the_server_takes_has_its_own_problem(stack, expected, message):
    answers = exchange(stack.orders, message)

    assert [(answer.status, answer.code) for answer in answers] == [expected]


SECRET = f"secret-{uuid.uuid4().hex}"
WITH_A_SECRET = {
    "no target": request("GET", SECRET, HOST, f"Authorization: Bearer {SECRET}"),
    "no chunk": request(*LOGIN, "Transfer-Encoding: chunked", body=f"{SECRET}\r\n".encode()),
}


@pytest.mark.parametrize("message", WITH_A_SECRET.values(), ids=WITH_A_SECRET)
def test_nothing_of_what_is_no_request_is_logged(stack, message):
    exchange(stack.customers, message)
    (later,) = exchange(stack.customers, b"nonsense\r\n\r\n")  # what is logged after it

    wait_until(lambda: str(later.request_id) in "".join(stack.log))
    assert SECRET not in "".join(stack.log)


# --- clients that stop in the middle ---------------------------------------------------


def test_more_clients_that_stop_in_the_middle_than_there_are_threads_do_not_stop_the_service(stack):
    halves = [b"GET /hea", request(*LOGIN, "Content-Length: 100", body=b"{")]
    with ExitStack() as clients:
        for half in halves * (THREADS // 2 + 1):
            clients.enter_context(Connection(stack.customers)).send(half)
        with Connection(stack.customers) as patient:
            patient.send(HEALTH)

            assert patient.read(timeout=60).status == 200
    # Anybody may send a half, and as often as it likes.
    assert "Traceback" not in "".join(stack.log)


@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    ("breaks_off", "expected"), [(False, (408, "request_timeout")), (True, (400, "malformed_json"))]
)
def test_body_that_stops_coming_or_breaks_off_adds_nothing(operator, stack, length, breaks_off, expected):
    name = uuid.uuid4().hex
    body = f'{{"name": "{name}", "email": "{name}@example.test"}}'.encode()
    login = f"Authorization: Bearer {operator.token}"
    part = b"%x\r\n%s" % (len(body), body) if "chunked" in length else body

    with Connection(stack.customers) as connection:
        connection.send(request("POST", "/customers", HOST, JSON, login, length, body=part))
        if breaks_off:
            connection.finish()
        answer = connection.read()

    assert (answer.status, answer.code) == expected
    assert operator.get(stack.customers, "/customers", search=name)["data"] == []


# --- bodies ----------------------------------------------------------------------------


def test_chunked_body_is_read_and_what_follows_it_is_the_next_request(operator, stack):
    name = uuid.uuid4().hex
    body = f'{{"name": "{name}", "email": "{name}@example.test"}}'.encode()
    chunks = b"%x\r\n%s\r\n1\r\n}\r\n0\r\n\r\n" % (len(body) - 1, body[:-1])
    login = f"Authorization: Bearer {operator.token}"

    with Connection(stack.customers) as connection:
        connection.send(request("POST", "/customers", HOST, JSON, login, "Transfer-Encoding: chunked", body=chunks))
        created = connection.read()
        connection.send(HEALTH)
        healthy = connection.read()

    assert (created.status, healthy.status, healthy.request_id) == (201, 200, "health")


OVER_THE_LIMIT = b" " * BODY_LIMIT + SMUGGLED
CHUNKED_OVER_THE_LIMIT = b"%x\r\n%s\r\n0\r\n\r\n" % (len(OVER_THE_LIMIT), OVER_THE_LIMIT)


@pytest.mark.parametrize(
    ("length", "body"),
    [
        (f"Content-Length: {len(OVER_THE_LIMIT)}", OVER_THE_LIMIT),
        ("Transfer-Encoding: chunked", CHUNKED_OVER_THE_LIMIT),
    ],
    ids=["length", "chunked"],
)
def test_body_over_the_limit_is_413_and_what_it_holds_is_no_request(stack, length, body):
    answers = exchange(stack.customers, request(*LOGIN, length, body=body) + HEALTH)

    assert [(answer.status, answer.code) for answer in answers] == [(413, "payload_too_large"), (200, None)]
    assert answers[1].request_id == "health"


def test_client_library_that_sends_a_large_body_gets_to_read_the_413(operator, stack):
    # More than the socket buffers hold: the client is still sending when the answer comes.
    response = operator.session.post(
        stack.customers + "/customers", data=b" " * 20_000_000, headers={"Content-Type": "application/json"}, timeout=30
    )

    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


def test_length_alone_is_413_though_none_of_the_body_comes(stack):
    with Connection(stack.customers) as connection:
        connection.send(request(*LOGIN, "Content-Length: 9999999999"))
        connection.finish()
        answer = connection.read()

    assert (answer.status, answer.code) == (413, "payload_too_large")


@pytest.mark.parametrize("trailer", [b"A b", b"Content-Length: 5\r\n folded"], ids=["no colon", "folded"])
def test_request_whose_chunks_end_in_nonsense_has_one_answer(stack, trailer):
    chunks = b"0\r\n" + trailer + b"\r\n\r\n"

    for method, path, status in (("GET", "/health", 200), ("POST", "/orders", 401)):
        answers = exchange(stack.orders, request(method, path, HOST, "Transfer-Encoding: chunked", body=chunks))
        assert [answer.status for answer in answers] == [status]


@pytest.mark.parametrize(
    ("start", "waits_for_an_answer"),
    [
        ("Transfer-Encoding: chunked\r\n\r\nAA\r\n{", True),  # stops within a chunk
        ("Transfer-Encoding: chunked\r\n\r\nZZ\r\n", True),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\n{}junk", True),
        ("Transfer-Encoding: identity\r\n\r\n", False),
        ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", False),
    ],
)
def test_what_follows_a_body_without_a_known_end_is_no_request(operator, stack, start, waits_for_an_answer):
    head = f"POST /customers HTTP/1.1\r\n{HOST}\r\n{JSON}\r\nAuthorization: Bearer {operator.token}\r\n{start}"
    with Connection(stack.customers) as connection:
        connection.send(head.encode() + (b"" if waits_for_an_answer else SMUGGLED))
        refused = connection.read()
        if waits_for_an_answer:
            connection.send(SMUGGLED)

        assert refused.status in (400, 408)
        assert refused.headers["connection"] == "close"
        assert connection.read() is None


def test_nothing_of_a_broken_chunk_is_logged(stack):
    secret = f"secret-{uuid.uuid4().hex}"
    exchange(stack.customers, request(*LOGIN, "Transfer-Encoding: chunked", body=f"{secret}\r\n".encode()))
    (later,) = exchange(stack.customers, b"nonsense\r\n\r\n")  # what is logged after it

    wait_until(lambda: str(later.request_id) in "".join(stack.log))
    assert secret not in "".join(stack.log)


@pytest.mark.parametrize("size", [BODY_LIMIT, 2 * BODY_LIMIT])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_connection_goes_on_after_a_refused_body(stack, size, is_chunked):
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size) if is_chunked else b"x" * size
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
    for _ in range(5):
        with Connection(stack.orders) as connection:
            connection.send(request("POST", "/orders", HOST, JSON, length, body=body))
            refused = connection.read()
            connection.send(HEALTH)

            assert (refused.code, connection.read().status) == ("authentication_required", 200)
