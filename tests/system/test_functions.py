"""Customers and Orders as they are deployed on Lambda: the main cases, and the answers that gunicorn gives."""

import dataclasses
import uuid

import pytest

from common.contract import load
from tests.contract_client import ResponseContract, parse_body
from tests.system import proxy
from tests.system.conftest import WAYS, Operator, Shop

CONTRACTS = {name: ResponseContract(load(name)) for name in ("customers", "orders")}


class Api:
    """The two APIs for an operator who is logged in; every answer is checked against its contract."""

    def __init__(self, operator):
        self._session = operator.session
        self._bases = {"customers": operator.stack.customers, "orders": operator.stack.orders}

    def __call__(self, service, method, path, **arguments):
        response = self._session.request(method, self._bases[service] + path, timeout=30, **arguments)
        body = parse_body(response.headers.get("Content-Type", ""), response.content)
        headers = {name.lower(): value for name, value in response.headers.items()}
        CONTRACTS[service].check(method, path.partition("?")[0], response.status_code, headers, body)
        return response


@pytest.fixture(params=WAYS)
def api(request, operator, gateways):
    """The two APIs as functions, each in turn behind every kind of event."""
    way = gateways[request.param]
    return Api(operator.at(dataclasses.replace(
        operator.stack, customers=way["customers"].base, orders=way["orders"].base
    )))  # fmt: skip


@pytest.fixture
def name():
    return f"Größe & Co. 100% {uuid.uuid4().hex}"


def test_login_gives_a_token_that_the_services_take(api):
    login = {"username": "demo", "password": "demo-password"}

    token = api("customers", "POST", "/auth/token", json=login, headers={"Authorization": None})

    assert (token.status_code, token.headers["Cache-Control"]) == (200, "no-store")
    headers = {"Authorization": f"Bearer {token.json()['token']}"}
    assert api("orders", "GET", "/products?limit=1", headers=headers).status_code == 200


def test_wrong_password_is_a_401_problem(api):
    login = {"username": "demo", "password": "wrong-password"}

    response = api("customers", "POST", "/auth/token", json=login)

    assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "WWW-Authenticate" in response.headers


def test_customer_is_made_found_changed_and_deleted(api, name):
    made = api("customers", "POST", "/customers", json={"name": name, "email": f"{uuid.uuid4().hex}@example.test"})
    path = made.headers["Location"]
    found = api("customers", "GET", path)
    unchanged = api("customers", "GET", path, headers={"If-None-Match": found.headers["ETag"]})
    changed = api("customers", "PUT", path, json={"phone": "555"}, headers={"If-Match": found.headers["ETag"]})
    stale = api("customers", "PUT", path, json={"phone": "556"}, headers={"If-Match": found.headers["ETag"]})
    listed = api("customers", "GET", "/customers", params={"search": name})
    deleted = api("customers", "DELETE", path)
    gone = api("customers", "GET", path)

    assert (made.status_code, made.json()["name"]) == (201, name)
    assert found.content == made.content
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    # A cache would take it over, and serve the customer as text.
    assert "Content-Type" not in unchanged.headers
    assert unchanged.headers["ETag"] == found.headers["ETag"]
    assert (changed.status_code, changed.json()["phone"]) == (200, "555")
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert [customer["id"] for customer in listed.json()["data"]] == [made.json()["id"]]
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (gone.status_code, gone.json()["code"]) == (404, "customer_not_found")


def test_order_goes_from_created_to_canceled_and_a_replay_has_the_same_bytes(api, operator):
    shop = Shop(operator)
    key = {"X-Idempotency-Key": uuid.uuid4().hex}
    order = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 2}]}

    created = api("orders", "POST", "/orders", json=order, headers=key)
    replayed = api("orders", "POST", "/orders", json=order, headers=key)
    reused = api("orders", "POST", "/orders", json={**order, "customer_reference": "PO-1"}, headers=key)
    path = created.headers["Location"]
    confirmed = api("orders", "POST", f"{path}/confirm", headers=key)
    canceled = api("orders", "POST", f"{path}/cancel", json={"reason": "ordered twice"})
    found = api("orders", "GET", path)
    events = api("orders", "GET", f"{path}/events?limit=2")
    rest = api("orders", "GET", f"{path}/events", params={"limit": 2, "cursor": events.json()["next_cursor"]})

    assert created.status_code == 201
    assert (replayed.status_code, replayed.content) == (201, created.content)
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    assert [answer.json()["status"] for answer in (confirmed, canceled, found)] == ["CONFIRMED", "CANCELED", "CANCELED"]
    types = [event["type"] for page in (events, rest) for event in page.json()["data"]]
    assert types == ["created", "confirmed", "canceled"]
    assert shop.stock() == shop.initial_stock


def test_stock_is_changed_by_a_delta_and_never_below_zero(api, operator):
    product = Shop(operator).product
    path = f"/products/{product['id']}"

    more = api("orders", "PATCH", path, json={"stock_delta": 5})
    less = api("orders", "PATCH", path, json={"stock_delta": -1000})

    assert more.json()["stock"] == product["stock"] + 5
    assert (less.status_code, less.json()["code"]) == (409, "insufficient_stock")


