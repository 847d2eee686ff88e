"""The running product: gunicorn, serverless offline and MySQL, reached over HTTP only.

Nothing of the product is imported here but the script that builds its zips. A scripted
proxy stands before each API, between the programs, so that a test can make the network
fail where it wants.
"""

import copy
import itertools
import os
import pathlib
import platform
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import certifi
import pytest
import requests
from requests.adapters import HTTPAdapter

from aws import package
from tests.conftest import run_module
from tests.system.gateway import Gateway
from tests.system.lambda_runtime import LambdaFunction
from tests.system.mysql_group import Group
from tests.system.mysql_server import OwnServer
from tests.system.proxy import ScriptedProxy

ROOT = pathlib.Path(__file__).parent.parent.parent
START_SECONDS = 90
PROGRAMS = ("customers", "orders", "orchestrator")


# Below 32768, where outgoing connections begin.
_ports = itertools.count(random.randrange(10_000, 30_000))


def free_ports(count):
    """Return neighbouring ports that nothing uses, and that no other call has got."""
    while True:
        ports = list(itertools.islice(_ports, count))
        with ExitStack() as sockets:
            try:
                for port in ports:
                    sockets.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return ports


def wait_until(condition, seconds=60):
    """Return what `condition()` returns as soon as that is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.02)
    return result


def children(pid):
    """Return the pids of a process's children; none of one that has ended."""
    try:
        lists = [path.read_text() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


def start_module(*arguments, environ, **options):
    """Start `python -m …` in the repository and return it at once; what it says is in its `stdout`."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def free_stack_ports():
    """Return the settings that give a stack ports of its own."""
    customers, orders, orchestrator, _ = free_ports(4)  # serverless offline takes two
    return {"CUSTOMERS_PORT": str(customers), "ORDERS_PORT": str(orders), "ORCHESTRATOR_PORT": str(orchestrator)}


def bases_of(environ):
    """Return {program: its address} of a stack that runs in `environ`."""
    return {name: f"http://127.0.0.1:{environ[f'{name.upper()}_PORT']}" for name in PROGRAMS}


@dataclass
class Stack:
    """Where the programs are, and the environment in which they run."""

    customers: str
    orders: str
    orchestrator: str
    environ: dict
    customers_proxy: ScriptedProxy
    orders_proxy: ScriptedProxy
    log: list = field(default_factory=list)


@pytest.fixture(scope="session")
def stack_environ(system_schema):
    """The environment of a stack with ports and a schema of its own."""
    return {**os.environ, "DB_NAME": system_schema, **free_stack_ports()}


@pytest.fixture(scope="session")
def stack(stack_environ):
    """The whole stack, started by the command that `make run` uses, with proxies in between."""
    customers, orders, orchestrator = bases_of(stack_environ).values()
    with ScriptedProxy(customers) as customers_proxy, ScriptedProxy(orders) as orders_proxy:
        environ = {**stack_environ, "CUSTOMERS_API_BASE": customers_proxy.base, "ORDERS_API_BASE": orders_proxy.base}
        stack = Stack(customers, orders, orchestrator, environ, customers_proxy, orders_proxy)
        process = start_stack(environ, stack.log)
        yield stack
        stop_stack(process)
        verify(environ)


def start_stack(environ, log):
    """Start `python -m dev.stack run` and return it when it says that it is ready."""
    process = start_module("dev.stack", "run", environ=environ)
    ready = threading.Event()

    def read():
        for line in process.stdout:
            log.append(line)
            if line == "ready\n":
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    assert ready.wait(START_SECONDS), "".join(log)
    assert process.poll() is None, "".join(log)
    return process


def stop_stack(process):
    """Send TERM and expect the status that goes with it."""
    process.send_signal(signal.SIGTERM)
    with process.stdout:
        assert process.wait(30) == 143


def verify(environ):
    """Fail unless orders, lines, stock and events add up in the database of programs that run in `environ`."""
    verified = run_module("orders.jobs", "verify", environ=environ)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.fixture(scope="session")
def own_server(tmp_path_factory):
    """A MySQL server beside the one that the tests run on, started by our script."""
    with OwnServer(tmp_path_factory.mktemp("own-server") / "mysql", free_ports(1)[0]) as server:
        start = server.run("start")
        assert start.returncode == 0, start.stderr
        yield server


@pytest.fixture(scope="session")
def shared_group(tmp_path_factory):
    """A replication group of three servers, which wait for their majority longer than any test does."""
    options = "--group-replication-unreachable-majority-timeout=600"
    with Group(tmp_path_factory.mktemp("group") / "mysql", free_ports(3)[0], options) as group:
        yield group


@pytest.fixture
def group(shared_group):
    """The group, with all three members in it."""
    shared_group.start()
    return shared_group


@pytest.fixture(autouse=True)
def well_behaved_network(request):
    """Whatever a test scripted is forgotten before and after it."""
    yield
    if "stack" in request.fixturenames:
        stack = request.getfixturevalue("stack")
        stack.customers_proxy.reset()
        stack.orders_proxy.reset()


class Operator:
    """A person at a desk: a session with a token, and the calls that tests make often."""

    def __init__(self, stack, username, password):
        self.stack = stack
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.mount("http://", HTTPAdapter(pool_maxsize=64))  # for as many threads
        login = {"username": username, "password": password}
        response = self.session.post(f"{stack.customers}/auth/token", json=login, timeout=30)
        assert response.status_code == 200, response.text
        self.token = response.json()["token"]
        self.session.headers["Authorization"] = f"Bearer {self.token}"

    def at(self, orchestrator):
        """Return the same operator, logged in already, before another orchestrator."""
        operator = copy.copy(self)
        operator.stack = replace(self.stack, orchestrator=orchestrator)
        return operator

    def create(self, base, path, body):
        response = self.session.post(base + path, json=body, timeout=30)
        assert response.status_code == 201, response.text
        return response.json()

    def orchestrate(self, body, **arguments):
        path = "/orchestrator/create-and-confirm-order"
        return self.session.post(self.stack.orchestrator + path, json=body, timeout=60, **arguments)

    def get(self, base, path, **params):
        """Return the parsed answer to a GET that succeeds."""
        response = self.session.get(base + path, params=params, timeout=30)
        assert response.status_code == 200, response.text
        return response.json()


# --- the functions as they are deployed ------------------------------------------------

# How API Gateway hands a request over: arguments of `Gateway`.
WAYS = {
    "payload 1.0": {"payload": "1.0"},
    "payload 2.0": {"payload": "2.0"},
    "payload 2.0 in base64": {"payload": "2.0", "all_base64": True},
}


@pytest.fixture(scope="session")
def zips(tmp_path_factory):
    """{function: its zip}, built as `make package` builds them."""
    directory, machine, authority = tmp_path_factory.mktemp("zips"), platform.machine(), certifi.where()
    return {name: package.build(name, directory, machine, authority) for name in package.FUNCTIONS}


@pytest.fixture(scope="session")
def unpacked(zips, tmp_path_factory):
    """{function: the folder that its zip was unpacked to}."""
    folders = {name: tmp_path_factory.mktemp(name) for name in zips}
    for name, path in zips.items():
        zipfile.ZipFile(path).extractall(folders[name])
    return folders


@pytest.fixture(scope="session")
def make_function(unpacked, tmp_path_factory):
    """`make_function(name, environ, folder=…, handler=…)` returns a function; it is killed at the end."""
    made = []

    def make(name, environ, folder=None, handler=None):
        log = tmp_path_factory.mktemp("log") / f"{name}.log"
        made.append(LambdaFunction(folder or unpacked[name], handler or package.FUNCTIONS[name].handler, environ, log))
        return made[-1]

    yield make
    for function in made:
        function.kill()


@pytest.fixture(scope="session")
def function_environ(stack):
    """The settings of a function that works with the stack's database and services, and nothing else."""
    settings = stack.environ.items()
    return {name: text for name, text in settings if "DB_" in name or name.endswith("_API_BASE") or name == "APP_ENV"}


@pytest.fixture(scope="session")
def make_gateway():
    """`make_gateway(function, payload, …)` returns an API Gateway before a function; it is stopped at the end."""
    with ExitStack() as running:
        yield lambda *arguments, **options: running.enter_context(Gateway(*arguments, **options))


@pytest.fixture(scope="session")
def gateways(make_function, make_gateway, function_environ):
    """`gateways[way][name]`: each function behind API Gateway, in each of WAYS."""
    functions = {name: make_function(name, function_environ) for name in package.FUNCTIONS}
    return {
        way: {name: make_gateway(function, **options) for name, function in functions.items()}
        for way, options in WAYS.items()
    }


@pytest.fixture(scope="session")
def operator(stack):
    return Operator(stack, "demo", "demo-password")


@pytest.fixture(scope="session")
def viewer(stack):
    return Operator(stack, "viewer", "viewer-password")


class Shop:
    """A customer and a product of one test's own."""

    initial_stock = 50
    price_cents = 1250

    def __init__(self, operator):
        self._operator = operator
        self._stack = operator.stack
        name = uuid.uuid4().hex
        self.customer = operator.create(
            self._stack.customers, "/customers", {"name": f"Shop {name}", "email": f"{name}@example.test"}
        )
        self.customer_snapshot = {field: self.customer[field] for field in ("id", "name", "email", "phone")}
        self.product = operator.create(
            self._stack.orders,
            "/products",
            {"sku": name, "name": f"Product {name}", "price_cents": self.price_cents, "stock": self.initial_stock},
        )

    def order_request(self, qty=1):
        return {"customer_id": self.customer["id"], "items": [{"product_id": self.product["id"], "qty": qty}]}

    def order(self, qty=1):
        """Return a body for the orchestrator with a key of its own."""
        return {**self.order_request(qty), "idempotency_key": uuid.uuid4().hex}

    def stock(self):
        return self._operator.get(self._stack.orders, f"/products/{self.product['id']}")["stock"]

    def orders(self):
        """Return the customer's orders, newest first."""
        return self._operator.get(self._stack.orders, "/orders", customer_id=self.customer["id"])["data"]

    def event_types(self, order_id):
        """Return what happened to an order, oldest first."""
        events = self._operator.get(self._stack.orders, f"/orders/{order_id}/events")["data"]
        return [event["type"] for event in events]


class Warehouse(Shop):
    """A shop that never runs out."""

    initial_stock = 1_000_000


@pytest.fixture
def shop(operator):
    return Shop(operator)
