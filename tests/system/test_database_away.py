"""The services while their database is down, hanging, read-only or behind, and when it comes back."""

import os
import signal
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import mysql.connector
import pytest
import requests

from tests.contract_client import CODES_SEEN
from tests.system.conftest import Operator, Shop, free_ports, wait_until
from tests.system.mysql_server import OwnServer
from tests.system.services import Service, Services, connect, prepare

CONNECTIONS = 8  # of a worker: so many requests at once find one, whichever worker takes them


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A MySQL of this module's own, not started yet when the services are."""
    with OwnServer(tmp_path_factory.mktemp("away") / "mysql", free_ports(1)[0]) as server:
        yield server


@pytest.fixture(scope="module")
def before():
    """What both services answer before there is a database: filled by `services`."""
    return {}


@pytest.fixture(scope="module")
def services(server, tmp_path_factory, before):
    login = {"DB_HOST": "127.0.0.1", "DB_PORT": str(server.port), "DB_USER": "b2b", "DB_PASSWORD": "b2b-development"}
    with Services(server.environ | login | {"DB_NAME": "b2b"}, tmp_path_factory.mktemp("services")) as services:
        # Before there is a database: both are up, and say that they can't work.
        before["ready"] = [readiness(service.base) for service in services.both]
        before["live"] = [service.get("/health/live") for service in services.both]
        assert server.run("start").returncode == 0
        for service in services.both:
            wait_until(lambda base=service.base: readiness(base) == (503, "schema_outdated"), seconds=2)
        prepare(services.environ)
        yield services
        assert [len(service.workers()) for service in services.both] == [2, 2]  # none was ever replaced


@pytest.fixture
def operator(services):
    wait_until(lambda: all(readiness(service.base)[0] == 200 for service in services.both))
    return Operator(services, "demo", "demo-password")


def readiness(base):
    """Return (status, code or None) of `/health/ready`, which has to come within a second."""
    started = time.monotonic()
    response = requests.get(f"{base}/health/ready", timeout=30)
    assert time.monotonic() - started < 1
    assert response.status_code == 200 or int(response.headers["Retry-After"]) >= 1
    return response.status_code, response.json().get("code")


@contextmanager
def root_of(server):
    """A cursor of the server's administrator."""
    with (
        mysql.connector.connect(
            unix_socket=str(server.home / "data" / "mysql.sock"), user="root", use_pure=False
        ) as root,
        root.cursor() as cursor,
    ):
        yield cursor


def test_service_starts_without_a_database_and_becomes_ready_when_it_comes(services, before, operator):
    assert before["live"] == [200, 200]
    assert before["ready"] == [(503, "database_unavailable")] * 2
    assert [readiness(service.base) for service in services.both] == [(200, None)] * 2


@pytest.mark.parametrize("variable", ["read_only", "super_read_only", "transaction_read_only"])
def test_read_only_database_is_not_ready(server, services, operator, variable):
    with root_of(server) as cursor:
        cursor.execute(f"SET GLOBAL {variable} = ON")
        try:
            wait_until(lambda: readiness(services.orders) == (503, "database_read_only"), seconds=2)
        finally:
            cursor.execute(f"SET GLOBAL {variable} = OFF")
            cursor.execute("SET GLOBAL read_only = OFF")  # super_read_only has set it
    CODES_SEEN.add("database_read_only")

    wait_until(lambda: readiness(services.orders) == (200, None), seconds=2)


ACCOUNTS = {
    "without rights": "GRANT SELECT ON b2b.products TO 'clerk'@'127.0.0.1'",
    "locked": "ALTER USER 'clerk'@'127.0.0.1' ACCOUNT LOCK",
}


