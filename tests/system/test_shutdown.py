"""TERM: what runs is finished, nothing new is taken."""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.system.conftest import Operator, Shop, wait_until
from tests.system.raw_http import Connection, request
from tests.system.services import Services, connect


def test_requests_that_run_and_wait_are_answered_and_the_service_ends(stack, tmp_path):
    with (
        Services(stack.environ, tmp_path) as services,
        connect(stack.environ) as client,
        connect(stack.environ, "orders") as watcher,  # MySQL shows an account what its own connections do
    ):
        operator = Operator(services, "demo", "demo-password")
        shop, service = Shop(operator), services.orders_service
        with client.cursor(buffered=True) as cursor, ThreadPoolExecutor(4) as clerks:
            cursor.execute("SELECT id FROM products WHERE id = %s FOR UPDATE", (shop.product["id"],))
            url = services.orders + "/orders"
            answers = [
                clerks.submit(operator.session.post, url, json=shop.order_request(), timeout=30) for _ in range(4)
            ]
            wait_until(lambda: waiting_for_a_row(watcher) == 4)
            service.process.terminate()
            client.rollback()
            responses = [answer.result() for answer in answers]

        assert [response.status_code for response in responses] == [201] * 4
        assert service.process.wait(30) == 0
        assert [response.headers["X-Request-ID"] in service.log() for response in responses] == [True] * 4


def waiting_for_a_row(watcher):
    """Return how many connections to the schema are at a locking read."""
    with watcher.cursor(buffered=True) as cursor:
        cursor.execute("SHOW FULL PROCESSLIST")
        return sum(row[3] == watcher.database and "FOR UPDATE" in (row[7] or "") for row in cursor.fetchall())


def test_idle_connections_do_not_hold_up_the_end(stack, tmp_path):
    with Services(stack.environ, tmp_path) as services, Connection(services.orders) as kept:
        kept.send(request("GET", "/health", "Host: api.example"))
        assert kept.read().headers["connection"] == "keep-alive"
        started = time.monotonic()

        assert services.orders_service.stop() == 0
        assert time.monotonic() - started < 10  # the base class waits for the grace of 20 s
        assert kept.read() is None
