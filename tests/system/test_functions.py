"""Customers and Orders as they are deployed on Lambda: the main cases, and the answers that gunicorn gives."""

import dataclasses
import uuid

import pytest

from tests.system.conftest import WAYS, Operator, Shop


@pytest.fixture(params=WAYS)
def bases(request, gateways):
    """{function: its address}, in turn behind every kind of event."""
    return {name: gateway.base for name, gateway in gateways[request.param].items()}


def test_order_goes_from_created_to_canceled_and_a_replay_has_the_same_bytes(bases, operator, shop):
    key = {"X-Idempotency-Key": uuid.uuid4().hex}
    order = shop.order_request(qty=2)

    def post(path, headers=None, **body):
        return operator.session.post(bases["orders"] + path, json=body, headers=headers, timeout=30)

    created, replayed = post("/orders", key, **order), post("/orders", key, **order)
    reused = post("/orders", key, **order, customer_reference="PO-1")
    path = created.headers["Location"]
    confirmed, canceled = post(f"{path}/confirm", key), post(f"{path}/cancel", reason="ordered twice")

    assert (created.status_code, replayed.status_code, replayed.content) == (201, 201, created.content)
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert [answer.json()["status"] for answer in (confirmed, canceled)] == ["CONFIRMED", "CANCELED"]
    assert shop.event_types(created.json()["id"]) == ["created", "confirmed", "canceled"]
    assert shop.stock() == shop.initial_stock


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui/swagger-ui-bundle.js"])
def test_page_and_its_files_come_out_byte_for_byte(bases, operator, path):
    expected = operator.session.get(operator.stack.orders + path, timeout=30)

    found = operator.session.get(bases["orders"] + path, timeout=30)
    etag = {"If-None-Match": found.headers["ETag"]}
    unchanged = operator.session.get(bases["orders"] + path, headers=etag, timeout=30)

    assert (found.status_code, found.content) == (200, expected.content)
    assert found.headers["Content-Type"] == expected.headers["Content-Type"]
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    # A cache would take it over, and serve the page as that.
    assert "Content-Type" not in unchanged.headers


# --- the same as gunicorn --------------------------------------------------------------

JSON = {"Content-Type": "application/json"}
# Nothing here is ill-formed as text: what API Gateway makes of that is not documented.
REQUESTS = {
    "escapes in a query": ("customers", "GET", "/customers?search=%25%5F%2B+%C3%A9", {}),
    "a repeated parameter": ("orders", "GET", "/orders?limit=1&limit=2", {}),
    "a token that is no ASCII": ("orders", "GET", "/products", {"headers": {"Authorization": b"Bearer \xc3\xa9"}}),
    "an escaped escape in a path": ("customers", "GET", "/customers/%2531", {}),
    "an escaped question mark": ("customers", "GET", "/customers%3Flimit=1", {}),
    "a header with an underscore": ("orders", "POST", "/orders/1/confirm", {"headers": {"X_Idempotency_Key": "a"}}),
    "OPTIONS": ("orders", "OPTIONS", "/orders", {}),
    "a body in UTF-8": ("customers", "POST", "/customers", {"data": '{"nam": "Größe"}'.encode(), "headers": JSON}),
    "a body too large": ("customers", "POST", "/customers", {"data": b" " * 65_537, "headers": JSON}),
    "the host of API Gateway": ("orders", "GET", "/orders/007", {"headers": {
        "Host": "abc123.execute-api.eu-central-1.amazonaws.com"}}),
}  # fmt: skip
OF_ONE_CONNECTION = {"Connection", "Content-Length", "Date", "Server", "Keep-Alive"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("service", "method", "path", "arguments"), REQUESTS.values(), ids=REQUESTS)
def test_function_answers_as_gunicorn_does(operator, gateways, way, service, method, path, arguments):
    given = {"X-Request-ID": "equal", **arguments.get("headers", {})}
    answers = []
    for base in (getattr(operator.stack, service), gateways[way][service].base):
        response = operator.session.request(method, base + path, timeout=30, **{**arguments, "headers": given})
        own_id = response.headers["X-Request-ID"]
        headers = {n.title(): v for n, v in response.headers.items() if n.title() not in OF_ONE_CONNECTION}
        answers.append((
            response.status_code,
            {name: value.replace(own_id, "ID") for name, value in headers.items()},
            response.text.replace(own_id, "ID"),
        ))  # fmt: skip

    assert answers[1] == answers[0]


# --- everything on Lambda --------------------------------------------------------------


def test_the_whole_product_on_lambda_alone(stack, make_function, make_gateway, function_environ):
    customers = make_gateway(make_function("customers", function_environ), "2.0")
    environ = {**function_environ, "CUSTOMERS_API_BASE": customers.base}
    orders = make_gateway(make_function("orders", environ), "2.0")
    environ["ORDERS_API_BASE"] = orders.base
    orchestrator = make_gateway(make_function("orchestrator", environ), "2.0")
    operator = Operator(
        dataclasses.replace(stack, customers=customers.base, orders=orders.base, orchestrator=orchestrator.base),
        "demo",
        "demo-password",
    )
    shop = Shop(operator)
    order = shop.order(qty=3)

    first, second = operator.orchestrate(order), operator.orchestrate(order)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert shop.stock() == shop.initial_stock - 3
    assert shop.event_types(first.json()["data"]["order"]["id"]) == ["created", "confirmed"]
