"""The orchestrator when the services, the network or itself fail in the middle."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system import proxy
from tests.system.http_server import answer

CREATE = "/orders"
CONFIRM = "/orders/[0-9]+/confirm"
CANCEL = "/orders/[0-9]+/cancel"

SHORT_SECONDS = 2  # a deadline that a test can wait for


@pytest.fixture(scope="module")
def gateway(make_function, make_gateway, function_environ):
    """The orchestrator as it is deployed."""
    return make_gateway(make_function("orchestrator", function_environ), "2.0")


@pytest.fixture
def operator(request, operator, gateway):
    """The operator before an orchestrator as it is deployed, or under serverless offline where a test says so."""
    if getattr(request, "param", "deployed") == "offline":
        return operator
    return operator.at(gateway.base)


both_ways = pytest.mark.parametrize("operator", ["offline", "deployed"], indirect=True)


@pytest.fixture
def orchestrate_in_vain(operator, gateway, monkeypatch):
    """`orchestrate_in_vain(order)` sends an order with the short deadline."""

    def send(order):
        with monkeypatch.context() as patch:
            patch.setattr(gateway.function, "timeout", SHORT_SECONDS)
            return operator.orchestrate(order)

    return send


def assert_one_confirmed_order(shop, response):
    """One order, confirmed, its stock taken once, and the answer tells of it."""
    assert response.status_code == 201, response.text
    orders = shop.orders()
    assert [(order["id"], order["status"]) for order in orders] == [
        (response.json()["data"]["order"]["id"], "CONFIRMED")
    ]
    assert shop.event_types(orders[0]["id"]) == ["created", "confirmed"]
    assert shop.stock() == shop.initial_stock - 1


def kill_lambda_when(gateway, operator, order, service_proxy, method, pattern, before):
    """Send the order and kill -9 the function at a request, before or after that takes effect."""
    reached = threading.Event()

    def report(service_proxy, handler, forward):
        if not before:
            forward()
        reached.set()
        service_proxy.hang()

    service_proxy.script(method, pattern, report)
    call = threading.Thread(target=operator.orchestrate, args=[order])
    call.start()
    assert reached.wait(60)
    gateway.function.kill()
    call.join(60)
    service_proxy.reset()


@pytest.mark.parametrize(
    ("pattern", "before"),
    [(CREATE, True), (CREATE, False), (CONFIRM, True), (CONFIRM, False)],
    ids=["before create", "after create", "before confirm", "after confirm"],
)
def test_lambda_killed_then_repeated_gives_one_confirmed_order(operator, shop, stack, gateway, pattern, before):
    order = shop.order()
    kill_lambda_when(gateway, operator, order, stack.orders_proxy, "POST", pattern, before)

    response = operator.orchestrate(order)

    assert_one_confirmed_order(shop, response)


@pytest.mark.parametrize("pattern", [CREATE, CONFIRM], ids=["create", "confirm"])
@pytest.mark.parametrize(
    ("script", "codes"),
    [
        (proxy.drop_after, {"upstream_timeout"}),
        (proxy.hang_after, {"upstream_timeout"}),
        (proxy.answer_html_after, {"upstream_broken", "upstream_timeout"}),  # the last try may end before its answer
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_lasting_failure_is_retryable_and_a_repeat_converges(
    operator, orchestrate_in_vain, shop, stack, pattern, script, codes
):
    order = shop.order()
    stack.orders_proxy.script("POST", pattern, script)

    failure = orchestrate_in_vain(order)
    compensations = stack.orders_proxy.count("POST", CANCEL)
    stack.orders_proxy.reset()
    repeat = operator.orchestrate(order)

    assert failure.headers["Content-Type"].startswith("application/problem+json")
    assert failure.json()["code"] in codes
    assert (failure.json()["retryable"], failure.json()["success"]) == (True, False)
    assert compensations == 0
    assert_one_confirmed_order(shop, repeat)


def refuse(service_proxy, handler, forward):
    """Refuse with what the orchestrator reads of a problem document, without asking the service."""
    problem = {"title": "Conflict", "status": 409, "detail": "Not now.", "code": "order_state_conflict"}
    answer(handler, 409, "application/problem+json", json.dumps(problem).encode())


@both_ways
def test_refused_confirm_cancels_the_order_and_gives_the_stock_back(operator, shop, stack):
    stack.orders_proxy.script("POST", CONFIRM, refuse)

    response = operator.orchestrate(shop.order())

    body = response.json()
    assert (response.status_code, body["code"], body["step"]) == (409, "order_state_conflict", "confirm_order")
    assert (body["compensation"], body["success"], body["retryable"]) == ("order_canceled", False, False)
    assert [order["status"] for order in shop.orders()] == ["CANCELED"]
    assert shop.stock() == shop.initial_stock


@both_ways
def test_ten_equal_calls_at_once_give_one_order(operator, shop):
    order = shop.order()
    with ThreadPoolExecutor(10) as clients:
        responses = list(clients.map(operator.orchestrate, [order] * 10))

    assert [response.status_code for response in responses] == [201] * 10
    assert len({response.content for response in responses}) == 1
    assert_one_confirmed_order(shop, responses[0])
