"""The Lambda's handler: one call makes and confirms an order, each answer as its contract says."""

import json

import pytest

from common.contract import load
from common.publication import published
from tests.unit.conftest import CUSTOMER, EVENT_BODY, PATH, Reply, make_order

FOUND = Reply(200, CUSTOMER)
CREATED = Reply(201, make_order())
CONFIRMED = Reply(200, make_order("CONFIRMED"))


def test_order_is_created_confirmed_and_answered(send, upstream):
    upstream.replies = [FOUND, CREATED, CONFIRMED]

    response, body = send({**EVENT_BODY, "correlation_id": "Bestellung Ü/1"}, **{"x-request-id": "abc"})

    order = make_order("CONFIRMED")
    assert response["statusCode"] == 201
    data = {"customer": order.pop("customer"), "order": order}
    assert body == {"success": True, "correlationId": "Bestellung Ü/1", "data": data}
    assert "Idempotent-Replayed" not in response["headers"]
    assert response["headers"]["X-Request-ID"] == "abc"
    assert response["headers"]["Cache-Control"] == "no-store"
    assert response["headers"]["X-Content-Type-Options"] == "nosniff"


def test_calls_name_the_operator_the_request_and_the_correlation(send, upstream, settings, log_lines):
    upstream.replies = [FOUND, CREATED, CONFIRMED]
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    send(
        {**EVENT_BODY, "correlation_id": "Bestellung Ü/1"},
        **{"x-request-id": "abc", "traceparent": trace, "tracestate": "vendor=1"},
    )

    names = ("Authorization", "X-On-Behalf-Of", "X-On-Behalf-Of-Version", "X-Request-ID")
    names += ("X-Correlation-ID", "traceparent", "tracestate")
    assert [[headers[name] for name in names] for _, _, headers, _ in upstream.requests] == [
        [f"Bearer {settings.service_tokens[0]}", "maria", "1", "abc", "Bestellung%20%C3%9C%2F1", trace, "vendor=1"]
    ] * 3
    assert log_lines("request")[0]["trace_id"] == trace.split("-")[1]
    assert [headers["X-Idempotency-Key"] for _, _, headers, _ in upstream.requests] == [None, "the-key", "the-key"]


def test_texts_go_on_as_they_were_sent(send, upstream):
    upstream.replies = [FOUND, CREATED, CONFIRMED]

    send({**EVENT_BODY, "customer_reference": " Cafe\u0301 "})

    assert upstream.requests[1][3]["customer_reference"] == " Cafe\u0301 "


def test_correlation_id_that_is_absent_or_null_is_made_from_the_key(send, upstream):
    upstream.replies = [FOUND, CREATED, CONFIRMED] * 3

    _, absent = send()
    _, null = send({**EVENT_BODY, "correlation_id": None})
    _, another = send({**EVENT_BODY, "idempotency_key": "another"})

    assert null["correlationId"] == absent["correlationId"] != another["correlationId"]


def test_order_that_is_not_confirmed_is_no_answer_to_a_confirm(send, upstream):
    upstream.replies = [FOUND, CREATED, Reply(200, make_order("CREATED")), CONFIRMED]

    response, body = send()

    assert response["statusCode"] == 201
    assert body["data"]["order"]["status"] == "CONFIRMED"
    assert len(upstream.requests) == 4


@pytest.mark.parametrize(
    ("replies", "status", "code"),
    [([Reply(200, b"<html>")], 502, "upstream_broken"), ([FOUND, Reply(hangs=True)], 504, "upstream_timeout")],
)
def test_broken_answers_end_in_502_and_none_in_504_within_the_time_left(send, upstream, replies, status, code):
    upstream.replies = list(replies)

    response, body = send(milliseconds=900)

    assert response["statusCode"] == status
    assert (body["code"], body["step"], body["retryable"]) == (code, "create_order", True)


@pytest.mark.parametrize("path", ["/health", "/health/"])
def test_health_asks_nobody(send, upstream, path):
    response, body = send(method="GET", path=path, body="")

    assert response["statusCode"] == 200
    assert body == {"ok": True, "status": "ok", "service": "orchestrator"}
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/nowhere", PATH])
def test_head_is_answered_as_get_but_for_the_body(send, path):
    get, _ = send(method="GET", path=path, **{"x-request-id": "abc"})

    head, body = send(method="HEAD", path=path, **{"x-request-id": "abc"})

    assert body is None
    assert head["statusCode"] == get["statusCode"]
    assert head["headers"] == {**get["headers"], "Content-Length": str(len(get["body"].encode()))}


@pytest.mark.parametrize(("method", "path", "allowed"), [("POST", "/health", "GET, HEAD"), ("GET", PATH, "POST")])
def test_allow_names_the_methods_of_a_path(send, method, path, allowed):
    response, _ = send(method=method, path=path)

    assert response["headers"]["Allow"] == allowed


def test_document_is_open_to_all_and_304_for_who_has_it(send):
    first, body = send(method="GET", path="/openapi.json", authorization="")
    again, nothing = send(method="GET", path="/openapi.json", **{"if-none-match": first["headers"]["ETag"]})

    assert body == published(load("orchestrator"))
    assert first["headers"]["Cache-Control"] == "public, max-age=60"
    assert (again["statusCode"], nothing) == (304, None)
    assert "Content-Type" not in again["headers"]


def test_log_has_a_line_without_body_token_or_secret(send, upstream, log_lines, token, settings):
    upstream.replies = [FOUND, CREATED, CONFIRMED]

    send({**EVENT_BODY, "correlation_id": "Bestellung Ü/1", "customer_reference": "PO-9"}, **{"x-request-id": "abc"})

    (line,) = log_lines("request")
    output = json.dumps(line)
    assert {name: line[name] for name in ("request_id", "correlation_id", "status", "actor", "route", "target")} == {
        "request_id": "abc",
        "correlation_id": "Bestellung Ü/1",
        "status": 201,
        "actor": "maria",
        "route": PATH,
        "target": "order/7",
    }
    assert token not in output
    assert settings.service_tokens[0] not in output
    assert "PO-9" not in output
