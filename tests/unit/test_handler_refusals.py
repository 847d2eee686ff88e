"""What the Lambda's handler refuses, and that it answers whatever happens."""

import dataclasses
import json

import pytest

from common import strict_json, times
from common.auth import Authenticator
from common.contract import load
from lambda_orchestrator import handler
from lambda_orchestrator.clients import Refused
from lambda_orchestrator.handler import Program, handle
from lambda_orchestrator.saga import StepRefused
from tests.unit.conftest import EVENT_BODY, PATH, Context


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        ({"body": "{"}, 400, "malformed_json"),
        ({"body": ""}, 400, "malformed_json"),
        ({"body": {**EVENT_BODY, "idempotency_key": ""}}, 400, "invalid_request"),
        ({"body": {**EVENT_BODY, "idempotency_key": "a b"}}, 400, "invalid_request"),
        ({"body": {**EVENT_BODY, "colour": "red"}}, 400, "invalid_request"),
        ({"body": {**EVENT_BODY, "correlation_id": ""}}, 400, "invalid_request"),
        ({"body": {**EVENT_BODY, "correlation_id": "a\n"}}, 400, "invalid_request"),
        ({"body": {**EVENT_BODY, "correlation_id": "a\x85b"}}, 400, "invalid_request"),
        ({"query": "colour=red"}, 400, "invalid_request"),
        ({"method": "GET", "path": "/health", "query": "colour=red"}, 400, "invalid_request"),
        ({"authorization": ""}, 401, "authentication_required"),
        ({"authorization": "Bearer abc"}, 401, "invalid_token"),
        ({"body": '{"a":"' + "x" * 65_536 + '"}'}, 413, "payload_too_large"),
        ({"content-type": "text/plain"}, 415, "unsupported_media_type"),
        ({"content-encoding": "gzip"}, 415, "unsupported_media_type"),
        ({"path": "/nowhere"}, 404, "not_found"),
        ({"path": PATH + "//"}, 404, "not_found"),
        ({"path": "/" + PATH}, 404, "not_found"),
        ({"method": "GET"}, 405, "method_not_allowed"),
    ],
)
def test_request_that_is_refused_makes_no_call(send, upstream, arguments, status, code):
    response, body = send(**arguments)

    assert (response["statusCode"], body["code"]) == (status, code)
    assert (body["success"], body["retryable"]) == (False, False)
    assert body["correlationId"]
    assert upstream.requests == []


def test_viewer_may_not_order(send, upstream, settings):
    token = Authenticator(settings).issue_token("eve", "viewer", times.utc_now())

    response, body = send(token=token)

    assert (response["statusCode"], body["code"]) == (403, "insufficient_scope")
    assert 'scope="orders:write"' in response["headers"]["WWW-Authenticate"]
    assert upstream.requests == []


def test_service_token_may_not_order(send, upstream, settings):
    response, body = send(token=settings.service_tokens[0])

    assert (response["statusCode"], body["code"]) == (403, "caller_not_allowed")
    assert upstream.requests == []


def test_document_that_is_off_is_404(send, monkeypatch, settings):
    program = Program(dataclasses.replace(settings, api_docs=False), load("orchestrator"))
    monkeypatch.setattr(handler, "_program", lambda: program)

    response, body = send(method="GET", path="/openapi.json")

    assert (response["statusCode"], body["code"]) == (404, "not_found")


def test_body_that_is_no_base64_is_400(program):
    event = {"httpMethod": "POST", "path": PATH, "headers": {}, "body": "abcde", "isBase64Encoded": True}

    response = handle(event, Context(6000))

    assert (response["statusCode"], json.loads(response["body"])["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        {"version": "2.0"},
        {"httpMethod": "GET"},
        {"httpMethod": "POST", "path": PATH, "headers": "text", "body": ""},
    ],
    ids=repr,
)
def test_event_that_is_none_is_a_500_problem(program, event):
    response = handle(event, Context(6000))

    body = json.loads(response["body"])
    assert response["statusCode"] == 500
    assert response["headers"]["Content-Type"] == "application/problem+json"
    assert (body["code"], body["success"], body["request_id"]) == (
        "internal_error",
        False,
        response["headers"]["X-Request-ID"],
    )


def test_refusal_of_another_program_may_have_any_number_in_it(monkeypatch):
    document = strict_json.loads(b'{"code": "product_not_found", "title": "Gone", "later": 1.5}')

    def refuse():
        raise StepRefused(Refused(404, document))

    monkeypatch.setattr(handler, "_program", refuse)

    response = handle({"httpMethod": "GET", "path": "/health", "headers": {}}, None)

    assert (response["statusCode"], json.loads(response["body"])["later"]) == (404, 1.5)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError(), RuntimeError("s3cret")])
def test_failure_of_any_kind_is_a_500_that_says_nothing(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(handler, "_program", fail)

    response = handle({"httpMethod": "GET", "path": "/health", "headers": {"X-Request-ID": "abc"}}, None)

    body = json.loads(response["body"])
    assert response["statusCode"] == 500
    assert (body["request_id"], response["headers"]["X-Request-ID"]) == ("abc", "abc")
    assert "s3cret" not in response["body"]
