"""gunicorn and the application on raw sockets: every message has one meaning, or is refused."""

import os
import re
import resource
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.system.conftest import free_ports, wait_until
from tests.system.raw_http import Connection, exchange, request
from tests.system.services import Service

HOST = "Host: api.example"
JSON = "Content-Type: application/json"
LOGIN = ("POST", "/auth/token", HOST, JSON)  # open to everybody, and takes a body
HEALTH = request("GET", "/health", HOST, "X-Request-ID: health")
# Stands where another server would see a body, or the next request: nobody must answer it.
SMUGGLED = request("GET", "/health", HOST, "X-Request-ID: smuggled")
BODY_LIMIT = 65_536


@pytest.fixture(params=["customers", "orders"])
def base(request, stack):
    """The address of each of the two APIs."""
    return getattr(stack, request.param)


@pytest.fixture(autouse=True)
def workers_survive(stack):
    """Whatever was sent: both services answer afterwards, and no worker was replaced."""
    yield
    booted = [int(pid) for pid in re.findall(r"Booting worker with pid: ([0-9]+)", "".join(stack.log))]
    assert len(booted) == 4
    assert [os.kill(pid, 0) for pid in booted] == [None] * 4
    assert [exchange(each, HEALTH)[0].status for each in (stack.customers, stack.orders)] == [200, 200]


def request_ids(answers):
    return [answer.request_id for answer in answers]


# --- messages with two meanings --------------------------------------------------------

