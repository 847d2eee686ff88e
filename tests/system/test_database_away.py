"""The services while their database is down, hanging, read-only or behind, and when it comes back."""

import os
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import mysql.connector
import pytest
import requests

from tests.system.conftest import Operator, Shop, free_ports, wait_until
from tests.system.mysql_server import OwnServer
from tests.system.services import Service, Services, prepare

THREADS = 16  # of a service: two workers with eight


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


@pytest.mark.reaches("database_read_only")
@pytest.mark.parametrize("variable", ["read_only", "super_read_only", "transaction_read_only"])
def test_read_only_database_is_not_ready(server, services, operator, codes, variable):
    with root_of(server) as cursor:
        cursor.execute(f"SET GLOBAL {variable} = ON")
        try:
            wait_until(lambda: readiness(services.orders) == (503, "database_read_only"), seconds=2)
        finally:
            cursor.execute(f"SET GLOBAL {variable} = OFF")
            cursor.execute("SET GLOBAL read_only = OFF")  # super_read_only has set it
    codes.add("database_read_only")

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


def test_health_answers_within_a_second_while_every_thread_waits_for_a_database_that_hangs(server, services, operator):
    (pid,) = server.pids()
    waiting = [
        threading.Thread(target=lambda: operator.session.get(services.orders + "/products/1", timeout=60))
        for _ in range(3 * THREADS)
    ]
    os.kill(pid, signal.SIGSTOP)
    try:
        for thread in waiting:
            thread.start()
        threading.Event().wait(0.5)  # until they have taken all threads
        wait_until(lambda: readiness(services.orders)[0] == 503, seconds=2)
        answers = [readiness(services.orders) for _ in range(40)]
        started = time.monotonic()
        alive = [services.orders_service.get("/health/live") for _ in range(40)]
        seconds = time.monotonic() - started
    finally:
        os.kill(pid, signal.SIGCONT)
    for thread in waiting:
        thread.join()

    assert answers == [(503, "database_unavailable")] * 40
    assert alive == [200] * 40
    assert seconds < 2
    wait_until(lambda: readiness(services.orders) == (200, None))


class Warehouse(Shop):
    initial_stock = 1_000_000


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
    warm = get_at_once(operator, url, 4 * THREADS)
    server.run("stop")
    assert server.run("start").returncode == 0

    assert get_at_once(operator, url, 4 * THREADS) == warm == [200] * 4 * THREADS
    wait_until(lambda: readiness(services.orders) == (200, None), seconds=2)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_database_restarted_under_load_costs_503s_and_nothing_else(server, services, operator, end):
    shop = Warehouse(operator)
    clerks = [Clerk(operator, shop) for _ in range(THREADS + 4)]
    for clerk in clerks:
        clerk.start()
    wait_until(lambda: all(clerk.made for clerk in clerks))

    server.run("stop") if end == "stop" else server.kill()
    wait_until(lambda: all(clerk.refusals or clerk.wrong for clerk in clerks))
    wait_until(lambda: readiness(services.orders) == (503, "database_unavailable"), seconds=2)
    before = [len(clerk.made) for clerk in clerks]
    assert server.run("start").returncode == 0
    first = get_at_once(operator, services.orders + "/products/1", 2 * THREADS)
    wait_until(lambda: all(len(clerk.made) > number for clerk, number in zip(clerks, before, strict=True)))
    for clerk in clerks:
        clerk.stopped.set()
    for clerk in clerks:
        clerk.join(60)

    assert [clerk.wrong for clerk in clerks if clerk.wrong] == []
    assert {refusal[0] for clerk in clerks for refusal in clerk.refusals} == {503}
    assert first == [200] * 2 * THREADS
    made = [order for clerk in clerks for order in clerk.made]
    assert len(made) == len(set(made))
    with root_of(server) as cursor:
        cursor.execute("SELECT COUNT(*) FROM b2b.orders WHERE customer_id = %s", (shop.customer["id"],))
        assert cursor.fetchone() == (len(made),)
    assert shop.stock() == shop.initial_stock - len(made)
