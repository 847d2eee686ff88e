"""Both secrets are rotated as README.md says, under load: no call is refused, and the old secrets end with it."""

import threading
import time
from collections import Counter

import pytest
import requests

from tests.system.cluster import Cluster
from tests.system.conftest import Operator, Warehouse, wait_until
from tests.system.services import Clients

OLD = {"JWT_SECRET": "jwt-secret-of-last-year-0123456789", "SERVICE_TOKEN": "service-token-of-last-year-0123456789"}
NEW = {"JWT_SECRET": "jwt-secret-of-this-year-0123456789", "SERVICE_TOKEN": "service-token-of-this-year-0123456789"}
CLIENTS = 7  # and one before the orchestrator
TURNS = 3  # that a client takes before it logs in again
PAUSE = 0.2  # seconds between two of them: the restarts need the processors
ORCHESTRATE = "/orchestrator/create-and-confirm-order"
SERVED = {
    ("POST", "/auth/token", 200, None),
    ("POST", "/orders", 201, None),
    ("GET", "/orders", 200, None),
    ("GET", "/customers", 200, None),
    ("POST", ORCHESTRATE, 201, None),
}


def both(first, second):
    return {name: f"{first[name]},{second[name]}" for name in first}


@pytest.fixture
def cluster(system_schema, tmp_path):
    # A worker each is enough, and starts sooner.
    with Cluster(system_schema, tmp_path, OLD | {"GUNICORN_CMD_ARGS": "--workers=1"}) as cluster:
        yield cluster


@pytest.fixture
def shop(cluster):
    return Warehouse(Operator(cluster, "demo", "demo-password"))


@pytest.fixture
def make_orchestrator(cluster, make_function):
    """`make_orchestrator()` returns the function with the secrets that the cluster has now."""

    def make():
        names = ("CUSTOMERS_API_BASE", "ORDERS_API_BASE", *OLD)
        return make_function("orchestrator", {name: cluster.environ[name] for name in names})

    return make


@pytest.fixture
def orchestrator(make_orchestrator, make_gateway):
    return make_gateway(make_orchestrator(), "2.0")


class Caller:
    """Somebody who has logged in; `answers` has (method, path, status, code of a refusal) of each call."""

    _logging_in = threading.Lock()  # a worker refuses the third log-in at once

    def __init__(self, cluster):
        self.answers = []
        self._cursors = {}
        self._token = None
        login = {"username": "demo", "password": "demo-password"}
        with self._logging_in:
            self._token = self.call("POST", cluster.customers, "/auth/token", json=login).get("token")

    def call(self, method, base, path, **arguments):
        # On a connection of its own: a reload closes the clients' idle ones.
        headers = {"Connection": "close", "Authorization": f"Bearer {self._token}"}
        answer = requests.request(method, base + path, headers=headers, timeout=60, **arguments)
        self.answers.append((method, path, answer.status_code, answer.json().get("code")))
        return answer.json()

    def turn(self, base, path, cursor=None):
        """Read a list's page behind `cursor`, or behind the one that was read last."""
        page = self.call("GET", base, path, params={"limit": 1, "cursor": cursor or self._cursors.get(path)})
        self._cursors[path] = page.get("next_cursor")
        return self._cursors[path]


@pytest.fixture
def work(cluster, shop):
    """`work()` logs in, orders and turns pages for a while, and returns the answers."""

    def work():
        caller = Caller(cluster)
        for _ in range(TURNS):
            caller.call("POST", cluster.orders, "/orders", json=shop.order_request())
            caller.turn(cluster.orders, "/orders")
            caller.turn(cluster.customers, "/customers")
            time.sleep(PAUSE)
        return caller.answers

    return work


@pytest.fixture
def orchestrate(cluster, orchestrator, shop):
    """`orchestrate()` logs in and orders through the orchestrator for a while, and returns the answers."""

    def orchestrate():
        caller = Caller(cluster)
        for _ in range(TURNS):
            caller.call("POST", orchestrator.base, ORCHESTRATE, json=shop.order())
            time.sleep(PAUSE)
        return caller.answers

    return orchestrate


def status_of_program(cluster, secrets):
    """Return what a program of ours gets from Customers."""
    headers = {"Authorization": f"Bearer {secrets['SERVICE_TOKEN']}"}
    return requests.get(f"{cluster.customers}/internal/customers/1", headers=headers, timeout=60).status_code


@pytest.mark.timeout(300)  # ten gunicorns start, beside clients
def test_rotation_of_both_secrets_refuses_no_call_until_the_old_ones_are_gone(
    cluster, orchestrator, make_orchestrator, shop, work, orchestrate
):
    def roll_out(secrets, clients):
        def let_them_log_in_and_work():
            enough = len(clients.results) + 2 * CLIENTS
            wait_until(lambda: len(clients.results) >= enough)

        cluster.roll_out(secrets, let_them_log_in_and_work)
        orchestrator.function = make_orchestrator()

    old = Caller(cluster)
    for _ in range(2):
        old.call("POST", cluster.orders, "/orders", json=shop.order_request())
    old_cursor = old.turn(cluster.orders, "/orders")

    with Clients(CLIENTS, work) as clients, Clients(1, orchestrate) as orchestrating:
        for secrets in (both(OLD, NEW), both(NEW, OLD)):
            roll_out(secrets, clients)
            old.turn(cluster.orders, "/orders", old_cursor)
    # "Two hours later" everybody has logged in again.
    with Clients(CLIENTS, work) as later, Clients(1, orchestrate) as orchestrating_later:
        roll_out(NEW, later)

    results = clients.results + orchestrating.results + later.results + orchestrating_later.results
    assert Counter(sum(results, old.answers)).keys() == SERVED
    new = Caller(cluster)
    new.turn(cluster.orders, "/orders", old_cursor)
    old.turn(cluster.customers, "/customers")
    old.turn(cluster.orders, "/orders")
    old.call("POST", orchestrator.base, ORCHESTRATE, json=shop.order())
    assert new.answers[-1] == ("GET", "/orders", 400, "invalid_cursor")
    assert [answer[2:] for answer in old.answers[-3:]] == [(401, "invalid_token")] * 3
    assert [status_of_program(cluster, secrets) for secrets in (OLD, NEW)] == [401, 200]