TWO_MEANINGS = {
    "length and chunked": request(*LOGIN, "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked and length": request(*LOGIN, "Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n"),
    "two lengths": request(*LOGIN, "Content-Length: 2", f"Content-Length: {2 + len(SMUGGLED)}", body=b"{}"),
    "two equal lengths": request(*LOGIN, "Content-Length: 2", "Content-Length: 2", body=b"{}"),
    "list of lengths": request(*LOGIN, "Content-Length: 2, 2", body=b"{}"),
    "signed length": request(*LOGIN, "Content-Length: +2", body=b"{}"),
    "negative length": request(*LOGIN, "Content-Length: -2", body=b"{}"),
    "hexadecimal length": request(*LOGIN, "Content-Length: 0x2", body=b"{}"),
    "length with an underscore": request(*LOGIN, "Content-Length: 0_2", body=b"{}"),
    "length past 64 bits": request(*LOGIN, "Content-Length: 99999999999999999999999", body=b"{}"),
    "space before the colon": request(*LOGIN, "Content-Length : 2", body=b"{}"),
    "chunked twice": request(*LOGIN, *["Transfer-Encoding: chunked"] * 2, body=b"0\r\n\r\n"),
    "chunked not last": request(*LOGIN, "Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    "almost chunked": request(*LOGIN, "Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked in HTTP/1.0": request(*LOGIN, "Transfer-Encoding: chunked", body=b"0\r\n\r\n", version="HTTP/1.0"),
    "two hosts": request("GET", "/health", HOST, "Host: other.example"),
    "two equal hosts": request("GET", "/health", HOST, HOST),
    "folded header": request("GET", "/health", HOST, "X-A: b\r\n Content-Length: 5"),
    "bare CR in a header": request("GET", "/health", HOST, "X-A: b\rX-B: c"),
    "bare LF in a header": request("GET", "/health", HOST, "X-A: b\nX-B: c"),
    "bare LF everywhere": HEALTH.replace(b"\r", b""),
    "NUL in a header": request("GET", "/health", HOST, "X-A: b\0c"),
}


@pytest.mark.parametrize("message", TWO_MEANINGS.values(), ids=TWO_MEANINGS)
def test_message_with_two_meanings_is_400_and_ends_the_connection(base, message):
    answers = exchange(base, message + SMUGGLED)

    assert [(answer.status, answer.code) for answer in answers] == [(400, "invalid_request")]
    assert answers[0].headers["connection"] == "close"
    assert request_ids(answers) != ["smuggled"]


# --- messages that are none ------------------------------------------------------------

NO_HTTP = {
    "bytes": b"\x00\xff\xfe" * 300 + b"\r\n\r\n",
    "TLS": bytes.fromhex("160301020001000100fc0303") + bytes(200) + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "a version of tomorrow": request("GET", "/health", HOST, version="HTTP/9.9"),
    "a proxy's preamble": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    "lower-case method": request("get", "/health", HOST),
    "odd method": request("G@T", "/health", HOST),
    "target without a slash": request("GET", "health", HOST),
    "asterisk": request("GET", "*", HOST),
    "request line of 20 KB": request("GET", "/health?search=" + "a" * 20_000, HOST),
}


@pytest.mark.parametrize("message", NO_HTTP.values(), ids=NO_HTTP)
def test_what_is_no_request_is_400_and_ends_the_connection(base, message):
    answers = exchange(base, message + SMUGGLED)

    assert [(answer.status, answer.code) for answer in answers] == [(400, "invalid_request")]
    assert answers[0].headers["connection"] == "close"
    assert request_ids(answers) != ["smuggled"]


@pytest.mark.parametrize(
    "header", ["X-Long: " + "a" * 20_000, "Expect: 200-ok"], ids=["of 20 KB", "unknown expectation"]
)
def test_header_that_gunicorn_refuses_ends_the_connection(base, header):
    answers = exchange(base, request("GET", "/health", HOST, header) + SMUGGLED)

    assert len(answers) == 1
    assert 400 <= answers[0].status < 500
    assert answers[0].code is not None
    assert answers[0].headers["connection"] == "close"
    assert request_ids(answers) != ["smuggled"]


@pytest.mark.parametrize(
    "part",
    [b"G", HEALTH[:-10], request(*LOGIN, "Content-Length: 2")[:-2], request(*LOGIN, "Transfer-Encoding: chunked")[:-1]],
    ids=["one byte", "half a header", "no end of headers", "half an end of headers"],
)
def test_half_a_request_is_not_answered(base, part):
    assert exchange(base, part) == []


def test_more_clients_that_give_up_than_there_are_threads_leave_no_thread_busy(base):
    for _ in range(20):
        with Connection(base) as connection:
            connection.send(b"GET /hea")

    assert exchange(base, HEALTH)[0].status == 200


def test_more_clients_that_stop_in_the_middle_than_there_are_threads_do_not_stop_the_service(stack):
    halves = [b"GET /hea", request(*LOGIN, "Content-Length: 100", body=b"{")]
    with ExitStack() as clients:
        for half in halves * 9:  # two workers with eight threads each, and two more
            clients.enter_context(Connection(stack.customers)).send(half)
        with Connection(stack.customers) as patient:
            patient.send(HEALTH)

            assert patient.read(timeout=60).status == 200
    # Anybody may send a half, and as often as it likes.
    assert "Traceback" not in "".join(stack.log)


def test_more_clients_that_say_nothing_than_there_are_threads_hold_none(base):
    with ExitStack() as clients:
        for _ in range(40):
            clients.enter_context(Connection(base))
        started = time.monotonic()

        assert exchange(base, request("GET", "/nowhere", HOST))[0].status == 404
        assert time.monotonic() - started < 3  # the base class gives each of them a thread for five seconds


def test_more_clients_that_never_pause_than_there_are_threads_leave_room_for_others(base):
    message = request("GET", "/nowhere", HOST)
    size = 2 * len(exchange(base, message)[0].body)  # its head is as long
    with ExitStack() as clients:
        busy = [clients.enter_context(Connection(base)) for _ in range(40)]
        for connection in busy:
            connection.send(message * 400)
        with Connection(base) as other:
            other.send(message)

            assert other.read().status == 404
        # The others had some turns before, and not all of theirs.
        assert sum(connection.waiting_bytes() for connection in busy) < 40 * 50 * size


HELD = {
    "answered, and not closing": request("GET", "/health", HOST, "Connection: close"),
    "refused, and not closing": request("GET", "health", HOST),
    "half a health check": b"GET /health",
    "a health check without its end": request("GET", "/health/live", HOST)[:-2],
    "a health check with a body that does not come": request("GET", "/health/live", HOST, "Content-Length: 9"),
}


@pytest.mark.parametrize("message", HELD.values(), ids=HELD)
def test_many_clients_that_keep_their_connections_hold_up_no_health_check(stack, message):
    with ExitStack() as clients:
        for _ in range(40):
            clients.enter_context(Connection(stack.customers)).send(message)
        started = time.monotonic()

        for _ in range(4):
            with Connection(stack.customers) as probe:
                probe.send(HEALTH)
                assert probe.read().status == 200
        assert time.monotonic() - started < 2  # gunicorn alone closes one after the other, two seconds each


# --- bodies ----------------------------------------------------------------------------


def test_chunked_body_is_411_and_what_it_holds_is_no_request(stack):
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)

    answers = exchange(stack.customers, request(*LOGIN, "Transfer-Encoding: chunked", body=chunk) + HEALTH)

    assert [(answer.status, answer.code) for answer in answers] == [(411, "length_required"), (200, None)]
    assert answers[1].request_id == "health"


@pytest.mark.parametrize(
    "chunks",
    [b"ZZ\r\n{}\r\n0\r\n\r\n", b"5\r\n{}\r\n0\r\n\r\n", b"2\r\n{}"],
    ids=["no number", "wrong size", "cut off"],
)
def test_broken_chunks_are_411_and_end_the_connection(stack, chunks):
    answers = exchange(stack.customers, request(*LOGIN, "Transfer-Encoding: chunked", body=chunks) + SMUGGLED)

    assert [(answer.status, answer.code) for answer in answers] == [(411, "length_required")]


def test_nothing_of_a_broken_chunk_is_logged(stack):
    secret = f"no-number-{uuid.uuid4().hex}"

    answers = exchange(stack.customers, request(*LOGIN, "Transfer-Encoding: chunked", body=f"{secret}\r\n".encode()))
    # What is logged after it, so that it must be there.
    (later,) = exchange(stack.customers, b"nonsense\r\n\r\n")
    wait_until(lambda: str(later.request_id) in "".join(stack.log))

    assert [(answer.status, answer.code) for answer in answers] == [(411, "length_required")]
    assert secret not in "".join(stack.log)


@pytest.mark.parametrize("size", [BODY_LIMIT + 1, 1_000_000], ids=["one byte more", "1 MB"])
def test_body_over_the_limit_is_413_that_its_sender_can_read(stack, size):
    body = SMUGGLED + b" " * (size - len(SMUGGLED))

    with Connection(stack.customers) as connection:
        # All of it, before anything is read: by then the server may have reset the connection.
        connection.send(request(*LOGIN, f"Content-Length: {size}", body=body))
        answer = connection.read()

    assert (answer.status, answer.code) == (413, "payload_too_large")


def test_rest_of_a_body_over_the_limit_is_no_request(stack):
    body = b" " * BODY_LIMIT + SMUGGLED

    answers = exchange(stack.customers, request(*LOGIN, f"Content-Length: {len(body)}", body=body) + SMUGGLED)

    assert [(answer.status, answer.code) for answer in answers] == [(413, "payload_too_large")]


def test_client_library_that_sends_a_large_body_gets_to_read_the_413(operator, stack):
    # More than the socket buffers hold: the client is still sending when the answer comes.
    response = operator.session.post(
        stack.customers + "/customers", data=b" " * 20_000_000, headers={"Content-Type": "application/json"}, timeout=30
    )

    assert response.status_code == 413
    assert response.json()["code"] == "payload_too_large"


def test_body_of_the_limit_is_read(stack):
    answers = exchange(
        stack.customers, request(*LOGIN, f"Content-Length: {BODY_LIMIT}", body=b" " * BODY_LIMIT) + HEALTH
    )

    assert [(answer.status, answer.code) for answer in answers] == [(400, "malformed_json"), (200, None)]


def test_length_alone_is_413_before_any_of_the_body_was_sent(stack):
    with Connection(stack.customers) as connection:
        connection.send(request(*LOGIN, "Content-Length: 9999999999"))
        answer = connection.read()

    assert (answer.status, answer.code) == (413, "payload_too_large")


def test_body_that_breaks_off_is_400_and_adds_nothing(operator, stack):
    name = uuid.uuid4().hex
    body = f'{{"name": "{name}", "email": "{name}@example.test"'.encode()
    login = f"Authorization: Bearer {operator.token}"

    answers = exchange(
        stack.customers, request("POST", "/customers", HOST, JSON, login, "Content-Length: 1000", body=body)
    )

    assert [(answer.status, answer.code) for answer in answers] == [(400, "malformed_json")]
    assert operator.get(stack.customers, "/customers", search=name)["data"] == []


def test_bytes_after_the_body_are_no_part_of_it(stack):
    answers = exchange(stack.customers, request(*LOGIN, "Content-Length: 2", body=b"{}") + HEALTH)

    assert [(answer.status, answer.code) for answer in answers] == [(400, "invalid_request"), (200, None)]


def test_body_where_none_is_wanted_is_skipped(base):
    answers = exchange(
        base, request("GET", "/health", HOST, f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED) + HEALTH
    )

    assert [answer.status for answer in answers] == [200, 200]
    assert "smuggled" not in request_ids(answers)


def test_expectation_of_100_is_met_before_the_body_is_sent(stack):
    with Connection(stack.customers) as connection:
        connection.send(request(*LOGIN, "Content-Length: 2", "Expect: 100-continue"))
        interim = connection.read()
        connection.send(b"{}")
        final = connection.read()

    assert interim.status == 100
    assert (final.status, final.code) == (400, "invalid_request")


# --- connections -----------------------------------------------------------------------


def test_connection_is_kept_for_the_next_request(base):
    with Connection(base) as connection:
        connection.send(HEALTH)
        first = connection.read()
        connection.send(request("GET", "/nowhere", HOST))
        second = connection.read()

    assert (first.status, first.headers["connection"]) == (200, "keep-alive")
    assert (second.status, second.code) == (404, "not_found")


def test_connection_is_closed_on_request(base):
    answers = exchange(base, request("GET", "/health", HOST, "Connection: close") + SMUGGLED)

    assert [answer.status for answer in answers] == [200]
    assert answers[0].headers["connection"] == "close"


@pytest.mark.parametrize("number", range(2, 5))
def test_pipelined_requests_are_answered_in_their_order(base, number):
    ids = [f"pipelined-{place}" for place in range(number)]

    answers = exchange(base, b"".join(request("GET", "/nowhere", HOST, f"X-Request-ID: {each}") for each in ids))

    assert [(answer.status, answer.code) for answer in answers] == [(404, "not_found")] * number
    assert request_ids(answers) == ids


def test_pipelined_requests_are_answered_while_the_client_waits(base):
    with Connection(base) as connection:
        connection.send(HEALTH * 3)
        answers = [connection.read(timeout=5) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 200]


def test_request_that_comes_with_a_body_before_it_never_waits(stack):
    pair = request(*LOGIN, "Content-Length: 2", body=b"{}") + HEALTH
    slowest = 0
    for _ in range(400):
        with Connection(stack.customers) as connection:
            started = time.monotonic()
            connection.send(pair)
            assert (connection.read().status, connection.read().status) == (400, 200)
            slowest = max(slowest, time.monotonic() - started)

    assert slowest < 2  # five where the worker's main loop waits for bytes that were read already


def test_next_request_that_comes_with_the_body_of_a_refused_one_is_answered(stack):
    # As requests and urllib3 send them: the head, then the body, and the next as soon as the answer is there.
    refused = request("POST", "/customers", HOST, JSON, "Content-Length: 2")

    with Connection(stack.customers) as connection:
        connection.send(refused)
        refusal = connection.read()
        connection.send(b"{}" + HEALTH)
        health = connection.read(timeout=5)

    assert (refusal.status, refusal.code) == (401, "authentication_required")
    assert health.status == 200


def test_empty_line_after_a_body_is_no_request_and_holds_nobody(stack):
    with Connection(stack.customers) as connection:
        connection.send(request(*LOGIN, "Content-Length: 2", body=b"{}\r\n"))
        first = connection.read()
        # Longer than a thread waits for the rest of a request that has begun.
        threading.Event().wait(6)
        connection.send(HEALTH)
        second = connection.read(timeout=5)

    assert (first.status, first.code) == (400, "invalid_request")
    assert second.status == 200


# --- methods and targets ---------------------------------------------------------------


def test_unknown_method_is_a_problem(base):
    answers = exchange(base, request("BREW", "/health", HOST))

    assert [(answer.status, answer.code) for answer in answers] == [(400, "invalid_request")]


def test_known_method_that_the_address_does_not_take_is_405_with_allow(base):
    answers = exchange(base, request("TRACE", "/health", HOST, "X-Secret: 1"))

    assert [(answer.status, answer.code) for answer in answers] == [(405, "method_not_allowed")]
    assert answers[0].headers["allow"] == "GET, OPTIONS"
    assert b"X-Secret" not in answers[0].body


@pytest.mark.parametrize("path", ["/health", "/nowhere"])
def test_head_has_no_body_and_leaves_the_connection_in_step(base, path):
    with Connection(base) as connection:
        connection.send(request("HEAD", path, HOST))
        head = connection.read(method="HEAD")
        connection.send(HEALTH)
        health = connection.read()

    assert head.status in (405, 404)
    assert health.status == 200
    assert health.body.startswith(b'{"ok":true')


@pytest.mark.parametrize(
    ("service", "path", "allow"), [("customers", "/customers", "GET, POST"), ("orders", "/orders/1/confirm", "POST")]
)
def test_options_names_the_methods_without_a_token(stack, service, path, allow):
    answers = exchange(getattr(stack, service), request("OPTIONS", path, HOST))

    assert [(answer.status, answer.headers["allow"], answer.body) for answer in answers] == [(200, allow, b"")]


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("http://elsewhere.example/health", 200, None),
        ("http://elsewhere.example/nowhere", 404, "not_found"),
        ("http://elsewhere.example", 404, "not_found"),
    ],
)
def test_absolute_target_means_its_path(base, target, status, code):
    answers = exchange(base, request("GET", target, HOST))

    assert [(answer.status, answer.code) for answer in answers] == [(status, code)]


