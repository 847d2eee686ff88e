"""docs/client.py, which docs/calling.md tells callers to copy: run as it is, before a network that fails on request.

Its waits are recorded and not waited for.
"""

import json
import os
import signal
import subprocess
import sys
import uuid
from contextlib import ExitStack

import pytest

from tests.system.conftest import ROOT, Shop, free_ports
from tests.system.proxy import ScriptedProxy, answer, drop, drop_after, hang_after

ORCHESTRATE = "/orchestrator/create-and-confirm-order"

PREPARE = """
import json
import client
waits = []
client.time.sleep = waits.append
"""


class Caller:
    """A program that uses the client, behind a proxy for each of the three programs."""

    def __init__(self, customers, orders, orchestrator, directory):
        self.customers, self.orders, self.orchestrator = customers, orders, orchestrator
        self.directory = directory
        self.environ = {
            **os.environ,
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(ROOT / "docs"),
            "B2B_CUSTOMERS": customers.base,
            "B2B_ORDERS": orders.base,
            "B2B_ORCHESTRATOR": orchestrator.base,
        }

    def start(self, expression, before=""):
        """Start a process that prints [the value of an expression, the waits]."""
        code = f"{PREPARE}{before}\nprint(json.dumps([{expression}, waits]))"
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=self.directory,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, expression, before=""):
        """Return (value, waits)."""
        with self.start(expression, before) as process:
            output, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        return json.loads(output)

    def fail(self, expression, before=""):
        """Return the last line of the traceback."""
        with self.start(expression, before) as process:
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        return errors.splitlines()[-1]


@pytest.fixture(scope="module")
def network(stack):
    """A proxy for each program, before the stack."""
    with ExitStack() as proxies:
        bases = {"customers": stack.customers, "orders": stack.orders, "orchestrator": stack.orchestrator}
        yield {name: proxies.enter_context(ScriptedProxy(base)) for name, base in bases.items()}


@pytest.fixture
def caller(network, tmp_path):
    yield Caller(**network, directory=tmp_path)
    for proxy in network.values():
        proxy.reset()


def order_of(shop, qty=1):
    """Return the call that orders from the shop, once, with a reference of its own."""
    items = [{"product_id": shop.product["id"], "qty": qty}]
    return f"client.order({uuid.uuid4().hex!r}, {shop.customer['id']}, {items!r})"


# --- answers that get lost -------------------------------------------------------------


def break_off(proxy, handler, forward):
    """Let the request take effect and end in the middle of its answer."""
    handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
    forward()


def fail_after(status, content_type="text/html", headers=()):
    """Return a script that lets the request take effect and answers otherwise, as a gateway may."""

    def script(proxy, handler, forward):
        forward()
        answer(handler, status, content_type, b"<html>", headers)

    return script


LOSSES = {
    "lost request": drop,
    "lost answer": drop_after,
    "half an answer": break_off,
    "late answer": hang_after,
    "429": fail_after(429, headers=[("Retry-After", "1")]),
    "500": fail_after(500),
    "502": fail_after(502),
    "503": fail_after(503),
    "504": fail_after(504),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_lost_outcome_leaves_one_confirmed_order(caller, shop, loss):
    caller.orchestrator.script("POST", ORCHESTRATE, loss, times=1)

    order, _ = caller.run(order_of(shop, qty=3), before="client.log_in()\nclient.TIMEOUT = (3, 5)")

    assert order["status"] == "CONFIRMED"
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]
    assert shop.stock() == shop.initial_stock - 3
    assert caller.orchestrator.count("POST", ORCHESTRATE) == 2


def test_order_in_two_calls_is_made_once_when_both_answers_are_lost(caller, shop):
    caller.orders.script("POST", "/orders", drop_after, times=1)
    caller.orders.script("POST", "/orders/[0-9]+/confirm", drop_after, times=1)
    body = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 1}]}

    order, _ = caller.run(f"client.order_in_two_calls({uuid.uuid4().hex!r}, {body!r})", before="client.log_in()")

    assert order["status"] == "CONFIRMED"
    assert shop.event_types(order["id"]) == ["created", "confirmed"]
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]
    assert caller.orders.count("POST", "/orders.*") == 4


def test_caller_killed_after_its_order_was_made_finds_it_when_run_again(caller, shop):
    call = order_of(shop)
    started = []

    def kill(proxy, handler, forward):
        forward()
        started[0].send_signal(signal.SIGKILL)

    caller.orchestrator.script("POST", ORCHESTRATE, kill, times=1)
    with caller.start(call, before="client.log_in()") as process:
        started.append(process)
        process.communicate(timeout=60)

    order, _ = caller.run(call)

    assert process.returncode == -signal.SIGKILL
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]


