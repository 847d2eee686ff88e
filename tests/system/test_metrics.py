"""`/metrics` of a server with two workers: sums over both, also when one has died."""

import os
import pathlib
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.system.conftest import wait_until
from tests.system.services import WORKERS, Services, prepare

TOKENS = ("metrics-token-of-a-test-0123456789", "another-metrics-token-of-a-test-01")


@pytest.fixture
def orders(system_schema, tmp_path):
    """Orders under gunicorn, with METRICS_TOKEN."""
    services = Services({**os.environ, "DB_NAME": system_schema, "METRICS_TOKEN": ",".join(TOKENS)}, tmp_path)
    prepare(services.environ)
    service = services.orders_service.start()
    yield service
    service.end()


def scrape(service, token=TOKENS[0]):
    """Return ({(name, its labels): value of a counter}, the text)."""
    response = requests.get(f"{service.base}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert response.status_code == 200
    counters = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }
    return counters, response.text


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

    first, text = scrape(orders, TOKENS[1])
    assert unmatched(first) == 200
    assert len([key for key in first if key[0] == "b2b_requests_total" and ("route", "unmatched") in key[1]]) == 1
    assert "marked" not in text
    assert not any(token in text for token in TOKENS)
    (folder,) = folders_of(orders)
    os.kill(orders.workers()[0], signal.SIGKILL)
    wait_until(lambda: len(orders.workers()) == WORKERS + 1)
    for _ in range(10):
        orders.get("/nowhere")
        again, text = scrape(orders)
        assert [key for key, value in first.items() if again[key] < value] == []
        first = again
    assert unmatched(first) == 210
    wait_until(lambda: "b2b_workers_started 3.0" in scrape(orders)[1])

    assert orders.stop() == 0
    assert not folder.exists()
