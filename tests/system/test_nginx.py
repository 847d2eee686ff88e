"""docs/nginx.conf in nginx: what reaches an instance, how often, for whom, and what nginx answers itself."""

import re
import subprocess
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.system.conftest import ROOT, free_ports, wait_until
from tests.system.http_server import answer
from tests.system.nginx import BALANCER, COMPOSE, Nginx, Recorder, believe_balancer, break_off, client_at
from tests.system.raw_http import Connection, exchange, request

HOST = "Host: api.example"
OUTSIDE = "203.0.113.7"
PROBLEM_MEMBERS = ["type", "title", "status", "detail", "instance", "code", "request_id"]
BODY_LIMIT = 65_536
REQUESTS_AT_ONCE = 64
RATE, AHEAD = 50, 100  # requests in a second from one address, and how many more before that counts
LOG_INS_AHEAD = 20


@pytest.fixture
def recorders():
    """Two instances, which stand for both services."""
    with Recorder() as first, Recorder() as second:
        yield first, second


@pytest.fixture
def nginx(recorders, tmp_path):
    """nginx before the recorders; a new one for each test, for it keeps in mind who has failed and who asked."""
    ports = [recorder.port for recorder in recorders]
    with Nginx(tmp_path / "nginx", ports, ports, change=believe_balancer) as nginx:
        yield nginx


@pytest.fixture
def nginx_of_compose(recorders, tmp_path):
    """nginx as docker-compose.yml has it; the second recorder stands for Orders and the orchestrator."""
    customers, orders = [[recorder.port] for recorder in recorders]
    with Nginx(tmp_path / "compose", customers, orders, orders, addresses=COMPOSE) as nginx:
        yield nginx


@pytest.fixture
def nginx_before_nobody(tmp_path):
    """nginx whose instances are all down."""
    ports = free_ports(4)
    with Nginx(tmp_path / "nobody", ports[:2], ports[2:]) as nginx:
        yield nginx


@pytest.fixture
def client():
    """A session of a client without limits, as our own programs are."""
    with client_at("127.0.0.1") as client:
        yield client


def received(recorders):
    return recorders[0].requests + recorders[1].requests


def ask(base, message, source=None):
    with Connection(base, source) as connection:
        connection.send(message)
        return connection.read()


def assert_problem(response, status, code):
    """Check a problem document of nginx's, whole."""
    document = response.json()
    assert (response.status_code, document["code"]) == (status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert list(document) == PROBLEM_MEMBERS
    assert document["status"] == status
    assert document["type"] == f"urn:problem-type:b2b:{code}"
    assert document["request_id"] == response.headers["X-Request-ID"]
    assert document["instance"] == f"urn:request:{document['request_id']}"
    assert "nginx/" not in response.headers["Server"]
    assert (response.headers["Cache-Control"], response.headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_lines_of_the_scaling_page_for_tls_serve_both_and_nothing_in_the_clear(recorders, tmp_path, client):
    certificate, key = tmp_path / "fullchain.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=b2b", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    (lines,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "scaling.md").read_text(), re.DOTALL)

    def speak_tls(addresses):
        changed, count = re.subn(r"( +listen 127.*\n){2}", lines, addresses)
        assert count == 1
        return changed.replace("/etc/nginx/tls", str(tmp_path))

    ports = [recorder.port for recorder in recorders]
    with Nginx(tmp_path / "tls", ports, ports, change=speak_tls) as tls:
        for base in (tls.customers, tls.orders):
            answer = client.get(base.replace("http:", "https:") + "/health", verify=str(certificate))
            assert answer.status_code == 200
        refused = client.get(tls.orders + "/orders")

    assert_problem(refused, 400, "invalid_request")
    assert [each.headers["Strict-Transport-Security"] for each in (answer, refused)] == ["max-age=31536000"] * 2

    assert [headers["X-Forwarded-Proto"] for _, _, headers in received(recorders)] == ["https"] * 2


# --- instances -------------------------------------------------------------------------


def test_read_goes_to_the_next_instance_when_one_breaks_off_and_the_log_has_each_try(nginx, recorders, client):
    recorders[0].script(break_off)
    target = "/a%2Fb//c"  # goes on as it is

    statuses = [client.get(f"{nginx.orders}{target}?search=needle").status_code for _ in range(2)]

    assert statuses == [200, 200]
    assert {path for _, path, _ in received(recorders)} == {f"{target}?search=needle"}
    lines = nginx.access_log(2)
    assert sorted(line["upstream_status"] for line in lines) == ["200", "502, 200"]
    assert {(line["service"], line["method"], line["path"], line["status"]) for line in lines} == {
        ("orders", "GET", target, 200)
    }


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [(break_off, 502, "upstream_broken"), (lambda handler: threading.Event().wait(30), 504, "upstream_timeout")],
    ids=["breaks off", "too late"],
)
def test_change_that_may_have_been_received_is_sent_once(recorders, tmp_path, client, script, status, code):
    ports = [recorder.port for recorder in recorders]
    for recorder in recorders:
        recorder.script(script)

    def wait_less(addresses):
        return addresses.replace("server {", "server { proxy_read_timeout 3s;")

    with Nginx(tmp_path / "impatient", ports, ports, change=wait_less) as nginx:
        response = client.patch(nginx.orders + "/orders", json={})

    assert_problem(response, status, code)
    assert len(received(recorders)) == 1