def test_finished_order_is_not_sent_again(caller, shop):
    call = order_of(shop)
    first, _ = caller.run(call)
    caller.orchestrator.reset()

    second, _ = caller.run(call)

    assert second == first
    assert caller.orchestrator.requests == []


def test_outcome_that_stays_unknown_is_an_error_and_the_same_order_later(caller, shop):
    call = order_of(shop)
    caller.orchestrator.script("POST", ORCHESTRATE, drop_after, times=6)

    error = caller.fail(call, before="client.log_in()")
    tries = caller.orchestrator.count("POST", ORCHESTRATE)
    order, _ = caller.run(call)

    assert error.startswith("TimeoutError: POST ")
    assert tries == 6
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]


def test_order_whose_answer_and_key_are_lost_is_found_by_its_reference_until_it_is_canceled(caller, shop, operator):
    caller.orchestrator.script("POST", ORCHESTRATE, drop_after, times=6)
    caller.fail(f"client.order('PO-1',{order_of(shop).split(',', 1)[1]}", before="client.log_in()")
    find = f"client.find_order('PO-1', {shop.customer['id']})"

    found, _ = caller.run(find)
    operator.session.post(f"{operator.stack.orders}/orders/{found['id']}/cancel", timeout=30)
    canceled, _ = caller.run(find)

    assert [listed["id"] for listed in shop.orders()] == [found["id"]]
    assert canceled is None


# --- how long it waits -----------------------------------------------------------------


def test_waits_grow_until_it_gives_up(caller):
    closed = f"http://127.0.0.1:{free_ports(1)[0]}"
    give_up = f"""
try:
    client.send("GET", "{closed}")
except TimeoutError:
    waits.append("gave up")
"""

    _, (first, *waits, last) = caller.run("None", before=give_up)

    assert (first, last) == (0, "gave up")
    assert [0.5 * 2**n <= wait <= 2**n for n, wait in enumerate(waits)] == [True] * 5


@pytest.mark.parametrize("status", [409, 429, 503])
def test_retry_after_is_honoured(caller, shop, status):
    later = fail_after(status, "application/problem+json", [("Retry-After", "40")])
    caller.orders.script("POST", "/orders", later, times=1)
    body = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 1}]}

    order, waits = caller.run(f"client.order_in_two_calls({uuid.uuid4().hex!r}, {body!r})", before="client.log_in()")

    assert [wait for wait in waits if wait] == [40]
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]


@pytest.mark.parametrize(("value", "longest"), [("Wed, 25 Nov 2026 21:00:00 GMT", 1), ("1.5", 1), ("9" * 30, 60)])
def test_odd_retry_after_neither_fails_nor_waits_for_ever(caller, shop, value, longest):
    caller.orchestrator.script("POST", ORCHESTRATE, fail_after(503, headers=[("Retry-After", value)]), times=1)

    _, waits = caller.run(order_of(shop), before="client.log_in()")

    assert 0 < max(waits) <= longest


FOREIGN = {
    "redirect": (302, "text/html", b"", [("Location", "/elsewhere")]),
    "page": (200, "text/html", b"<html>", []),
    "nothing": (200, "application/json", b"", []),
    "a list": (200, "application/json", b"[]", []),
    "a gateway's refusal": (403, "application/json", b'{"message": "Forbidden"}', []),
    "a refusal in HTML": (400, "text/html", b"<html>", []),
    "what is not compressed as it says": (201, "application/json", b"{}", [("Content-Encoding", "gzip")]),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_answer_of_somebody_else_says_nothing_and_the_order_is_made_once(caller, shop, foreign):
    status, content_type, body, headers = foreign

    def misanswer(proxy, handler, forward):
        forward()
        answer(handler, status, content_type, body, headers)

    caller.orchestrator.script("POST", ORCHESTRATE, misanswer, times=1)

    order, _ = caller.run(order_of(shop), before="client.log_in()")

    assert [listed["id"] for listed in shop.orders()] == [order["id"]]
    assert caller.orchestrator.count("POST", ORCHESTRATE) == 2


# --- refusals --------------------------------------------------------------------------


def test_refusal_is_not_repeated(caller, shop):
    error = caller.fail(order_of(shop, qty=shop.initial_stock + 1), before="client.log_in()")

    assert error.startswith("client.Refused: ('insufficient_stock', ")
    assert caller.orchestrator.count("POST", ORCHESTRATE) == 1


def test_refused_order_can_be_corrected_under_its_reference(caller, shop):
    call = order_of(shop, qty=shop.initial_stock + 1)
    caller.fail(call)

    order, _ = caller.run(call.replace(str(shop.initial_stock + 1), str(shop.initial_stock)))

    assert [line["qty"] for line in order["items"]] == [shop.initial_stock]
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]


def test_reference_with_other_items_is_an_error_and_no_order(caller, shop):
    call = order_of(shop, qty=1)
    order, _ = caller.run(call)

    error = caller.fail(call.replace("'qty': 1", "'qty': 2"))

    assert error.startswith("ValueError: ")
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]


