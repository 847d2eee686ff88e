"""The Lambda's handler: total whatever the event, each answer as its contract says."""

import base64
import dataclasses
import json

import pytest

from common import times
from common.auth import Authenticator
from common.contract import load
from lambda_orchestrator import handler
from lambda_orchestrator.handler import Program, handle
from tests.conftest import ROOT
from tests.contract_client import ResponseContract
from tests.unit.conftest import CUSTOMER, Reply, make_order, make_problem

PATH = "/orchestrator/create-and-confirm-order"
BODY = {"customer_id": 1, "items": [{"product_id": 3, "qty": 2}], "idempotency_key": "the-key"}
FOUND = Reply(200, CUSTOMER)
CREATED = Reply(201, make_order())
CONFIRMED = Reply(200, make_order("CONFIRMED"))


class Context:
    """Lambda's context with that much time left."""

    def __init__(self, milliseconds):
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self):
        return self._milliseconds


@pytest.fixture(scope="module")
def document():
    return load(ROOT / "openapi" / "orchestrator.yaml")


@pytest.fixture
def program(monkeypatch, settings, upstream, document):
    """The program with both services behind `upstream`."""
    bases = dataclasses.replace(settings, customers_api_base=upstream.base, orders_api_base=upstream.base)
    program = Program(bases, document)
    monkeypatch.setattr(handler, "_program", lambda: program)


@pytest.fixture
def token(settings):
    return Authenticator(settings).issue_token("maria", "operator", times.utc_now())


@pytest.fixture
def send(program, document, token, codes):
    """`send(body, …)` handles an event and returns (response, parsed body), checked against the contract."""
    contract = ResponseContract(document, "OrchestratorProblem")

    def handle_event(body=BODY, method="POST", path=PATH, query="", milliseconds=6000, token=token, **headers):
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {"content-type": "application/json", "authorization": f"Bearer {token}", **headers},
            "requestContext": {"http": {"method": method, "path": path}, "stage": "$default"},
            "body": body if isinstance(body, str) else json.dumps(body),
            "isBase64Encoded": False,
        }
        response = handle(event, Context(milliseconds))
        answered = json.loads(response["body"])
        sent = {name.lower(): value for name, value in response["headers"].items()}
        contract.check(method, path, response["statusCode"], sent, answered)
        codes.add(answered.get("code"))
        return response, answered

    return handle_event


def test_order_is_created_confirmed_and_answered(send, upstream):
    upstream.replies = [FOUND, CREATED, CONFIRMED]

    response, body = send({**BODY, "correlation_id": "erp-1"}, **{"x-request-id": "abc"})

    order = make_order("CONFIRMED")
    assert response["statusCode"] == 201
    assert body == {
        "success": True,
        "correlationId": "erp-1",
        "data": {"customer": order.pop("customer"), "order": order},
    }
    assert "Idempotent-Replayed" not in response["headers"]
    assert response["headers"]["X-Request-ID"] == "abc"


def test_calls_name_the_operator_the_request_and_the_correlation(send, upstream, settings):
    upstream.replies = [FOUND, CREATED, CONFIRMED]

    send({**BODY, "correlation_id": "erp-1"}, **{"x-request-id": "abc"})

    names = ("Authorization", "X-On-Behalf-Of", "X-Request-ID", "X-Correlation-ID")
    assert [[headers[name] for name in names] for _, _, headers, _ in upstream.requests] == [
        [f"Bearer {settings.service_tokens[0]}", "maria", "abc", "erp-1"]
    ] * 3
    assert [headers["X-Idempotency-Key"] for _, _, headers, _ in upstream.requests] == [None, "the-key", "the-key"]


def test_repeat_gives_the_same_bytes_and_says_replayed(send, upstream):
    upstream.replies = [FOUND, CREATED, CONFIRMED]
    first, _ = send()
    replayed = {"Idempotent-Replayed": "true"}
    upstream.replies = [FOUND, *(dataclasses.replace(reply, headers=replayed) for reply in (CREATED, CONFIRMED))]

    second, _ = send()

    assert second["body"] == first["body"]
    assert second["headers"]["Idempotent-Replayed"] == "true"


def test_correlation_id_made_from_the_key_differs_by_key(send, upstream):
    upstream.replies = [FOUND, CREATED, CONFIRMED]
    _, first = send()
    upstream.replies = [FOUND, CREATED, CONFIRMED]

    _, second = send({**BODY, "idempotency_key": "another"})

    assert first["correlationId"] != second["correlationId"]


@pytest.mark.reaches("insufficient_stock")
def test_refusal_of_a_step_is_passed_on(send, upstream):
    items = [{"product_id": 3, "sku": "A", "requested": 2, "available": 1}]
    upstream.replies = [FOUND, Reply(409, make_problem(409, "insufficient_stock", items=items))]

    response, body = send()

    assert response["statusCode"] == 409
    assert (body["code"], body["step"], body["items"]) == ("insufficient_stock", "create_order", items)
    assert (body["success"], body["retryable"]) == (False, False)


@pytest.mark.reaches("upstream_broken")
def test_broken_answers_end_in_502_within_the_time_left(send, upstream):
    upstream.replies = [Reply(200, b"<html>")]

    response, body = send(milliseconds=800)

    assert response["statusCode"] == 502
    assert (body["code"], body["step"], body["retryable"]) == ("upstream_broken", "create_order", True)


