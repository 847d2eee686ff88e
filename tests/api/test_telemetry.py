"""The line in the log that each request has, and the one that says why it failed."""

import json
import sys

from common import logs
from common.problems import CustomersUnavailable
from tests.factories import order_request, unique

FIELDS = ["time", "level", "event", "service", *logs.REQUEST]


def test_line_says_what_was_done_by_whom_and_at_what_cost(orders_api, factory, log_lines):
    request = order_request(factory.make_customer(), (factory.make_product(), 1))
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {
        "X-Idempotency-Key": unique("key"),
        "X-Request-ID": "the-request",
        "X-Correlation-ID": "Bestellung%20%C3%9C/1",
        "traceparent": trace,
    }

    first, second = (orders_api.post("/orders", json=request, headers=headers) for _ in range(2))

    lines = log_lines("request")
    assert [list(line) for line in lines] == [FIELDS, FIELDS]
    expected = {
        "request_id": "the-request",
        "correlation_id": "Bestellung Ü/1",
        "trace_id": trace.split("-")[1],
        "method": "POST",
        "route": "/orders",
        "target": f"order/{first.json['id']}",
        "status": 201,
        "code": None,
        "transactions": 1,
        "retries": 0,
        "actor": "demo",
        "address": "127.0.0.1",
        "bytes": len(first.content),
    }
    for line, replayed in zip(lines, (False, True), strict=True):
        assert {name: line[name] for name in expected} == expected
        assert line["replayed"] == replayed
        assert 0 < line["db_ms"] < line["duration_ms"]
    assert second.content == first.content


def test_refusal_has_its_code_and_which_order_it_was(orders_api, log_lines):
    orders_api.post("/orders/999999999/confirm", headers={"X-Idempotency-Key": unique("key")})

    (line,) = log_lines("request")
    assert (line["target"], line["status"], line["code"]) == ("order/999999999", 404, "order_not_found")


def test_nothing_that_a_client_made_up_is_in_the_log(orders_api, customers_api, make_token, log_lines):
    marked = "marked-secret"
    orders_api.get(f"/{marked}")
    orders_api.get(f"/products?search={marked}&{marked}={marked}")
    orders_api.get("/products", token=f"{make_token()}{marked}")
    orders_api.post("/products", json={marked: marked, "sku": marked}, headers={"X-Correlation-ID": f"a%0A{marked}"})
    customers_api.post("/auth/token", token=None, json={"username": marked, "password": marked})

    assert len(log_lines("request")) == 5
    assert marked not in json.dumps(log_lines())


def test_machines_that_ask_all_day_have_a_line_only_where_something_is_wrong(orders_api, log_lines):
    for path in ("/health", "/health/live", "/health/ready", "/metrics", "/health?x"):
        orders_api.get(path, token=None)

    assert [(line["route"], line["status"]) for line in log_lines("request")] == [("/health", 400)]


def test_failure_has_its_cause_once_a_second(orders_api, factory, stub_customers, log_lines, monkeypatch):
    times = [0.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: times[-1])
    problem = CustomersUnavailable()
    problem.__cause__ = ConnectionRefusedError(111, "refused")
    stub_customers.problem = problem
    request = order_request(factory.make_customer(), (factory.make_product(), 1))

    for seconds in (0.0, 0.5, 0.9, 1.1):
        times.append(seconds)
        orders_api.post("/orders", json=request)

    assert [line["code"] for line in log_lines("request")] == ["customers_unavailable"] * 4
    failures = log_lines("failure")
    assert len(failures) == 2
    assert {name: failures[0][name] for name in ("code", "cause", "errno", "detail")} == {
        "code": "customers_unavailable",
        "cause": "ConnectionRefusedError",
        "errno": 111,
        "detail": "[Errno 111] refused",
    }


def test_defect_of_ours_has_its_traceback_within_its_line(orders_api, factory, stub_customers, log_lines):
    stub_customers.problem = RuntimeError("a defect")

    orders_api.post("/orders", json=order_request(factory.make_customer(), (factory.make_product(), 1)))

    (failure,) = log_lines("failure")
    assert (failure["code"], failure["cause"], failure["detail"]) == ("internal_error", "RuntimeError", "a defect")
    assert failure["exc_info"].endswith("RuntimeError: a defect")
    assert log_lines("request")[0]["request_id"] == failure["request_id"]
    assert "\n" not in json.dumps(failure)


def test_line_without_a_stream_is_lost_and_no_more(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # as where it was closed before the start

    logs.log_request(200, request_id="abc")