def test_all_instances_down_is_503_with_retry_after_and_the_id_of_the_request(nginx_before_nobody, client):
    # The third finds none that is to be tried: each has failed three times.
    for _ in range(5):
        response = client.post(nginx_before_nobody.orders + "/orders", headers={"X-Request-ID": "erp-4711"})

        assert_problem(response, 503, "service_unavailable")
        assert response.headers["Retry-After"] == "2"
        assert response.json()["request_id"] == "erp-4711"


def test_answer_of_an_instance_goes_through_untouched(nginx, recorders, client):
    def refuse(handler):
        answer(handler, 503, "application/problem+json", b'{"code":"own"}', [("Retry-After", "7")])

    for recorder in recorders:
        recorder.script(refuse)

    response = client.post(nginx.orders + "/orders", json={})

    assert (response.status_code, response.content) == (503, b'{"code":"own"}')
    assert response.headers["Retry-After"] == "7"
    assert len(received(recorders)) == 1


# --- limits ----------------------------------------------------------------------------


def test_chunked_body_of_the_limit_has_a_length_at_an_instance_and_one_over_it_is_413(nginx, recorders, client):
    response = client.post(nginx.orders + "/orders", data=iter([b" " * BODY_LIMIT]))
    refused = client.post(nginx.orders + "/orders", data=iter([b" " * (BODY_LIMIT + 1)]))

    assert response.status_code == 200
    assert_problem(refused, 413, "payload_too_large")
    assert [headers["Content-Length"] for _, _, headers in received(recorders)] == [str(BODY_LIMIT)]


def test_too_many_requests_of_one_address_are_429_and_others_are_served(nginx, recorders, client):
    started = time.monotonic()
    with client_at("127.0.0.2") as wild, ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(lambda _: wild.get(nginx.orders + "/orders"), range(400)))
        took = time.monotonic() - started
        other = client.get(nginx.orders + "/orders")

    refused = [response for response in responses if response.status_code == 429]
    assert_problem(refused[0], 429, "too_many_requests")
    assert refused[0].headers["Retry-After"] == "1"
    assert AHEAD <= len(responses) - len(refused) <= 1 + AHEAD + RATE * took
    assert other.status_code == 200


def test_too_many_requests_at_once_of_one_address_are_429(nginx):
    half = request("POST", "/orders", HOST, "Content-Length: 100", body=b"{")
    with ExitStack() as slow, client_at("127.0.0.3") as client:
        # Some more, for a half that comes while the client is served is the one that is refused.
        for _ in range(REQUESTS_AT_ONCE + 20):
            slow.enter_context(Connection(nginx.orders, source="127.0.0.3")).send(half)

        wait_until(lambda: client.get(nginx.orders + "/orders").status_code == 429)
        assert_problem(client.get(nginx.orders + "/orders"), 429, "too_many_requests")