@pytest.mark.parametrize("statement", ACCOUNTS.values(), ids=ACCOUNTS)
def test_account_that_can_not_do_its_work_is_not_ready(server, services, operator, tmp_path, statement):
    with root_of(server) as cursor:
        cursor.execute("CREATE USER 'clerk'@'127.0.0.1' IDENTIFIED BY 'clerk'")
        cursor.execute(statement)
        environ = services.environ | {"DB_USER": "clerk", "DB_PASSWORD": "clerk"}
        service = Service("orders", free_ports(1)[0], environ, tmp_path)
        try:
            answer = readiness(service.start().base)
        finally:
            service.end()
            cursor.execute("DROP USER 'clerk'@'127.0.0.1'")

    assert answer == (503, "database_unavailable")


def test_write_on_a_read_only_database_is_503_and_the_next_connects_anew(server, services, operator):
    shop = Shop(operator)
    order = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 1}]}
    with root_of(server) as cursor:
        cursor.execute("SET GLOBAL read_only = ON")
        try:
            before = connections(cursor)
            refused = operator.session.post(services.orders + "/orders", json=order, timeout=30)
            after = connections(cursor)
        finally:
            cursor.execute("SET GLOBAL read_only = OFF")

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert len(before - after) == 1
    assert operator.create(services.orders, "/orders", order)["status"] == "CREATED"


def test_database_without_a_free_connection_is_503_until_there_is_one(server, services, operator, tmp_path):
    (port,) = free_ports(1)
    service = Service("orders", port, services.environ, tmp_path)

    def read():
        return requests.get(f"{service.base}/orders", headers=operator.session.headers, timeout=30)

    with root_of(server) as cursor:
        cursor.execute("SET GLOBAL max_connections = 1")  # root's
        try:
            service.start()
            refused, ready = read(), readiness(service.base)
        finally:
            cursor.execute("SET GLOBAL max_connections = 100")
        served = read()
    service.end()

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert refused.headers["Retry-After"] == "2"
    assert ready == (503, "database_unavailable")
    assert served.status_code == 200


def connections(cursor):
    """Return the ids of the application's connections."""
    cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'b2b'")
    return {row[0] for row in cursor.fetchall()}


class Warehouse(Shop):
    initial_stock = 1_000_000


class Crowd:
    """48 clients that read and order for as long as the context lasts."""

    def __init__(self, operator, shop, base):
        self._done = threading.Event()
        order = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 1}]}
        calls = [("GET", "/products/1", None), ("GET", "/orders", None), ("POST", "/orders", order)]
        self._threads = [
            threading.Thread(target=self._run, args=(operator.session.headers, method, base + path, body))
            for method, path, body in calls * 16
        ]

    def _run(self, headers, method, url, body):
        with requests.Session() as session:
            session.headers.update(headers)
            while not self._done.wait(0.02):
                session.request(method, url, json=body, timeout=60)

    def __enter__(self):
        for thread in self._threads:
            thread.start()

    def __exit__(self, *exception):
        self._done.set()
        for thread in self._threads:
            thread.join()


def answer_within(seconds, url, **arguments):
    """Return the status of a GET on a new connection."""
    started = time.monotonic()
    status = requests.get(url, timeout=30, **arguments).status_code
    assert time.monotonic() - started < seconds
    return status


