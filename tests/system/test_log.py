"""The log of the running programs: whole lines of JSON, an order's way through them, and why a request failed."""

import json
import os
import re
import uuid

import pytest

from tests.system.conftest import Operator, Shop, wait_until
from tests.system.raw_http import exchange
from tests.system.services import Clients, Services, prepare

REQUESTS = {  # of an orchestrated order: (service, route) in alphabetical order
    ("customers", "/internal/customers/{customer_id}"): 2,
    ("orchestrator", "/orchestrator/create-and-confirm-order"): 1,
    ("orders", "/orders"): 1,
    ("orders", "/orders/{order_id}/confirm"): 1,
}

SERVICE_LINE = re.compile(r"[0-9:]{8} (customers|orders) +\| ")  # as `make run` prints it


def lines_of(text):
    """Return the parsed lines of a log, which are all that it has."""
    return [json.loads(line) for line in text.splitlines()]


def test_one_search_shows_the_way_of_an_order_through_all_programs(stack, operator, shop):
    marked, correlation = f"marked{uuid.uuid4().hex}", f"erp {uuid.uuid4()} ü"
    operator.session.post(f"{stack.customers}/auth/token", json={"username": marked, "password": marked})
    operator.session.get(f"{stack.customers}/customers", params={"search": f"{marked}@example.test"})
    operator.session.get(f"{stack.orders}/products", headers={"Authorization": f"Bearer {operator.token}{marked}"})
    operator.session.patch(f"{stack.orders}/products/{shop.product['id']}", json={"stock_delta": 1, "note": marked})
    operator.session.post(f"{stack.orders}/orders", json={marked: marked})
    body = {**shop.order(), "customer_reference": marked[:40], "correlation_id": correlation}

    assert operator.orchestrate(body, params={marked: marked}).status_code == 400
    assert operator.orchestrate(body).status_code == 201

    def of_order():
        # `make run` puts the time and the name before each line, and serverless offline says things of its own.
        parsed = [json.loads(line.partition("| ")[2]) for line in stack.log if "| {" in line]
        return [line for line in parsed if line.get("correlation_id") == correlation]

    lines = wait_until(lambda: len(of_order()) >= 5 and of_order())
    ways = [(line["service"], line["route"]) for line in lines]
    assert {way: ways.count(way) for way in ways} == REQUESTS
    assert len({line["request_id"] for line in lines}) == 1
    said = "".join(stack.log)
    of_services = lines_of("".join(line.partition("| ")[2] for line in stack.log if SERVICE_LINE.match(line)))
    assert {"customers", "orders"} <= {line["service"] for line in of_services}
    assert marked not in said
    assert operator.token not in said


@pytest.fixture
def services(system_schema, tmp_path):
    """Customers and Orders."""
    services = Services({**os.environ, "DB_NAME": system_schema}, tmp_path)
    prepare(services.environ)
    with services:
        yield services


def test_request_that_is_no_http_has_a_line_without_a_word_of_it(services):
    (answer,) = exchange(services.orders, b"\x16\x03\x01 marked\r\nmarked: marked\r\n\r\n")

    services.orders_service.stop()
    log = services.orders_service.log()
    (line,) = [line for line in lines_of(log) if line["event"] == "request"]
    assert (line["request_id"], line["status"], line["code"]) == (answer.request_id, 400, "invalid_request")
    assert "marked" not in log


def test_failure_has_mysqls_number_and_words_once_a_second(services, monkeypatch):
    operator = Operator(services, "demo", "demo-password")
    shop = Shop(operator)
    services.orders_service.stop()
    before = len(lines_of(services.orders_service.log()))
    name = "ORDERS_DB_PASSWORD" if os.environ.get("ORDERS_DB_USER") or not os.environ.get("DB_HOST") else "DB_PASSWORD"
    monkeypatch.setitem(services.environ, name, "a-wrong-password")
    services.orders_service.start()

    def order():
        return operator.session.post(f"{services.orders}/orders", json=shop.order_request(), timeout=30).status_code

    with Clients(4, order) as clients:
        wait_until(lambda: len(clients.results) >= 100)

    services.orders_service.stop()  # and the last lines are there
    lines = lines_of(services.orders_service.log())[before:]
    failures = [line for line in lines if line["event"] == "failure"]
    requests = [line for line in lines if line["event"] == "request"]
    assert {*clients.results} == {503}
    assert {(line["code"], line["errno"]) for line in failures} == {("database_unavailable", 1045)}
    assert failures[0]["detail"].startswith("Access denied for user ")
    assert "a-wrong-password" not in json.dumps(lines)
    assert [line["code"] for line in requests] == ["database_unavailable"] * len(clients.results)
    seconds = {line["time"][:19] for line in lines}
    assert len(failures) <= 2 * len(seconds)  # of each of two workers, one a second


def test_requests_are_answered_while_the_log_has_no_room(services, tmp_path):
    operator = Operator(services, "demo", "demo-password")
    shop = Shop(operator)
    services.orders_service.stop()
    (log,) = tmp_path.glob("orders.*.log")
    log.unlink()
    log.symlink_to("/dev/full")  # each write to it fails as on a full disk
    services.orders_service.start()

    answers = [operator.session.post(f"{services.orders}/orders", json=shop.order_request()) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201] * 3
