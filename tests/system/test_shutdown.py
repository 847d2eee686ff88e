"""TERM: what runs is finished, nothing new is taken."""

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.system.conftest import Operator, Shop
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
        operator.session.close()

        assert statuses == [201] * 4
        assert service.process.wait(30) == 0