@pytest.mark.parametrize(
    "target", ["/%ff%00", "/caf\xe9", "/../etc/passwd", "//nowhere", "/health%2f", "/health/", "/;x"]
)
def test_odd_target_is_404(base, target):
    answers = exchange(base, request("GET", target, HOST))

    assert [(answer.status, answer.code) for answer in answers] == [(404, "not_found")]


def test_headers_of_a_proxy_that_nobody_trusts_change_nothing(base):
    headers = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "Script-Name: /health", "Path-Info: /nowhere")

    answers = exchange(base, request("GET", "/health", HOST, *headers))

    assert [answer.status for answer in answers] == [200]


def test_header_with_underscores_does_not_pass_for_the_one_with_hyphens(base):
    # WSGI has one name for both; a proxy that sets or strips a header knows only the real one.
    answers = exchange(base, request("GET", "/health", HOST, "X_Request_ID: smuggled"))

    assert [answer.status for answer in answers] == [200]
    assert request_ids(answers) != ["smuggled"]


# --- connections that nobody uses ------------------------------------------------------


@pytest.fixture
def forgetful(stack, tmp_path):
    """A service of the test's own that keeps an idle connection for a second, not for 75."""
    environ = {**stack.environ, "GUNICORN_CMD_ARGS": "--keep-alive 1"}
    service = Service("customers", free_ports(1)[0], environ, tmp_path)
    service.start()
    yield service
    service.end()


