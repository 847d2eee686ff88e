"""The feed of running programs whose workers are killed: what was answered is in it, once and in order."""

import os
import random
import signal
import threading
import uuid
from contextlib import suppress

import pytest
import requests

from tests.system.conftest import Operator, Shop, wait_until
from tests.system.services import Clients, Services


@pytest.fixture
def services(stack, tmp_path):
    with Services(stack.environ, tmp_path) as services:
        yield services


class Clerk:
    """Makes any change of some shops' products and orders, each until its outcome is known."""

    def __init__(self, services, operator, shops):
        self._services, self._operator, self._shops = services, operator, shops
        self._orders = []

    def change(self):
        """Return the status of the last answer."""
        items = [
            {"product_id": shop.product["id"], "qty": random.randint(1, 3)} for shop in random.sample(self._shops, 2)
        ]
        product = f"/products/{items[0]['product_id']}"
        make = ("POST", "/orders", {"customer_id": self._shops[0].customer["id"], "items": items})
        changes = [make, ("PATCH", product, {"stock_delta": random.randint(-2, 9)}), ("PATCH", product, {"stock": 30})]
        if self._orders:
            order = random.choice(self._orders)
            changes += [("POST", f"/orders/{order}/confirm", {}), ("POST", f"/orders/{order}/cancel", {})]
        answer = self._send(*random.choice(changes))
        if answer.status_code == 201:
            self._orders.append(answer.json()["id"])
        return answer.status_code

    def _send(self, method, path, body):
        headers = {"X-Idempotency-Key": uuid.uuid4().hex}
        while True:
            try:
                answer = requests.request(
                    *(method, self._services.orders + path),
                    json=body,
                    headers=headers | {"Authorization": f"Bearer {self._operator.token}"},
                    timeout=30,
                )
            except requests.RequestException:
                continue  # its worker was killed
            if answer.status_code != 503:
                return answer


class Reader(threading.Thread):
    """Follows the feed, and keeps what it reads, until it has read the end after the context."""

    def __init__(self, services, operator):
        super().__init__(daemon=True)
        self._url = f"{services.orders}/events"
        self._headers = {"Authorization": f"Bearer {operator.token}"}
        self._is_over = threading.Event()
        self.start_after = self._page("latest")["next"]
        self.events = []

    def _page(self, after):
        while True:
            try:
                answer = requests.get(self._url, params={"after": after}, headers=self._headers, timeout=30)
                if answer.status_code == 200:
                    return answer.json()
            except requests.RequestException:
                continue

    def run(self):
        after, is_end = self.start_after, False
        while not is_end:
            is_last = self._is_over.is_set()
            page = self._page(after)
            self.events += page["data"]
            after, is_end = page["next"], is_last and not page["has_more"]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self._is_over.set()
        self.join()


def test_stock_and_feed_add_up_through_the_api_whatever_is_killed(services):
    operator = Operator(services, "demo", "demo-password")
    shops = [Shop(operator) for _ in range(4)]
    clerk = Clerk(services, operator, shops)

    with Reader(services, operator) as reader, Clients(16, clerk.change) as clients:
        for kills in range(1, 5):
            wait_until(lambda kills=kills: len(clients.results) > 60 * kills)
            with suppress(ProcessLookupError):  # its successor isn't there yet
                os.kill(random.choice(services.orders_service.workers()[-2:]), signal.SIGKILL)
        wait_until(lambda: len(clients.results) > 320)

    assert set(clients.results) <= {200, 201, 409}
    feed = reader.events
    assert [event["sequence"] for event in feed] == list(
        range(reader.start_after + 1, reader.start_after + 1 + len(feed))
    )
    assert len({event["id"] for event in feed}) == len(feed)
    for shop in shops:
        product = shop.product["id"]
        history = every(operator, f"/products/{product}/events")
        moved = [event for event in history if event["type"] == "stock_changed"]
        assert sum(event["stock_delta"] for event in moved) == shop.stock()
        told = [event for event in feed if event["subject"]["type"] == "product" and event["subject"]["id"] == product]
        assert [int(event["id"].removeprefix("evt_")) for event in told] == [event["id"] for event in history[2:]]
        assert [event["data"]["stock"] for event in told if "stock" in event["data"]] == [
            event["stock"] for event in moved[1:]
        ]
    for order in shops[0].orders():
        told = [
            event for event in feed if event["subject"]["type"] == "order" and event["subject"]["id"] == order["id"]
        ]
        assert [event["subject"]["version"] for event in told] == list(range(1, order["version"] + 1))
        assert told[-1]["data"]["status"] == order["status"]


def every(operator, path):
    """Return all entries of a list."""
    entries, cursor = [], ""
    while cursor is not None:
        page = operator.get(operator.stack.orders, path, limit=100, cursor=cursor)
        entries += page["data"]
        cursor = page["next_cursor"]
    return entries