def log_in(nginx, address, count, path="/auth/token"):
    """Return the statuses of log-ins, all at once, of a client behind the balancer."""
    with client_at(BALANCER) as balancer, ThreadPoolExecutor(8) as threads:
        headers = {"X-Forwarded-For": address}
        return set(threads.map(lambda _: balancer.post(nginx.orders + path, headers=headers).status_code, range(count)))


@pytest.mark.parametrize("path", ["/auth/token/", "/%61uth/password", "/docs/token"])
def test_log_ins_have_a_smaller_limit_and_take_nothing_from_the_rest(nginx, path):
    assert log_in(nginx, OUTSIDE, 3 * LOG_INS_AHEAD, path) == {200, 429}
    assert log_in(nginx, OUTSIDE, 1, "/orders") == {200}


@pytest.mark.parametrize(
    ("first", "second", "statuses"),
    [
        ("2001:db8:a0a:1::1", "2001:db8:a0a:1:ffff:2:3:4", {200, 429}),  # a byte of both ends a line
        ("2001:db8:a0a:1::1", "2001:db8:a0a:2::1", {200}),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", {200}),
    ],
    ids=["of one network", "of two", "IPv4"],
)
def test_ipv6_is_counted_by_its_network_of_64_bits(nginx, first, second, statuses):
    log_in(nginx, first, 3 * LOG_INS_AHEAD)

    assert log_in(nginx, second, LOG_INS_AHEAD // 2) | {200} == statuses


@pytest.mark.parametrize(
    ("server", "count", "statuses"), [("nginx", 200, {200}), ("nginx_of_compose", 400, {200, 429})]
)
def test_our_own_programs_have_no_limit_but_compose_exempts_nobody(request, client, server, count, statuses):
    address = request.getfixturevalue(server).customers + "/customers"

    with ThreadPoolExecutor(8) as threads:
        responses = threads.map(lambda _: client.get(address), range(count))

    assert {response.status_code for response in responses} == statuses


def test_slow_clients_reach_no_instance_until_they_are_done(nginx, recorders):
    whole = request("POST", "/orders", HOST, "Content-Length: 2", body=b"{}")
    with ExitStack() as slow:
        connections = [slow.enter_context(Connection(nginx.orders, source="127.0.0.4")) for _ in range(40)]
        for connection in connections:
            connection.send(whole[:-1])
        # nginx comes to this one after the bytes that came before it.
        assert ask(nginx.orders, request("GET", "/health", HOST)).status == 200
        before = [path for _, path, _ in received(recorders)]
        for connection in connections:
            connection.send(whole[-1:])
        statuses = [connection.read().status for connection in connections]

    assert before == ["/health"]
    assert statuses == [200] * 40


def test_slow_readers_of_the_pages_largest_file_hold_no_instance(nginx, recorders):
    script = (ROOT / "common" / "docs" / "swagger-ui" / "swagger-ui-bundle.js").read_bytes()
    taken = []

    def send(handler):
        answer(handler, 200, "text/javascript", script)
        taken.append(handler.path)

    for recorder in recorders:
        recorder.script(send, times=20)

    with ExitStack() as slow:
        connections = [slow.enter_context(Connection(nginx.orders, room=4096)) for _ in range(20)]
        for connection in connections:
            connection.send(request("GET", "/docs/swagger-ui/swagger-ui-bundle.js", HOST))
        wait_until(lambda: len(taken) == 20)
        answers = [connection.read() for connection in connections]

    assert [(answer.status, answer.body == script) for answer in answers] == [(200, True)] * 20


# --- what nginx refuses ----------------------------------------------------------------

BOTH = ("Transfer-Encoding: chunked", "Content-Length: 2")
REFUSED = {
    "bytes": (b"\x00\xff\xfe" * 300 + b"\r\n\r\n", 400, "invalid_request"),
    "chunked and length": (request("POST", "/orders", HOST, *BOTH, body=b"{}"), 400, "invalid_request"),
    "request line of 20 KB": (request("GET", "/orders?search=" + "a" * 20_000, HOST), 414, "uri_too_long"),
    "header of 20 KB": (request("GET", "/orders", HOST, "X-Long: " + "a" * 20_000), 431, "header_too_large"),
    "TRACE": (request("TRACE", "/orders", HOST), 405, "method_not_allowed"),
    "nginx's own address": (request("GET", "/problems/upstream_broken", HOST), 404, "not_found"),
}


@pytest.mark.parametrize(("message", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_what_nginx_refuses_is_a_problem_and_reaches_no_instance(nginx, recorders, message, status, code):
    answers = exchange(nginx.orders, message)

    assert [(answer.status, answer.code) for answer in answers] == [(status, code)]
    assert answers[0].request_id
    assert received(recorders) == []


# --- who asks --------------------------------------------------------------------------


def test_instance_sees_who_asks_and_nothing_that_a_client_claims(nginx, recorders):
    forged = {"X-Forwarded-For": OUTSIDE, "X-Real-IP": OUTSIDE, "Forwarded": f"for={OUTSIDE}",
              "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}  # fmt: skip

    with client_at("127.0.0.5") as client:
        client.get(nginx.orders + "/orders", headers=forged)
    with client_at(BALANCER) as balancer:  # which is believed, and its client is not
        balancer.get(nginx.orders + "/orders", headers={"X-Forwarded-For": f"198.51.100.1, {OUTSIDE}"})

    first, second = sorted((headers for _, _, headers in received(recorders)), key=lambda each: each["X-Forwarded-For"])
    assert (first["X-Forwarded-For"], first["X-Forwarded-Proto"]) == ("127.0.0.5", "http")
    assert [first[name] for name in ("X-Real-IP", "Forwarded", "X-Forwarded-Host")] == [None] * 3
    assert second["X-Forwarded-For"] == OUTSIDE
    assert [line["address"] for line in nginx.access_log(2)] == ["127.0.0.5", OUTSIDE]


@pytest.mark.parametrize("given", ["erp-4711", None, "a" * 65, '"}'], ids=["fit", "none", "too long", "quotes"])
def test_id_of_the_request_passes_both_ways_and_is_a_new_one_if_it_is_not_fit(nginx, recorders, client, given):
    response = client.get(nginx.orders + "/orders", headers={"X-Request-ID": given})

    passed_on = received(recorders)[0][2]["X-Request-ID"]
    assert passed_on == given if given == "erp-4711" else len(passed_on) == 32
    assert response.headers["X-Request-ID"] == passed_on
    assert nginx.access_log(1)[0]["request_id"] == passed_on


@pytest.mark.parametrize(
    "target",
    ["/internal", "//internal/customers/1", "/%69nternal/customers/1", "/x/../internal%2Fcustomers/1", "/metrics?x=1"],
)
def test_internal_address_is_nowhere_from_outside(nginx, recorders, target):
    message = request("GET", target, HOST, f"X-Forwarded-For: {OUTSIDE}")

    answer = ask(nginx.customers, message, source=BALANCER)

    assert (answer.status, answer.code) == (404, "not_found")
    assert received(recorders) == []


@pytest.mark.parametrize("address", ["172.31.0.1", "fd00::1"])
def test_internal_address_is_there_for_private_ones(nginx, address):
    for target in ("/internal/customers/1", "/metrics"):
        message = request("GET", target, HOST, f"X-Forwarded-For: {address}")

        assert ask(nginx.customers, message, source=BALANCER).status == 200


def test_compose_has_each_program_at_its_port_and_no_internal_address(nginx_of_compose, recorders, client):
    for port, path in zip(nginx_of_compose.ports, ["/a", "/b", "/c"], strict=True):
        assert client.get(f"http://127.0.0.1:{port}{path}").status_code == 200
    for path in ("/internal/customers/1", "/metrics"):
        assert_problem(client.get(nginx_of_compose.customers + path), 404, "not_found")

    assert [[path for _, path, _ in recorder.requests] for recorder in recorders] == [["/a"], ["/b", "/c"]]


@pytest.mark.parametrize("server", ["nginx", "nginx_before_nobody"])
def test_query_strings_are_in_no_log(request, server, client):
    nginx, needle = request.getfixturevalue(server), uuid.uuid4().hex

    client.get(nginx.orders + f"/orders?search={needle}")
    client.post(nginx.orders + f"/orders?search={needle}", data=b" " * (BODY_LIMIT + 1))

    assert [line["path"] for line in nginx.access_log(2)] == ["/orders"] * 2
    assert needle not in nginx.logs()