def test_program_reads_an_internal_customer_by_service_token(api, operator):
    customer = Shop(operator).customer
    headers = {"Authorization": "Bearer development-only-service-token-0123456789"}

    response = api("customers", "GET", f"/internal/customers/{customer['id']}", headers=headers)

    assert response.json() == {field: customer[field] for field in ("id", "name", "email", "phone")}


def test_customers_away_is_503_and_nothing_is_written(api, operator, stack):
    shop = Shop(operator)
    stack.customers_proxy.script("GET", "/internal/customers/[0-9]+", proxy.drop)
    order = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 2}]}

    response = api("orders", "POST", "/orders", json=order)

    assert (response.status_code, response.json()["code"]) == (503, "customers_unavailable")
    assert "Retry-After" in response.headers
    assert shop.stock() == shop.initial_stock


@pytest.mark.parametrize("service", ["customers", "orders"])
def test_health_says_who_answers(api, service):
    assert api(service, "GET", "/health").json() == {"ok": True, "status": "ok", "service": service}


@pytest.mark.parametrize("service", ["customers", "orders"])
@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui/swagger-ui-bundle.js", "/docs/docs.css", "/openapi.json"])
def test_page_and_its_files_come_out_byte_for_byte(api, operator, service, path):
    expected = operator.session.get(getattr(operator.stack, service) + path, timeout=30)

    found = api(service, "GET", path)
    unchanged = api(service, "GET", path, headers={"If-None-Match": found.headers["ETag"]})

    assert (found.status_code, found.content) == (200, expected.content)
    assert found.headers["Content-Type"] == expected.headers["Content-Type"]
    assert (unchanged.status_code, unchanged.content) == (304, b"")


# --- the same as gunicorn --------------------------------------------------------------

JSON = {"Content-Type": "application/json"}
# Nothing here is ill-formed as text: what API Gateway makes of that is not documented.
REQUESTS = {
    "a list": ("customers", "GET", "/customers?limit=2&search=acme", {}),
    "escapes in a query": ("customers", "GET", "/customers?search=%25%5F%2B+%C3%A9", {}),
    "an unknown parameter": ("orders", "GET", "/orders?colour=red", {}),
    "a repeated parameter": ("orders", "GET", "/orders?limit=1&limit=2", {}),
    "empty parameters": ("orders", "GET", "/products?limit=1&search=&cursor=", {}),
    "a bent cursor": ("orders", "GET", "/products?cursor=abc", {}),
    "no token": ("orders", "GET", "/products", {"headers": {"Authorization": None}}),
    "a bad token": ("orders", "GET", "/products", {"headers": {"Authorization": "Bearer x"}}),
    "a token that is no ASCII": ("orders", "GET", "/products", {"headers": {"Authorization": b"Bearer \xc3\xa9"}}),
    "another kind of caller": ("customers", "GET", "/internal/customers/1", {}),
    "an unknown path": ("customers", "GET", "/nowhere/at/all", {}),
    "an escaped escape in a path": ("customers", "GET", "/customers/%2531", {}),
    "an escaped question mark": ("customers", "GET", "/customers%3Flimit=1", {}),
    "a header with an underscore": ("orders", "POST", "/orders/1/confirm", {"headers": {"X_Idempotency_Key": "a"}}),
    "an escaped path": ("customers", "GET", "/custom%65rs?limit=1", {}),
    "an id that is none": ("orders", "GET", "/orders/007", {}),
    "an id that nobody has": ("orders", "GET", "/orders/4611686018427387904", {}),
    "an unknown method": ("orders", "DELETE", "/orders", {}),
    "OPTIONS": ("orders", "OPTIONS", "/orders", {}),
    "a body against the contract": ("customers", "POST", "/customers", {"json": {"name": 5, "größe": 1}}),
    "no body": ("customers", "POST", "/customers", {"headers": JSON}),
    "half a body": ("customers", "POST", "/customers", {"data": b'{"name": "A', "headers": JSON}),
    "a body in UTF-8": ("customers", "POST", "/customers", {"data": '{"nam": "Größe"}'.encode(), "headers": {
        "Content-Type": "application/json; charset=utf-8"}}),
    "a body of another type": ("customers", "POST", "/customers", {"data": b"a=b", "headers": {
        "Content-Type": "application/x-www-form-urlencoded"}}),
    "a compressed body": ("customers", "POST", "/customers", {"data": b"{}", "headers": {
        **JSON, "Content-Encoding": "gzip"}}),
    "a body too large": ("customers", "POST", "/customers", {"data": b" " * 65_537, "headers": JSON}),
    "a key that is none": ("orders", "POST", "/orders/1/confirm", {"headers": {"X-Idempotency-Key": "a b"}}),
    "no key": ("orders", "POST", "/orders/1/confirm", {}),
    "two keys": ("orders", "POST", "/orders/1/confirm", {"headers": {
        "X-Idempotency-Key": "a", "Idempotency-Key": "b"}}),
    "the host of API Gateway": ("orders", "GET", "/orders/007", {"headers": {
        "Host": "abc123.execute-api.eu-central-1.amazonaws.com"}}),
    "a request id that is none": ("orders", "GET", "/orders/007", {"headers": {"X-Request-ID": "a b"}}),
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