def test_database_that_hangs_takes_no_thread_along(server, services, operator):
    (pid,) = server.pids()
    with Crowd(operator, Warehouse(operator), services.orders):
        os.kill(pid, signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            threading.Event().wait(3)
            answers = set()
            while time.monotonic() < stopped + 12:
                for base in (services.customers, services.orders):
                    answers.add(("live", answer_within(2, f"{base}/health/live")))
                    answers.add(("ready", answer_within(2, f"{base}/health/ready")))
        finally:
            os.kill(pid, signal.SIGCONT)
        for url in (f"{services.customers}/customers", f"{services.orders}/products/1"):
            wait_until(lambda url=url: answer_within(5, url, headers=operator.session.headers) == 200, seconds=5)

    assert answers == {("live", 200), ("ready", 503)}


def test_order_that_waits_for_a_row_is_no_database_that_hangs(services, operator):
    shop = Shop(operator)
    order = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 1}]}
    with (
        connect(services.environ) as client,
        client.cursor(buffered=True) as cursor,
        ThreadPoolExecutor(1) as clerk,
    ):
        cursor.execute("SELECT id FROM products WHERE id = %s FOR UPDATE", (shop.product["id"],))
        waiting = clerk.submit(operator.session.post, services.orders + "/orders", json=order, timeout=30)
        started = time.monotonic()
        reads = []
        while time.monotonic() < started + 6:
            reads += get_at_once(operator, f"{services.orders}/products/{shop.product['id']}", 50)
        client.rollback()
        made = waiting.result()

    assert set(reads) == {200}
    assert made.status_code == 201
    assert made.elapsed.total_seconds() >= 6


def test_customers_that_hangs_takes_no_thread_along(services, operator, tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        service = Service("orders", free_ports(1)[0], services.environ | {"CUSTOMERS_API_BASE": base}, tmp_path)
        try:
            service.start()
            with Crowd(operator, Shop(operator), service.base):
                threading.Event().wait(1)
                read = f"{service.base}/products/1"
                answers = [
                    (
                        answer_within(2, f"{service.base}/health/live"),
                        answer_within(2, read, headers=operator.session.headers),
                    )
                    for _ in range(20)
                ]
        finally:
            service.end()

    assert answers == [(200, 200)] * 20


class Clerk(threading.Thread):
    """Makes one order after the other and repeats each, with its key, until it is made."""

    def __init__(self, operator, shop):
        super().__init__()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(operator.session.headers)
        self._url = operator.stack.orders + "/orders"
        self._order = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 1}]}
        self.stopped = threading.Event()
        self.made, self.refusals, self.wrong = [], [], []

    def run(self):
        while not self.stopped.is_set():
            headers = {"X-Idempotency-Key": uuid.uuid4().hex}
            while (
                response := self._session.post(self._url, json=self._order, headers=headers, timeout=60)
            ).status_code != 201:
                self.refusals.append((response.status_code, response.json()["code"]))
                if response.status_code != 503 or int(response.headers["Retry-After"]) < 1:
                    self.wrong.append(response.text)
                    return
                threading.Event().wait(0.05)  # sooner than Retry-After says: we want many
            self.made.append(response.json()["id"])


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
    wait_until(lambda: readiness(services.orders) == (200, None), seconds=2)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_database_restarted_under_load_costs_503s_and_nothing_else(server, services, operator, end):
    shop = Warehouse(operator)
    clerks = [Clerk(operator, shop) for _ in range(4 * CONNECTIONS)]
    for clerk in clerks:
        clerk.start()
    wait_until(lambda: all(clerk.made for clerk in clerks))

    server.run("stop") if end == "stop" else server.kill()
    wait_until(lambda: all(clerk.refusals or clerk.wrong for clerk in clerks))
    wait_until(lambda: readiness(services.orders) == (503, "database_unavailable"), seconds=2)
    before = [len(clerk.made) for clerk in clerks]
    assert server.run("start").returncode == 0
    wait_until(lambda: all(len(clerk.made) > number for clerk, number in zip(clerks, before, strict=True)))
    for clerk in clerks:
        clerk.stopped.set()
    for clerk in clerks:
        clerk.join(60)

    assert [clerk.wrong for clerk in clerks if clerk.wrong] == []
    assert {refusal[0] for clerk in clerks for refusal in clerk.refusals} == {503}
    made = [order for clerk in clerks for order in clerk.made]
    assert len(made) == len(set(made))
    with root_of(server) as cursor:
        cursor.execute("SELECT COUNT(*) FROM b2b.orders WHERE customer_id = %s", (shop.customer["id"],))
        assert cursor.fetchone() == (len(made),)
    assert shop.stock() == shop.initial_stock - len(made)
