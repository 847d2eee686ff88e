"""`/metrics` of a server with two workers: sums over both, also when one has died."""

import os
import pathlib
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.conftest import Operator, Shop, wait_until
from tests.system.services import WORKERS, Services, prepare

TOKENS = ("metrics-token-of-a-test-0123456789", "another-metrics-token-of-a-test-01")


@pytest.fixture
def services(system_schema, tmp_path):
    """Customers and Orders, with METRICS_TOKEN."""
    services = Services({**os.environ, "DB_NAME": system_schema, "METRICS_TOKEN": ",".join(TOKENS)}, tmp_path)
    prepare(services.environ)
    with services:
        yield services


@pytest.fixture
def orders(services):
    return services.orders_service


def scrape(service, token=TOKENS[0]):
    """Return {(name, its labels): value} of all counters."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in service.scrape(token)
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }


def unmatched(counters):
    return sum(
        value for (name, labels), value in counters.items() if ("route", "unmatched") in labels and "total" in name
    )


def folders_of(service):
    """Return the folders in which its workers count."""
    maps = "".join(pathlib.Path(f"/proc/{pid}/maps").read_text() for pid in service.workers()[-WORKERS:])
    return {pathlib.Path(line.split()[-1]).parent for line in maps.splitlines() if "/b2b-metrics-" in line}


def test_counters_are_the_sum_of_both_workers_and_never_go_back(orders):
    with ThreadPoolExecutor(8) as clients:
        statuses = list(clients.map(lambda n: orders.get(f"/{n}-marked-path?marked=query"), range(200)))
    assert statuses == [404] * 200

    first, text = scrape(orders, TOKENS[1]), orders.metrics(TOKENS[1]).text
    assert unmatched(first) == 200
    assert len([key for key in first if key[0] == "b2b_requests_total" and ("route", "unmatched") in key[1]]) == 1
    assert "marked" not in text
    assert not any(token in text for token in TOKENS)
    (folder,) = folders_of(orders)
    os.kill(orders.workers()[0], signal.SIGKILL)
    wait_until(lambda: len(orders.workers()) == WORKERS + 1)
    for _ in range(10):
        orders.get("/nowhere")
        again = scrape(orders)
        assert [key for key, value in first.items() if again[key] < value] == []
        first = again
    assert unmatched(first) == 210
    wait_until(lambda: "b2b_workers_started 3.0" in orders.metrics(TOKENS[0]).text)

    assert orders.stop() == 0
    assert not folder.exists()


def test_page_has_nothing_that_a_client_sent(services):
    marked, marked_id = f"marked{uuid.uuid4().hex}"[:40], 987654321987
    operator = Operator(services, "demo", "demo-password")
    shop = Shop(operator)
    operator.session.post(f"{services.customers}/auth/token", json={"username": marked, "password": marked})
    operator.session.get(f"{services.customers}/customers", params={"search": f"{marked}@example.test"})
    operator.session.get(f"{services.customers}/customers/{marked_id}", headers={"X-Request-ID": marked})
    operator.session.get(f"{services.orders}/orders/{marked_id}", headers={"Authorization": f"Bearer {marked}"})
    operator.session.request(marked.upper(), f"{services.orders}/orders")
    headers = {"X-Idempotency-Key": marked, "X-Correlation-ID": marked}
    order = operator.session.post(f"{services.orders}/orders", json=shop.order_request(), headers=headers)
    assert order.status_code == 201

    pages = [service.metrics(TOKENS[0]).text.lower() for service in services.both]

    assert all('_requests_total{method="post"' in page for page in pages)
    sent = {marked, str(marked_id), operator.token.lower(), shop.product["sku"], shop.customer["email"], *TOKENS}
    assert [text for text in sent if text in "".join(pages)] == []


def test_rotation_of_the_token_shuts_nobody_out(orders, services, monkeypatch):
    def statuses():
        return [orders.metrics(token).status_code for token in (*TOKENS, "neither-of-them")]

    before = statuses()
    orders.stop()
    monkeypatch.setitem(services.environ, "METRICS_TOKEN", ",".join(reversed(TOKENS)))
    orders.start()

    assert before == statuses() == [200, 200, 401]


def test_worker_opens_its_files_before_its_first_request_so_that_their_folder_may_go(orders):
    def opened():
        return {
            file
            for pid in orders.workers()
            for file in (f"counter_{pid}.db", f"histogram_{pid}.db")
            if file in pathlib.Path(f"/proc/{pid}/maps").read_text()
        }

    assert wait_until(lambda: len(opened()) == 2 * WORKERS)
