"""What an answer of one of our services means for the saga."""

import pytest
import requests

from lambda_orchestrator.clients import Done, Refused, ServiceClient, Unknown
from tests.unit.conftest import Reply, make_problem

TOKEN = "t" * 32
BODY = {"id": 7}


@pytest.fixture
def call(upstream):
    """`call(reply)` makes one call that gets that reply."""
    client = ServiceClient(upstream.base, TOKEN)

    def make_call(reply, is_expected=lambda body: body == BODY, **arguments):
        upstream.replies = [reply]
        return client.call("POST", "/orders", is_expected, {"X-Request-ID": "abc"}, {"a": 1}, **arguments)

    return make_call


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(("headers", "replayed"), [({}, False), ({"Idempotent-Replayed": "true"}, True)])
def test_success_of_the_known_shape_is_done(call, status, headers, replayed):
    assert call(Reply(status, BODY, headers)) == Done(BODY, replayed)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_request"),
        (404, "customer_not_found"),
        (409, "insufficient_stock"),
        (422, "idempotency_key_reused"),
    ],
)
def test_definitive_4xx_is_refused(call, status, code):
    problem = make_problem(status, code)

    outcome = call(Reply(status, problem, {"Retry-After": "3", "ETag": '"1"'}))

    assert outcome == Refused(status, problem, {"Retry-After": "3"})


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500, make_problem(500, "internal_error")),
        Reply(503, make_problem(503, "busy")),
        Reply(502, b"<html>Bad gateway</html>"),
        Reply(409, make_problem(409, "idempotency_key_in_flight")),
        Reply(429, make_problem(429, "busy")),
        Reply(429, b"Slow down"),
        Reply(hangs=True),
    ],
    ids=["500", "503", "502 HTML", "in flight", "429", "429 of a gateway", "no answer"],
)
def test_failure_that_may_pass_is_unknown(call, reply):
    assert call(reply, timeout=0.3) == Unknown(is_broken=False)


def test_operator_whose_tokens_were_ended_is_refused_with_the_challenge(call):
    problem, challenge = make_problem(401, "token_revoked"), {"WWW-Authenticate": "Bearer"}

    assert call(Reply(401, problem, challenge)) == Refused(401, problem, challenge)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, {"other": "shape"}),
        Reply(200, b"<html>It works!</html>"),
        Reply(200, b"[" * 100_000),
        Reply(200, b'{"id": NaN}'),
        Reply(200, b'{"id": "\\ud800"}'),
        Reply(202, BODY),
        Reply(302, b"", {"Location": "/elsewhere"}),
        Reply(401, make_problem(401, "invalid_token")),
        Reply(403, make_problem(403, "caller_not_allowed")),
        Reply(404, b"<html>Not found</html>"),
        Reply(404, make_problem(404, "not_found")),
        Reply(409, ["insufficient_stock"]),
        Reply(409, {"code": 7}),
        Reply(409, {"code": "of_somebody_else"}),
    ],
    ids=lambda reply: f"{reply.status} {str(reply.body)[:30]}",
)
def test_answer_that_makes_no_sense_is_unknown_and_broken(call, upstream, reply):
    assert call(reply) == Unknown(is_broken=True)
    assert len(upstream.requests) == 1


def test_service_that_does_not_listen_is_unknown():
    outcome = ServiceClient("http://127.0.0.1:1", TOKEN).call("GET", "/", lambda body: True, {})

    assert outcome == Unknown(is_broken=False)


def test_call_carries_the_service_token_the_headers_and_the_body(call, upstream, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login netrc password netrc\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert requests.utils.get_netrc_auth("http://127.0.0.1") == ("netrc", "netrc")

    call(Reply(200, BODY))

    ((method, path, headers, body),) = upstream.requests
    assert (method, path, body) == ("POST", "/orders", {"a": 1})
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["X-Request-ID"] == "abc"
