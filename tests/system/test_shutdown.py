"""TERM: what runs is finished, nothing new is taken."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.system.conftest import Operator, Shop
from tests.system.raw_http import Connection, request
from tests.system.services import Services, connect


def test_requests_that_run_and_wait_are_answered_and_the_service_ends(stack, tmp_path):
    with Services(stack.environ, tmp_path) as services, connect(stack.environ) as client:
        operator = Operator(services, "demo", "demo-password")
        shop, service = Shop(operator), services.orders_service
        order = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 1}]}
        with client.cursor(buffered=True) as cursor, ThreadPoolExecutor(4) as clerks:
            cursor.execute("SELECT id FROM products WHERE id = %s FOR UPDATE", (shop.product["id"],))
            url = services.orders + "/orders"
            answers = [clerks.submit(operator.session.post, url, json=order, timeout=30) for _ in range(4)]
            threading.Event().wait(1)  # until they wait for the row; nothing tells from outside
            service.process.terminate()
            client.rollback()
            statuses = [answer.result().status_code for answer in answers]

        assert statuses == [201] * 4
        assert service.process.wait(30) == 0


def test_idle_connections_do_not_hold_up_the_end(stack, tmp_path):
    with Services(stack.environ, tmp_path) as services, Connection(services.orders) as kept:
        kept.send(request("GET", "/health", "Host: api.example"))
        assert kept.read().headers["connection"] == "keep-alive"
        started = time.monotonic()

        assert services.orders_service.stop() == 0
        assert time.monotonic() - started < 10  # the base class waits for the grace of 20 s
        assert kept.read() is None
