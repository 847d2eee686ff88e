"""The services while their database is down, hanging, read-only or behind, and when it comes back."""

import functools
import itertools
import os
import signal
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.contract_client import CODES_SEEN
from tests.system.conftest import Operator, Shop, Warehouse, free_ports, wait_until
from tests.system.services import Clients, Service, Services, prepare

CONNECTIONS = 8  # of a worker: so many requests at once find one, whichever worker takes them
AT_ONCE = 8  # seconds, for what takes one at most; a thread that waits for a database that hangs, waits for ten


@pytest.fixture(scope="module")
def server(own_server):
    """A MySQL beside the one that the tests run on, not running when the services start."""
    own_server.run("stop")
    yield own_server
    own_server.run("start")


@pytest.fixture(scope="module")
def before():
    """What both services answer before there is a database: filled by `services`."""
    return {}


@pytest.fixture(scope="module")
def services(server, tmp_path_factory, before):
    environ = server.environ | {"DB_PORT": str(server.port), "DB_NAME": "b2b_away"}
    with Services(environ, tmp_path_factory.mktemp("services")) as services:
        before["ready"] = [readiness(service.base) for service in services.both]
        before["live"] = [service.get("/health/live") for service in services.both]
        assert server.run("start").returncode == 0
        with server.root() as cursor:
            cursor.execute("CREATE DATABASE b2b_away")
        for service in services.both:
            wait_until(lambda base=service.base: readiness(base) == (503, "schema_outdated"))
        prepare(services.environ)
        yield services
        assert [len(service.workers()) for service in services.both] == [2, 2]  # none was ever replaced


@pytest.fixture
def operator(services):
    # Each worker asks the database for itself, and which one answers is chance: many answers, and so each worker's.
    wait_until(lambda: {readiness(service.base) for service in services.both * 10} == {(200, None)})
    return Operator(services, "demo", "demo-password")


def readiness(base):
    """Return (status, code or None) of `/health/ready`."""
    response = requests.get(f"{base}/health/ready", timeout=AT_ONCE)
    assert response.status_code == 200 or int(response.headers["Retry-After"]) >= 1
    return response.status_code, response.json().get("code")


def test_service_starts_without_a_database_and_becomes_ready_when_it_comes(services, before, operator):
    assert before["live"] == [200, 200]
    assert before["ready"] == [(503, "database_unavailable")] * 2
    assert operator.get(services.orders, "/orders")["data"] == []


@pytest.mark.parametrize("variable", ["super_read_only", "transaction_read_only"])
def test_read_only_database_is_not_ready(server, services, operator, variable):
    with server.root() as cursor:
        cursor.execute(f"SET GLOBAL {variable} = ON")
        try:
            wait_until(lambda: readiness(services.orders) == (503, "database_read_only"))
        finally:
            cursor.execute(f"SET GLOBAL {variable} = OFF")
            cursor.execute("SET GLOBAL read_only = OFF")  # super_read_only has set it
    CODES_SEEN.add("database_read_only")

    wait_until(lambda: readiness(services.orders) == (200, None))


def test_write_on_a_read_only_database_is_503_and_the_next_connects_anew(server, services, operator):
    order = Shop(operator).order_request()
    with server.root() as cursor:
        cursor.execute("SET GLOBAL read_only = ON")
        try:
            before = connections(cursor)
            refused = operator.session.post(services.orders + "/orders", json=order, timeout=30)
            wait_until(lambda: len(before - connections(cursor)) == 1)
        finally:
            cursor.execute("SET GLOBAL read_only = OFF")

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert operator.create(services.orders, "/orders", order)["status"] == "CREATED"


def connections(cursor):
    cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'b2b_orders_api'")
    return {row[0] for row in cursor.fetchall()}


def crowd(operator, base, *calls):
    """Return 48 clients that send these calls, (method, path, body), in turn; `results` has the statuses."""
    turns = itertools.cycle(calls)

    def call():
        method, path, body = next(turns)
        return operator.session.request(method, base + path, json=body, timeout=60).status_code

    return Clients(48, call)


