"""Two instances of each service behind nginx: any of them answers anything, and one of them may go at any time."""

import uuid

import pytest

from tests.system.cluster import Cluster
from tests.system.conftest import Operator, Warehouse, wait_until
from tests.system.services import Clients


@pytest.fixture(scope="module")
def cluster(system_schema, tmp_path_factory):
    with Cluster(system_schema, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def operator(cluster):
    return Operator(cluster, "demo", "demo-password")


@pytest.fixture
def shop(operator):
    return Warehouse(operator)


def place(operator, base, shop, key, headers=None):
    headers = {"X-Idempotency-Key": key, **(headers or {})}
    return operator.session.post(base + "/orders", json=shop.order_request(), headers=headers, timeout=60)


def test_killed_instance_fails_no_request_and_is_asked_again_when_it_is_back(cluster, operator, shop):
    killed, address = cluster.orders_instances[0], f"/products/{shop.product['id']}"

    def read():
        return operator.session.get(cluster.orders + address, timeout=30).status_code

    with Clients(4, read) as readers:
        killed.kill()
        wait_until(lambda: killed.get("/health/live") is None)
        orders = [place(operator, cluster.orders, shop, uuid.uuid4().hex).status_code for _ in range(20)]
        before = len(cluster.nginx.access_log())
        killed.start()
        wait_until(lambda: f"127.0.0.1:{killed.port}" in upstreams_of_answers(cluster, before))

    assert set(readers.results) == {200}
    assert orders == [201] * 20


def upstreams_of_answers(cluster, first):
    """Return who answered 200, from the `first` line of the log on."""
    return {line["upstream"] for line in cluster.nginx.access_log()[first:] if line["upstream_status"] == "200"}


def test_instance_that_ends_under_load_loses_no_order_and_makes_none_twice(cluster, operator, shop):
    ended, keys = cluster.orders_instances[1], []

    def order_until_it_is_made():
        key = uuid.uuid4().hex
        keys.append(key)
        statuses = [place(operator, cluster.orders, shop, key).status_code]
        while statuses[-1] != 201:
            statuses.append(place(operator, cluster.orders, shop, key).status_code)
        return statuses

    with Clients(6, order_until_it_is_made) as clients:
        wait_until(lambda: len(clients.results) > 50)
        status = ended.stop()
        made = len(clients.results)
        wait_until(lambda: len(clients.results) > made + 50)
        ended.start()

    assert status == 0
    assert shop.initial_stock - shop.stock() == len(keys)
    # One each now and then: gunicorn closed a kept connection while nginx sent (502) or was about to send (503).
    assert set(sum(clients.results, [])) <= {201, 502, 503}
    assert sum(len(statuses) > 1 for statuses in clients.results) < len(keys) / 10


def test_instance_that_is_taken_out_first_ends_without_a_single_failure(cluster, operator, shop):
    ended = cluster.orders_instances[1]

    def order():
        # On a connection of its own: a reload closes the clients' idle ones.
        return place(operator, cluster.orders, shop, uuid.uuid4().hex, {"Connection": "close"}).status_code

    with Clients(4, order) as clients:
        wait_until(lambda: len(clients.results) > 20)
        with cluster.nginx.without(ended.port):
            status = ended.stop()
            made = len(clients.results)
            wait_until(lambda: len(clients.results) > made + 20)
            ended.start()

    assert status == 0
    assert set(clients.results) == {201}
