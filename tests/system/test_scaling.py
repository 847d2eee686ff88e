"""Two instances of each service behind nginx: any of them answers anything, and one of them may go at any time."""

import os
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.system.conftest import Operator, Shop, free_ports, wait_until
from tests.system.nginx import COMPOSE, Nginx, client_at
from tests.system.raw_http import Connection, request
from tests.system.services import Service, connect, prepare

STOCK = 100_000
SERVICE_TOKEN = "development-only-service-token-0123456789"
# Two workers with eight threads each, and one more in each for readiness.
CONNECTIONS_OF_AN_INSTANCE = 18


class Cluster:
    """nginx before two instances of each service; `customers` and `orders` are its addresses."""

    def __init__(self, schema, folder):
        ports = free_ports(4)
        self.nginx = Nginx(folder / "nginx", ports[:2], ports[2:])
        self.customers, self.orders = self.nginx.customers, self.nginx.orders
        # Orders asks Customers through nginx, too.
        bases = {"CUSTOMERS_API_BASE": self.customers, "ORDERS_API_BASE": self.orders}
        self.environ = {**os.environ, **bases, "DB_NAME": schema}
        self.folder = folder
        self.customers_instances = [Service("customers", port, self.environ, folder) for port in ports[:2]]
        self.orders_instances = [Service("orders", port, self.environ, folder) for port in ports[2:]]
        self._running = ExitStack()

    def __enter__(self):
        prepare(self.environ)
        instances = self.customers_instances + self.orders_instances
        for instance in instances:
            self._running.callback(instance.end)
        with ThreadPoolExecutor(len(instances)) as starts:
            list(starts.map(Service.start, instances))
        self._running.enter_context(self.nginx)
        return self

    def __exit__(self, *exception):
        self._running.close()


