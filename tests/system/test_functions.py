"""Customers and Orders as they are deployed on Lambda: the answers that gunicorn gives, and the whole product."""

import dataclasses

import pytest

from tests.system.conftest import WAYS, Operator, Shop

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
    "the page": ("orders", "GET", "/docs", {}),
    "a file of the page": ("orders", "GET", "/docs/swagger-ui/swagger-ui-bundle.js", {}),
    "a file that the client has": ("orders", "GET", "/docs/docs.css", {"headers": {"If-None-Match": "*"}}),
    "the host of API Gateway": ("orders", "GET", "/orders/007", {"headers": {
        "Host": "abc123.execute-api.eu-central-1.amazonaws.com"}}),
}  # fmt: skip
OF_ONE_CONNECTION = {"Connection", "Content-Length", "Date", "Server", "Keep-Alive"}
OF_ONE_COPY = {"Etag", "Last-Modified"}  # of a file, which a zip has another copy of


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("service", "method", "path", "arguments"), REQUESTS.values(), ids=REQUESTS)
def test_function_answers_as_gunicorn_does(operator, gateways, way, service, method, path, arguments):
    given = {"X-Request-ID": "equal", **arguments.get("headers", {})}
    answers = []
    for base in (getattr(operator.stack, service), gateways[way][service].base):
        response = operator.session.request(method, base + path, timeout=30, **{**arguments, "headers": given})
        own_id = response.headers["X-Request-ID"]
        headers = {name.title(): value for name, value in response.headers.items()}
        answers.append((
            response.status_code,
            {name: headers[name].replace(own_id, "ID") for name in headers.keys() - OF_ONE_CONNECTION - OF_ONE_COPY},
            response.text.replace(own_id, "ID"),
        ))  # fmt: skip

    assert answers[1] == answers[0]


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
