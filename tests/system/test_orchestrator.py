"""The orchestrator on a network that works: under serverless offline and as it is deployed, with equal answers."""

import pytest

from tests.system.conftest import Operator, Shop

PATH = "/orchestrator/create-and-confirm-order"
ANSWER_HEADERS = ["Allow", "Content-Type", "ETag", "Idempotent-Replayed", "WWW-Authenticate", "X-Request-ID"]


@pytest.fixture(params=["offline", "payload 2.0"])
def operator(request, operator, gateways):
    """The operator before an orchestrator under serverless offline, or as a function behind API Gateway."""
    if request.param == "offline":
        return operator
    return operator.at(gateways[request.param]["orchestrator"].base)


def test_order_is_created_and_confirmed_and_a_repeat_gives_the_same_bytes(operator, shop):
    order = shop.order(qty=2)

    first, second = operator.orchestrate(order), operator.orchestrate(order)

    body = first.json()
    assert (first.status_code, second.status_code, second.content) == (201, 201, first.content)
    assert [answer.headers.get("Idempotent-Replayed") for answer in (first, second)] == [None, "true"]
    assert body["success"] is True
    assert body["data"]["customer"] == shop.customer_snapshot
    assert body["data"]["order"]["status"] == "CONFIRMED"
    assert body["data"]["order"]["total_cents"] == 2 * shop.price_cents
    assert shop.stock() == shop.initial_stock - 2
    assert shop.event_types(body["data"]["order"]["id"]) == ["created", "confirmed"]


def test_short_stock_is_409_with_its_items_and_the_key_succeeds_when_stock_comes(operator, shop):
    order = shop.order(qty=shop.initial_stock + 1)

    response = operator.orchestrate(order)

    problem = response.json()
    assert (response.status_code, problem["code"], problem["step"]) == (409, "insufficient_stock", "create_order")
    assert (problem["success"], problem["retryable"]) == (False, False)
    assert problem["items"][0]["available"] == shop.initial_stock
    assert shop.stock() == shop.initial_stock
    path = f"{operator.stack.orders}/products/{shop.product['id']}"
    assert operator.session.patch(path, json={"stock_delta": 1}).status_code == 200
    assert operator.orchestrate(order).status_code == 201


def test_every_way_to_run_it_gives_the_same_answers(stack, gateways):
    # Not the parametrised operator: each request goes to all of them.
    operator = Operator(stack, "demo", "demo-password")
    shop = Shop(operator)
    bases = [stack.orchestrator, *(way["orchestrator"].base for way in gateways.values())]
    order = {**shop.order(), "correlation_id": "equal"}
    assert operator.orchestrate(order).status_code == 201
    bodies = [
        order,
        {**order, "items": [{"product_id": shop.product["id"], "qty": 9}]},
        {**shop.order(qty=shop.initial_stock * 2), "correlation_id": "equal"},
        {**shop.order(), "customer_id": 2**62, "correlation_id": "equal"},
        {"customer_id": "1", "colour": "rot\u00e9"},
        [],
    ]
    requests = [
        *(("POST", PATH, {"json": body}) for body in bodies),
        ("POST", PATH, {"data": b"{", "headers": {"Content-Type": "application/json"}}),
        ("POST", PATH, {"data": b"{}", "headers": {"Content-Type": "text/plain"}}),
        ("POST", PATH, {"data": b"\xff\xfe", "headers": {"Content-Type": "application/octet-stream"}}),
        ("POST", PATH, {"json": order, "headers": {"Authorization": "Bearer no"}}),
        ("POST", PATH + "?a=b&a=c", {"json": order}),
        ("POST", PATH, {"data": b" " * 70_000, "headers": {"Content-Type": "application/json"}}),
        ("GET", PATH, {}),
        ("DELETE", "/nowhere/at%20all", {}),
        ("GET", "/health/", {}),
        ("HEAD", "/health", {}),
        ("POST", PATH.replace("r/", "r//"), {"json": order}),
        ("GET", "/openapi.json", {}),
    ]

    for number, (method, path, arguments) in enumerate(requests):
        headers = {"X-Request-ID": f"equal-{number}", **arguments.pop("headers", {})}
        sent = [operator.session.request(method, base + path, headers=headers, **arguments) for base in bases]
        statuses = [answer.status_code for answer in sent]
        # serverless offline adds "; charset=utf-8" to the media type.
        headers = [[answer.headers.get(name, "").partition(";")[0] for name in ANSWER_HEADERS] for answer in sent]
        assert statuses == statuses[:1] * len(bases), (method, path)
        assert headers == headers[:1] * len(bases), (method, path)
        assert [answer.content for answer in sent] == [sent[0].content] * len(bases)