@pytest.mark.reaches("upstream_timeout")
def test_services_that_do_not_answer_end_in_504_within_the_time_left(send, upstream):
    upstream.replies = [FOUND, Reply(hangs=True)]

    response, body = send(milliseconds=900)

    assert response["statusCode"] == 504
    assert (body["code"], body["step"], body["retryable"]) == ("upstream_timeout", "create_order", True)


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        pytest.param({"body": "{"}, 400, "malformed_json", marks=pytest.mark.reaches("malformed_json")),
        pytest.param({"body": ""}, 400, "malformed_json", marks=pytest.mark.reaches("malformed_json")),
        ({"body": {**BODY, "idempotency_key": ""}}, 400, "invalid_request"),
        ({"body": {**BODY, "idempotency_key": "a b"}}, 400, "invalid_request"),
        ({"body": {**BODY, "items": []}}, 400, "invalid_request"),
        ({"body": {**BODY, "colour": "red"}}, 400, "invalid_request"),
        ({"body": {**BODY, "correlation_id": "a b"}}, 400, "invalid_request"),
        ({"query": "colour=red"}, 400, "invalid_request"),
        ({"authorization": ""}, 401, "authentication_required"),
        ({"authorization": "Bearer abc"}, 401, "invalid_token"),
        ({"body": '{"a":"' + "x" * 65_536 + '"}'}, 413, "payload_too_large"),
        ({"content-type": "text/plain"}, 415, "unsupported_media_type"),
        ({"path": "/nowhere"}, 404, "not_found"),
        ({"path": "/"}, 404, "not_found"),
        ({"method": "GET"}, 405, "method_not_allowed"),
    ],
)
def test_request_that_is_refused_makes_no_call(send, upstream, arguments, status, code):
    response, body = send(**arguments)

    assert (response["statusCode"], body["code"]) == (status, code)
    assert (body["success"], body["retryable"]) == (False, False)
    assert body["correlationId"]
    assert upstream.requests == []


def test_refused_method_names_the_allowed_one(send):
    response, _ = send(method="DELETE")

    assert response["headers"]["Allow"] == "POST"


@pytest.mark.reaches("insufficient_scope")
def test_viewer_may_not_order(send, upstream, settings):
    token = Authenticator(settings).issue_token("eve", "viewer", times.utc_now())

    response, body = send(token=token)

    assert (response["statusCode"], body["code"]) == (403, "insufficient_scope")
    assert 'scope="orders:write"' in response["headers"]["WWW-Authenticate"]
    assert upstream.requests == []


@pytest.mark.reaches("caller_not_allowed")
def test_service_token_may_not_order(send, upstream, settings):
    response, body = send(token=settings.service_tokens[0])

    assert (response["statusCode"], body["code"]) == (403, "caller_not_allowed")
    assert upstream.requests == []


def test_health_asks_nobody(send, upstream):
    response, body = send(method="GET", path="/health", body="")

    assert response["statusCode"] == 200
    assert body == {"ok": True, "status": "ok", "service": "orchestrator"}
    assert upstream.requests == []


def test_format_1_with_a_base64_body_is_answered_too(program, upstream, token):
    upstream.replies = [FOUND, CREATED, CONFIRMED]
    event = {
        "httpMethod": "POST",
        "path": PATH,
        "headers": {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        "multiValueQueryStringParameters": None,
        "body": base64.b64encode(json.dumps(BODY).encode()).decode(),
        "isBase64Encoded": True,
    }

    assert handle(event, Context(6000))["statusCode"] == 201


@pytest.mark.reaches("internal_error")
@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        [],
        "event",
        {"version": "2.0"},
        {"version": "2.0", "requestContext": {}},
        {"httpMethod": "GET"},
        {"httpMethod": "POST", "path": PATH, "headers": {}, "body": "abcde", "isBase64Encoded": True},
        {"httpMethod": "POST", "path": PATH, "headers": "text", "body": ""},
    ],
    ids=repr,
)
def test_event_that_is_none_is_a_500_problem(program, codes, event):
    response = handle(event, Context(6000))

    body = json.loads(response["body"])
    codes.add(body["code"])
    assert response["statusCode"] == 500
    assert response["headers"]["Content-Type"] == "application/problem+json"
    assert (body["code"], body["success"], body["request_id"]) == (
        "internal_error",
        False,
        response["headers"]["X-Request-ID"],
    )


@pytest.mark.reaches("internal_error")
@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError(), RuntimeError("s3cret")])
def test_failure_of_any_kind_is_a_500_that_says_nothing(monkeypatch, codes, error):
    def fail():
        raise error

    monkeypatch.setattr(handler, "_program", fail)

    response = handle({}, None)

    codes.add(json.loads(response["body"])["code"])
    assert response["statusCode"] == 500
    assert "s3cret" not in response["body"]


def test_log_is_whole_json_lines_without_body_token_or_secret(send, upstream, capsys, token, settings):
    upstream.replies = [FOUND, CREATED, CONFIRMED]

    send({**BODY, "correlation_id": "erp-1", "customer_reference": "PO-9"}, **{"x-request-id": "abc"})

    output = capsys.readouterr().out
    line = json.loads(output.splitlines()[-1])
    assert output.endswith("\n")
    assert {name: line[name] for name in ("service", "request_id", "correlation_id", "status", "actor", "path")} == {
        "service": "orchestrator",
        "request_id": "abc",
        "correlation_id": "erp-1",
        "status": 201,
        "actor": "maria",
        "path": PATH,
    }
    assert token not in output
    assert settings.service_tokens[0] not in output
    assert "PO-9" not in output
