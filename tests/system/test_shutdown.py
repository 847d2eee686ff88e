"""TERM: what runs is finished, nothing new is taken, and nobody is left without an answer."""

import os
import signal
import socket
import threading
import time
from contextlib import ExitStack

import pytest

from tests.system.conftest import Operator, Shop, wait_until
from tests.system.raw_http import Connection, request
from tests.system.services import Services, connect

HEALTH = request("GET", "/health", "Host: api.example")
QUICK = 8  # seconds, far below gunicorn's grace of 20


@pytest.fixture
def services(stack, tmp_path):
    """Services of the test's own on the stack's database."""
    with Services(stack.environ, tmp_path) as services:
        yield services


@pytest.fixture
def operator(services):
    return Operator(services, "demo", "demo-password")


class Answers(threading.Thread):
    """Sends an order and keeps what comes."""

    def __init__(self, operator, shop):
        super().__init__()
        self._operator, self._shop = operator, shop
        self.response = None
        self.start()

    def run(self):
        order = {
            "customer_id": self._shop.customer["id"],
            "items": [{"product_id": self._shop.product["id"], "qty": 1}],
        }
        self.response = self._operator.session.post(self._operator.stack.orders + "/orders", json=order, timeout=30)


def terminate(service):
    """Send TERM and return the monotonic time."""
    service.process.terminate()
    return time.monotonic()


def refuses(service):
    """Tell whether nobody listens on the service's port any more."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", service.port)) != 0


def test_request_that_runs_is_answered_and_nobody_new_is_taken(services, operator, stack):
    shop, service = Shop(operator), services.orders_service
    with LockedProduct(stack, shop.product["id"]):
        running = Answers(operator, shop)
        threading.Event().wait(0.5)  # until it waits for the row
        sent = terminate(service)
        wait_until(lambda: refuses(service), seconds=1)
        still_running = service.process.poll() is None and running.is_alive()
    running.join()

    assert still_running
    assert running.response.status_code == 201
    assert service.process.wait(30) == 0
    assert time.monotonic() - sent < 10


def test_requests_that_wait_for_a_thread_are_answered_too(services, operator, stack):
    shop, service = Shop(operator), services.orders_service
    with LockedProduct(stack, shop.product["id"]):
        running = [Answers(operator, shop) for _ in range(24)]  # sixteen hold all threads
        threading.Event().wait(1)  # until they do, and the others' requests have come
        terminate(service)
        threading.Event().wait(3.5)  # longer than idle connections get
    for each in running:
        each.join()

    assert [each.response and each.response.status_code for each in running] == [201] * 24
    assert service.process.wait(30) == 0
    with connect(stack.environ) as client, client.cursor(buffered=True) as cursor:
        cursor.execute("SELECT stock FROM products WHERE id = %s", (shop.product["id"],))
        assert cursor.fetchall() == [(shop.initial_stock - 24,)]


class LockedProduct:
    """Another client of the database that holds a product's row."""

    def __init__(self, stack, product_id):
        self._connection = connect(stack.environ)
        self._product_id = product_id

    def __enter__(self):
        with self._connection.cursor(buffered=True) as cursor:
            cursor.execute("SELECT id FROM products WHERE id = %s FOR UPDATE", (self._product_id,))

    def __exit__(self, *exception):
        self._connection.close()


def test_idle_connections_are_closed_and_do_not_hold_up_the_end(services):
    service = services.orders_service
    with Connection(service.base) as kept, Connection(service.base) as silent:
        kept.send(HEALTH)
        assert kept.read().status == 200
        sent = terminate(service)

        assert service.process.wait(30) == 0
        assert time.monotonic() - sent < QUICK
        assert (kept.read(), silent.read()) == (None, None)


def test_half_sent_requests_do_not_use_up_the_grace(services):
    service = services.orders_service
    halves = [
        b"GET /hea",
        request("GET", "/health/live", "Host: api.example")[:-2],
        b"POST /orders HTTP/1.1\r\nHost: a\r\n",
    ]
    with ExitStack() as clients:
        for half in halves * 5:
            clients.enter_context(Connection(service.base)).send(half)
        sent = terminate(service)

        assert service.process.wait(30) == 0
        assert time.monotonic() - sent < 12  # five seconds for the rest of a request, two after the answer


def test_clients_that_are_connected_are_answered_for_the_last_time(services):
    with Connection(services.orders) as kept, Connection(services.orders) as new:
        kept.send(HEALTH)
        assert kept.read().headers["connection"] == "keep-alive"
        threading.Event().wait(0.3)  # until its worker has it back among the idle ones
        terminate(services.orders_service)
        wait_until(lambda: refuses(services.orders_service), seconds=1)
        kept.send(HEALTH)
        new.send(HEALTH)
        answers = [kept.read(), new.read()]

        assert [(answer.status, answer.headers["connection"]) for answer in answers] == [(200, "close")] * 2
        assert (kept.read(), new.read()) == (None, None)


def test_everybody_who_waits_to_be_accepted_is_answered(services):
    service = services.orders_service
    workers = service.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        with ExitStack() as stack:
            clients = [stack.enter_context(Connection(service.base)) for _ in range(8)]
            for client in clients:
                client.send(HEALTH)
            terminate(service)
            wait_until(lambda: "Handling signal: term" in service.log())
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
            answers = [client.read() for client in clients]
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)

    assert [answer and answer.status for answer in answers] == [200] * 8
    assert service.process.wait(30) == 0


def test_everybody_who_connects_while_the_service_stops_is_answered_or_refused(services):
    service, outcomes = services.orders_service, []

    def call_until_refused():
        while True:
            try:
                with Connection(service.base) as connection:
                    connection.send(HEALTH)
                    answer = connection.read()
                    outcomes.append(answer and answer.status)
            except ConnectionRefusedError:
                return
            except OSError as ex:
                outcomes.append(type(ex).__name__)

    clients = [threading.Thread(target=call_until_refused) for _ in range(8)]
    for client in clients:
        client.start()
    wait_until(lambda: len(outcomes) > 100)
    terminate(service)
    for client in clients:
        client.join(30)

    assert service.process.wait(30) == 0
    # Who connects between the last accept and the close, which follows at once, is reset by the kernel.
    assert set(outcomes) <= {200, "ConnectionResetError"}
