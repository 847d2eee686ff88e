"""docs/client.py, which docs/calling.md tells callers to copy: run as it is, before a network that fails on request.

Its waits are recorded and not waited for.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing

import pytest

from tests.system.conftest import ROOT
from tests.system.proxy import ScriptedProxy, answer, drop_after, hang_after, pass_on

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


@pytest.fixture
def caller(stack, tmp_path):
    with (
        ScriptedProxy(stack.customers) as customers,
        ScriptedProxy(stack.orders) as orders,
        ScriptedProxy(stack.orchestrator) as orchestrator,
    ):
        yield Caller(customers, orders, orchestrator, tmp_path)


def order_of(shop, qty=1):
    """Return the call that orders from the shop, once, with a reference of its own."""
    return f"client.order({uuid.uuid4().hex!r}, {shop.customer['id']}, {shop.order_request(qty)['items']!r})"


# --- answers that get lost -------------------------------------------------------------


def break_off(proxy, handler, forward):
    """Let the request take effect and end in the middle of its answer."""
    handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
    forward()


def misanswer(status, content_type="text/html", body=b"<html>", **headers):
    """Return a script that lets the request take effect and answers otherwise, as a gateway may."""

    def script(proxy, handler, forward):
        forward()
        answer(handler, status, content_type, body, [(name.replace("_", "-"), headers[name]) for name in headers])

    return script


LOSSES = {
    "lost answer": drop_after,
    "half an answer": break_off,
    "late answer": hang_after,
    "502": misanswer(502),
    # What somebody else answers says nothing.
    "redirect": misanswer(302, Location="/elsewhere"),
    "page": misanswer(200),
    "a list": misanswer(200, "application/json", b"[]"),
    "a gateway's refusal": misanswer(403, "application/json", b'{"message": "Forbidden"}'),
    "what is not compressed as it says": misanswer(201, "application/json", b"{}", Content_Encoding="gzip"),
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
    call = f"client.order_in_two_calls({uuid.uuid4().hex!r}, {shop.order_request()!r})"

    order, _ = caller.run(call, before="client.log_in()")

    assert order["status"] == "CONFIRMED"
    assert shop.event_types(order["id"]) == ["created", "confirmed"]
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]
    assert caller.orders.count("POST", "/orders.*") == 4


def test_caller_killed_after_its_order_was_made_finds_it_and_sends_it_no_more(caller, shop):
    call = order_of(shop)
    started = []

    def kill(proxy, handler, forward):
        forward()
        started[0].send_signal(signal.SIGKILL)

    caller.orchestrator.script("POST", ORCHESTRATE, kill, times=1)
    with caller.start(call, before="client.log_in()") as process:
        started.append(process)
        process.communicate(timeout=60)

    first, _ = caller.run(call, before="client.log_in()")
    second, _ = caller.run(call)

    assert process.returncode == -signal.SIGKILL
    assert first == second
    assert [listed["id"] for listed in shop.orders()] == [first["id"]]
    assert caller.orchestrator.count("POST", ORCHESTRATE) == 2


def test_outcome_that_stays_unknown_is_an_error_and_the_same_order_later(caller, shop):
    call = order_of(shop)
    caller.orchestrator.script("POST", ORCHESTRATE, drop_after, times=6)

    log_in = "client.log_in()\nclient.time.monotonic = lambda: 0.0"  # a try takes no time
    waits, _ = caller.run("waits", before=f"{log_in}\ntry:\n    {call}\nexcept TimeoutError:\n    pass")
    order, _ = caller.run(call)

    # The first is the log-in's.
    assert waits[:2] == [0, 0]
    assert [max(4, 0.5 * 2**n) <= wait <= max(4, 2**n) for n, wait in enumerate(waits[2:])] == [True] * 5
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


@pytest.mark.parametrize(
    ("status", "value", "least", "longest"),
    [(409, "40", 40, 40), (503, "40", 40, 40), (503, "Wed, 25 Nov 2026 21:00:00 GMT", 0.5, 1), (503, "9" * 30, 60, 60)],
)
def test_retry_after_is_honoured_within_reason(caller, shop, status, value, least, longest):
    caller.orchestrator.script("POST", ORCHESTRATE, misanswer(status, Retry_After=value), times=1)

    order, waits = caller.run(order_of(shop), before="client.log_in()")

    assert least <= max(waits) <= longest
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]


# --- refusals --------------------------------------------------------------------------


def test_refusal_is_not_repeated_and_the_order_can_be_corrected_under_its_reference(caller, shop):
    call = order_of(shop, qty=99)
    error = caller.fail(call, before="client.log_in()")
    tries = caller.orchestrator.count("POST", ORCHESTRATE)

    order, _ = caller.run(call.replace("'qty': 99", "'qty': 9"))

    assert error.startswith("client.Refused: ('insufficient_stock', ")
    assert tries == 1
    assert [line["qty"] for line in order["items"]] == [9]
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]


def test_reference_with_other_items_is_an_error_and_no_order(caller, shop):
    call = order_of(shop, qty=1)
    order, _ = caller.run(call)

    error = caller.fail(call.replace("'qty': 1", "'qty': 2"))

    assert error.startswith("ValueError: ")
    assert [listed["id"] for listed in shop.orders()] == [order["id"]]


def test_taken_email_finds_the_customer_in_any_case_of_letters_though_it_is_longer_than_a_search(caller):
    email = f"{uuid.uuid4().hex}@{'long.' * 40}test"
    added, _ = caller.run(f"client.customer('First', {email!r})")

    found, _ = caller.run(f"client.customer('Second', {email.upper()!r})")

    assert found == added


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


def test_netrc_does_not_replace_the_token(caller, shop):
    netrc = caller.directory / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    caller.environ["NETRC"] = str(netrc)

    order, _ = caller.run(order_of(shop))

    assert order["status"] == "CONFIRMED"


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


# --- the feed --------------------------------------------------------------------------

# What the program works on goes into a table of outbox.db and, as an effect that no transaction takes back, to a file.
# A page has two events. KILL_AT says before which statement the program is killed: how it begins, and which of those.
FOLLOW = """
import os
import signal