@pytest.fixture(scope="module")
def cluster(system_schema, tmp_path_factory):
    with Cluster(system_schema, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def operator(cluster):
    return Operator(cluster, "demo", "demo-password")


@pytest.fixture
def shop(operator):
    """Its product does not run out."""
    shop = Shop(operator)
    address = f"{operator.stack.orders}/products/{shop.product['id']}"
    assert operator.session.patch(address, json={"stock": STOCK}, timeout=30).status_code == 200
    return shop


def place(operator, base, shop, key, headers=None):
    """Send an order with a key and return the response."""
    order = {"customer_id": shop.customer["id"], "items": [{"product_id": shop.product["id"], "qty": 1}]}
    return operator.session.post(
        base + "/orders", json=order, headers={"X-Idempotency-Key": key, **(headers or {})}, timeout=30
    )


class Clients:
    """Operators who send one request after the other; leaving the context ends them."""

    def __init__(self, count, call):
        self._call = call
        self._done = threading.Event()
        self.results = []
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def _run(self):
        while not self._done.is_set():
            self.results.append(self._call())

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self._done.set()
        for thread in self._threads:
            thread.join()


# --- any instance answers anything -----------------------------------------------------


def test_both_instances_of_both_services_are_asked(cluster, operator):
    for _ in range(4):
        operator.get(cluster.customers, "/customers")
        operator.get(cluster.orders, "/orders")

    wanted = {f"127.0.0.1:{each.port}" for each in cluster.customers_instances + cluster.orders_instances}
    wait_until(lambda: wanted <= {line["upstream"] for line in cluster.nginx.access_log()})


def test_order_is_replayed_by_the_other_instance_byte_for_byte(cluster, operator, shop):
    key = uuid.uuid4().hex

    first, second = [place(operator, instance.base, shop, key) for instance in cluster.orders_instances]

    assert (first.status_code, first.headers.get("Idempotent-Replayed")) == (201, None)
    assert (second.status_code, second.headers["Idempotent-Replayed"]) == (201, "true")
    assert second.content == first.content


def test_equal_keys_at_both_instances_at_once_make_one_order(cluster, operator, shop):
    key = uuid.uuid4().hex

    with ThreadPoolExecutor(8) as clients:
        instances = cluster.orders_instances * 4
        answers = list(clients.map(lambda instance: place(operator, instance.base, shop, key), instances))

    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert len(shop.orders()) == 1


def test_token_of_one_instance_is_good_at_all(cluster):
    first, second = cluster.customers_instances
    login = {"username": "demo", "password": "demo-password"}
    with client_at("127.0.0.1") as client:
        token = client.post(first.base + "/auth/token", json=login).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"

        statuses = [client.get(second.base + "/customers").status_code]
        statuses += [client.get(instance.base + "/orders").status_code for instance in cluster.orders_instances]

    assert statuses == [200, 200, 200]


def test_cursor_of_one_instance_goes_on_at_the_other(cluster, operator):
    first, second = cluster.customers_instances
    cursor = operator.get(first.base, "/customers", limit=1)["next_cursor"]

    pages = [operator.get(instance.base, "/customers", limit=1, cursor=cursor)["data"] for instance in (first, second)]

    assert len(pages[0]) == 1
    assert pages[1] == pages[0]


def test_problem_document_of_a_service_goes_through_as_it_is(cluster, operator):
    addresses = [cluster.orders, cluster.orders_instances[0].base]

    answers = [operator.session.get(f"{base}/orders/999999999", headers={"X-Request-ID": "same"}) for base in addresses]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert answers[0].json()["code"] == "order_not_found"


def test_internal_address_is_there_for_our_own_programs(cluster):
    with client_at("127.0.0.1") as client:
        headers = {"Authorization": f"Bearer {SERVICE_TOKEN}"}

        answer = client.get(cluster.customers + "/internal/customers/1", headers=headers)

    assert (answer.status_code, answer.json()["name"]) == (200, "ACME")


# --- instances that go -----------------------------------------------------------------


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
    assert STOCK - shop.stock() == len(keys)
    # One each now and then: gunicorn closed a kept connection while nginx sent (502) or was about to send (503).
    assert set(sum(clients.results, [])) <= {201, 502, 503}
    assert sum(len(statuses) > 1 for statuses in clients.results) < 10


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


# --- load ------------------------------------------------------------------------------


def test_slow_clients_do_not_delay_another_address(cluster, operator, tmp_path):
    whole = request("POST", "/auth/token", "Host: api.example", "Content-Length: 1000", body=b"{")
    instances = [[cluster.customers_instances[0].port], [cluster.orders_instances[0].port], free_ports(1)]
    seconds = []

    def drip():
        time.sleep(0.1)
        for connection in slow:
            connection.send(b" ")

    with (
        Nginx(tmp_path / "compose", *instances, addresses=COMPOSE) as nginx,
        ExitStack() as connections,
        client_at("127.0.0.2") as client,
    ):
        slow = [connections.enter_context(Connection(nginx.customers, source="127.0.0.6")) for _ in range(64)]
        for number, connection in enumerate(slow):
            connection.send(whole if number % 2 else whole[:40])
        with Clients(1, drip):
            for _ in range(30):
                started = time.monotonic()
                response = client.get(nginx.customers + "/customers", headers=operator.session.headers)
                seconds.append(time.monotonic() - started)
                assert response.status_code == 200

    assert max(seconds) < 2  # a body that stops would hold a thread for five seconds


def test_instance_takes_no_more_connections_than_it_has_threads(cluster, operator):
    (port,) = free_ports(1)
    instance = Service("customers", port, cluster.environ, cluster.folder)
    with connect(cluster.environ) as watcher:
        before = connections(watcher)
        try:
            instance.start()
            with ThreadPoolExecutor(64) as clients:
                # Both workers are ready, as when a balancer begins to send: each has readiness' connection.
                wait_until(
                    lambda: (
                        set(clients.map(lambda _: burst(operator, instance, 0), range(64))) == {200}
                        and len(connections(watcher) - before) == 2
                    )
                )
                statuses = list(clients.map(lambda number: burst(operator, instance, number), range(640)))
            taken = connections(watcher) - before
        finally:
            instance.end()

    assert set(statuses) == {200}
    assert CONNECTIONS_OF_AN_INSTANCE // 2 <= len(taken) <= CONNECTIONS_OF_AN_INSTANCE


def burst(operator, instance, number):
    """Send one of many requests, each tenth to readiness, on a connection of its own; return its status."""
    path = "/customers" if number % 10 else "/health/ready"
    with client_at("127.0.0.1") as client:
        return client.get(instance.base + path, headers=operator.session.headers).status_code


def connections(watcher):
    """Return the ids of all connections of the services' schema."""
    with watcher.cursor(buffered=True) as cursor:
        cursor.execute("SHOW PROCESSLIST")
        return {row[0] for row in cursor.fetchall() if row[3] == watcher.database}