def test_two_customers_may_have_the_same_reference(caller, operator):
    shops = Shop(operator), Shop(operator)
    calls = [order_of(shop).split(",", 1)[1] for shop in shops]

    first, _ = caller.run(f"client.order('PO-1',{calls[0]}")
    second, _ = caller.run(f"client.order('PO-1',{calls[1]}")

    assert [listed["id"] for listed in shops[0].orders()] == [first["id"]]
    assert [listed["id"] for listed in shops[1].orders()] == [second["id"]]


def test_taken_email_finds_the_customer_in_any_case_of_letters(caller, shop):
    found, _ = caller.run(f"client.customer('Other name', {shop.customer['email'].upper()!r})")

    assert found == shop.customer


def test_customer_is_added_once_when_the_answer_is_lost(caller, operator, stack):
    name = uuid.uuid4().hex
    caller.customers.script("POST", "/customers", drop_after, times=1)

    added, _ = caller.run(f"client.customer({name!r}, '{name}@example.test')", before="client.log_in()")

    assert operator.get(stack.customers, "/customers", search=name)["data"] == [added]


# --- the token -------------------------------------------------------------------------

SPENT_TOKEN = "client.session.headers['Authorization'] = 'Bearer spent'"


def test_ended_token_is_renewed_and_the_order_made_once(caller, shop):
    order, waits = caller.run(order_of(shop), before=SPENT_TOKEN)

    assert [listed["id"] for listed in shop.orders()] == [order["id"]]
    assert caller.customers.count("POST", "/auth/token") == 1
    assert set(waits) == {0}


def test_token_that_is_refused_though_new_is_an_error(caller):
    problem = json.dumps({"code": "invalid_token", "detail": "No.", "request_id": "1"}).encode()
    caller.orders.script("GET", "/orders.*", lambda _, handler, __: answer(handler, 401, "application/json", problem))

    error = caller.fail("list(client.every(client.ORDERS + '/orders'))")

    assert error.startswith("client.Refused: ('invalid_token', ")
    assert caller.customers.count("POST", "/auth/token") == 1


@pytest.mark.parametrize("code", ["authentication_required", "invalid_token"])
def test_log_in_that_is_refused_for_want_of_a_token_does_not_go_round(caller, code):
    problem = json.dumps({"code": code, "detail": "No.", "request_id": "1"}).encode()
    caller.customers.script(
        "POST", "/auth/token", lambda _, handler, __: answer(handler, 401, "application/json", problem)
    )

    error = caller.fail("list(client.every(client.ORDERS + '/orders'))")

    assert error.startswith(f"client.Refused: ('{code}', ")
    assert caller.customers.count("POST", "/auth/token") == 1


def test_password_goes_to_no_proxy_of_the_environment(caller):
    caller.environ |= {"http_proxy": "http://127.0.0.1:1", "NO_PROXY": "", "no_proxy": ""}

    _, waits = caller.run("client.log_in()")

    assert waits == [0]
    assert caller.customers.count("POST", "/auth/token") == 1


def test_wrong_password_is_an_error_at_once(caller):
    error = caller.fail("client.log_in()", before="client.USERNAME = 'nobody'")

    assert error.startswith("client.Refused: ('invalid_credentials', ")
    assert caller.customers.count("POST", "/auth/token") == 1


def test_netrc_does_not_replace_the_token(caller, shop):
    netrc = caller.directory / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    caller.environ["NETRC"] = str(netrc)

    order, _ = caller.run(order_of(shop))

    assert order["status"] == "CONFIRMED"


# --- lists -----------------------------------------------------------------------------


def test_every_page_of_the_orders_is_read(caller, shop, operator, stack):
    body = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 1}]}
    made = [operator.create(stack.orders, "/orders", body)["id"] for _ in range(5)]

    orders, _ = caller.run(
        f"list(client.every(client.ORDERS + '/orders', customer_id={shop.customer['id']}, limit=2))",
        before="client.log_in()",
    )

    assert [order["id"] for order in orders] == made[::-1]
    assert caller.orders.count("GET", "/orders.*") == 3


def test_every_page_of_the_customers_is_read_though_one_is_lost(caller, operator, stack):
    name = uuid.uuid4().hex
    bodies = [{"name": name, "email": f"{n}-{name}@example.test"} for n in range(3)]
    added = [operator.create(stack.customers, "/customers", body) for body in bodies]
    caller.customers.script("GET", ".*cursor=[^&]+.*", drop_after, times=1)

    customers, _ = caller.run(
        f"list(client.every(client.CUSTOMERS + '/customers', search={name!r}, limit=1))", before="client.log_in()"
    )

    assert customers == added
    assert caller.customers.count("GET", "/customers.*") == 4