begun = []

def trace(statement):
    begun.append(statement.startswith(KILL_AT[0]))
    if begun[-1] and sum(begun) == KILL_AT[1]:
        os.kill(os.getpid(), signal.SIGKILL)

def open_outbox(real=client.open_outbox):
    outbox = real()
    outbox.set_trace_callback(trace)
    return outbox

def events_after(place):
    return client.send("GET", f"{client.ORDERS}/events", params={"after": place, "limit": 2})

def work(outbox, stock):
    with open("work", "a") as file:
        print(stock, file=file)
    outbox.execute("INSERT INTO work VALUES (?)", (stock,))

def start(outbox):
    outbox.execute("CREATE TABLE work (stock INT)")
    work(outbox, client.send("GET", f"{client.ORDERS}/products/{PRODUCT}")["stock"])
    if CHANGE_AT_START:
        client.send("PATCH", f"{client.ORDERS}/products/{PRODUCT}", json={"stock_delta": 1})

def handle(outbox, event):
    if event["type"] == "product.stock_changed" and event["subject"]["id"] == PRODUCT:
        work(outbox, event["data"]["stock"])

client.open_outbox, client.events_after = open_outbox, events_after
client.log_in()
"""


class Follower:
    """A program that follows the stock of the shop's product."""

    def __init__(self, caller, shop, operator):
        self.caller, self.product = caller, shop.product["id"]
        self.session, self.url = operator.session, f"{operator.stack.orders}/products/{self.product}"

    def add(self, times):
        """Change the stock by one, so many times."""
        for _ in range(times):
            assert self.session.patch(self.url, json={"stock_delta": 1}, timeout=30).status_code == 200

    def start(self, kill_at=("never", 0), change_at_start=False):
        settings = f"KILL_AT, PRODUCT, CHANGE_AT_START = {kill_at}, {self.product}, {change_at_start}"
        return self.caller.start("client.follow(start, handle)", settings + FOLLOW)

    def run(self, **options):
        """Return the stocks that it has worked on: (in its table, in the file)."""
        with self.start(**options) as process:
            _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        with closing(sqlite3.connect(self.caller.directory / "outbox.db")) as outbox:
            table = [stock for (stock,) in outbox.execute("SELECT stock FROM work ORDER BY rowid")]
        return table, [int(line) for line in (self.caller.directory / "work").read_text().split()]

    def run_until_killed(self, kill_at=("never", 0)):
        with self.start(kill_at) as process:
            process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL


@pytest.fixture
def follower(caller, shop, operator):
    return Follower(caller, shop, operator)


def test_follower_reads_what_there_is_and_then_each_change_once_and_in_order(follower):
    follower.add(2)

    first, _ = follower.run(change_at_start=True)
    follower.add(5)
    second, effects = follower.run()

    assert first == [52, 53]  # what changes while it reads what there is comes as well
    assert second == effects == [*range(52, 59)]
    assert follower.run() == (second, effects)


@pytest.mark.parametrize("statement", ["CREATE TABLE work", "INSERT INTO feed", "COMMIT"])
def test_follower_killed_at_its_start_begins_anew(follower, statement):
    follower.run_until_killed((statement, 1))
    follower.add(1)

    assert follower.run()[0] == [51]
    follower.add(3)
    assert follower.run()[0] == [*range(51, 55)]


@pytest.mark.parametrize(
    "kill_at", [("BEGIN", 1), ("INSERT INTO work", 1), ("INSERT INTO work", 4), ("UPDATE feed", 2), ("COMMIT", 2)]
)
def test_killed_follower_misses_nothing_and_what_it_writes_with_the_place_counts_once(follower, kill_at):
    follower.run()
    follower.add(5)

    follower.run_until_killed(kill_at)
    table, effects = follower.run()

    assert table == [*range(50, 56)]
    assert list(dict.fromkeys(effects)) == table  # each at least once, and the first times in order


def test_follower_killed_while_it_waits_for_a_page_misses_nothing(follower):
    follower.run()
    follower.add(5)
    started = []

    def kill(proxy, handler, forward):
        forward()
        started[0].send_signal(signal.SIGKILL)

    follower.caller.orders.script("GET", "/events.*", pass_on, times=1)
    follower.caller.orders.script("GET", "/events.*", kill, times=1)
    with follower.start() as process:
        started.append(process)
        process.communicate(timeout=60)

    assert process.returncode == -signal.SIGKILL
    assert follower.run()[0] == [*range(50, 56)]


@pytest.mark.parametrize("loss", [drop_after, break_off])
def test_page_whose_answer_is_lost_is_asked_for_again(follower, loss):
    follower.run()
    follower.add(5)
    asked = follower.caller.orders.count("GET", "/events.*")
    follower.caller.orders.script("GET", "/events.*", pass_on, times=1)
    follower.caller.orders.script("GET", "/events.*", loss, times=1)

    table, effects = follower.run()

    assert table == effects == [*range(50, 56)]
    assert follower.caller.orders.count("GET", "/events.*") - asked == 3 + 1


def test_follower_asks_for_the_end_until_it_is_the_end(follower):
    page = misanswer(200, "application/json", b'{"data": [], "next": 0, "has_more": true}')
    follower.caller.orders.script("GET", ".*after=latest.*", page, times=1)

    assert follower.run()[0] == [50]  # and nothing of before


def test_follower_whose_work_fails_is_not_past_it(follower):
    follower.run()
    follower.add(3)
    broken = follower.caller.start("client.follow(start, None)", f"KILL_AT = ('never', 0){FOLLOW}")

    with broken as process:
        process.communicate(timeout=60)

    assert process.returncode == 1
    assert follower.run()[0] == [*range(50, 54)]