def answer_at_once(operator, url):
    return requests.get(url, headers=operator.session.headers, timeout=AT_ONCE).status_code


def test_database_that_hangs_takes_no_thread_along(server, services, operator):
    (pid,) = server.pids()
    order = Warehouse(operator).order_request()
    calls = [("GET", "/products/1", None), ("GET", "/orders", None), ("POST", "/orders", order)]
    with crowd(operator, services.orders, *calls):
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: {readiness(service.base)[0] for service in services.both} == {503})
            noticed, answers = time.monotonic(), set()
            while time.monotonic() < noticed + 5:  # longer than a probe's answer is good
                for base in (services.customers, services.orders):
                    answers.add(("live", answer_at_once(operator, f"{base}/health/live")))
                    answers.add(("ready", answer_at_once(operator, f"{base}/health/ready")))
        finally:
            os.kill(pid, signal.SIGCONT)
        for url in (f"{services.customers}/customers", f"{services.orders}/products/1"):
            wait_until(lambda url=url: answer_at_once(operator, url) == 200)

    assert answers == {("live", 200), ("ready", 503)}


def test_customers_that_hangs_takes_no_thread_along(services, operator, tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        service = Service("orders", free_ports(1)[0], services.environ | {"CUSTOMERS_API_BASE": base}, tmp_path)
        try:
            service.start()
            with crowd(operator, service.base, ("POST", "/orders", Shop(operator).order_request())) as clients:
                wait_until(lambda: 503 in clients.results)
                urls = [f"{service.base}/health/live", f"{service.base}/products/1"] * 20
                answers = {answer_at_once(operator, url) for url in urls}
        finally:
            service.end()

    assert answers == {200}


def get_at_once(operator, url, number):
    """Return the statuses of as many GETs, sent at the same time."""
    barrier = threading.Barrier(number)

    def get(_):
        barrier.wait()
        return requests.get(url, headers=operator.session.headers, timeout=60).status_code

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(get, range(number)))


def test_kept_connections_to_a_database_that_was_restarted_cost_no_request(server, services, operator):
    url = services.orders + "/products/1"
    warm = get_at_once(operator, url, CONNECTIONS)
    server.run("stop")
    assert server.run("start").returncode == 0

    assert get_at_once(operator, url, CONNECTIONS) == warm == [200] * CONNECTIONS
    wait_until(lambda: readiness(services.orders) == (200, None))


def test_database_killed_and_started_under_load_costs_503s_and_nothing_else(server, services, operator):
    shop = Warehouse(operator)
    made, refused = [], []

    def order_until_it_is_made():
        key = {"X-Idempotency-Key": uuid.uuid4().hex}
        send = functools.partial(operator.session.post, services.orders + "/orders", headers=key, timeout=60)
        while (response := send(json=shop.order_request())).status_code == 503:
            refused.append(int(response.headers["Retry-After"]))
            time.sleep(0.05)  # less than Retry-After says: we want many
        made.append(response.json().get("id"))
        return response.status_code

    with Clients(4 * CONNECTIONS, order_until_it_is_made) as clients:
        wait_until(lambda: len(made) > 100)
        server.kill()
        wait_until(lambda: len(refused) > 100)
        wait_until(lambda: readiness(services.orders) == (503, "database_unavailable"))
        before = len(made)
        assert server.run("start").returncode == 0
        wait_until(lambda: len(made) > before + 100)

    assert set(clients.results) == {201}
    assert min(refused) >= 1
    assert len(made) == len(set(made))
    with server.root() as cursor:
        cursor.execute("SELECT COUNT(*) FROM b2b_away.orders WHERE customer_id = %s", (shop.customer["id"],))
        assert cursor.fetchone() == (len(made),)
    assert shop.stock() == shop.initial_stock - len(made)