def test_request_that_comes_as_its_connection_times_out_is_answered_or_the_connection_ended(forgetful):
    outcomes = []

    def ask(pause):
        with Connection(forgetful.base) as connection:
            connection.send(HEALTH)
            assert connection.read().status == 200
            threading.Event().wait(pause)
            try:
                connection.send(HEALTH)
                answer = connection.read(timeout=5)  # a connection that was forgotten fails here
            except (ConnectionResetError, BrokenPipeError):
                answer = None
            outcomes.append(answer and answer.status)

    # From well before a second to well after it, two hundred in each tenth.
    with ThreadPoolExecutor(100) as clients:
        list(clients.map(ask, [0.8 + 0.001 * (number % 400) for number in range(800)]))

    assert outcomes.count(200) + outcomes.count(None) == 800
    assert min(outcomes.count(200), outcomes.count(None)) > 50
    assert exchange(forgetful.base, HEALTH)[0].status == 200


def test_worker_with_as_many_connections_as_it_takes_lives(stack, tmp_path):
    service = Service("customers", free_ports(1)[0], stack.environ, tmp_path)
    try:
        workers = service.start().workers()
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (1024, 1024))  # a common default
        own = resource.getrlimit(resource.RLIMIT_NOFILE)
        with ExitStack() as clients:
            clients.callback(resource.setrlimit, resource.RLIMIT_NOFILE, own)
            resource.setrlimit(resource.RLIMIT_NOFILE, (own[1], own[1]))
            for _ in range(2300):
                clients.enter_context(Connection(service.base))
            threading.Event().wait(2)  # until both have taken what they take
        assert exchange(service.base, HEALTH)[0].status == 200
        assert service.workers() == workers
    finally:
        service.end()
