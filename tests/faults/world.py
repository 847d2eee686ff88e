"""What a campaign runs: database, two instances of each service behind nginx, the orchestrator's function."""

import json
import zipfile
from contextlib import ExitStack
from datetime import UTC, datetime

from aws import package
from tests.faults.account import Account
from tests.faults.clients import CLIENTS, CREDENTIALS, Caller, Client, Reader
from tests.faults.wire import Wire
from tests.system.cluster import Cluster
from tests.system.conftest import Operator
from tests.system.gateway import Gateway
from tests.system.lambda_runtime import LambdaFunction

SCHEMA = "b2b_faults"
# Every setting that the caller's environment may have of a database of its own.
SETTINGS = {
    "APP_ENV": "development",
    "DB_USER": "b2b",
    "CUSTOMERS_DB_USER": "b2b_customers_api",
    "ORDERS_DB_USER": "b2b_orders_api",
    **{f"{owner}DB_PASSWORD": "b2b-development" for owner in ("", "CUSTOMERS_", "ORDERS_")},
    **{f"{owner}DB_PASSWORD_FILE": "" for owner in ("", "CUSTOMERS_", "ORDERS_")},
    "DB_TLS_CA": "",
    "JWT_SECRET_FILE": "",
    "SERVICE_TOKEN_FILE": "",
}
STOCKS = [1_000_000] * 8 + [40, 40]  # two of the products run out
CUSTOMERS = 4


class Alone:
    """One server that looks like a group."""

    def __init__(self, server):
        self.servers = [server]

    def primary(self):
        """Return the number of the server that takes writes."""
        return 1

    def run(self, command, *arguments):
        """Run the script."""
        return self.servers[0].run(command, *arguments)


class World:
    """All of it, on the servers of `group`, which run already; `function_folder` has the orchestrator's zip, unpacked.

    Each service talks to each server, and Orders to Customers, through a `Wire`.
    """

    def __init__(self, group, function_folder, folder):
        self.group, self.folder = group, folder
        self.wires = [Wire(server.port) for server in group.servers]
        # Its own name and port where there is one server, a list where there are more.
        places = [f"127.0.0.1:{wire.port}" for wire in self.wires]
        is_alone = len(places) == 1
        own = {"DB_HOST": "127.0.0.1" if is_alone else ",".join(places), "DB_PORT": str(self.wires[0].port)}
        self.cluster = Cluster(SCHEMA, folder, SETTINGS | own)
        self.environ = self.cluster.environ
        self.customers_wire = Wire(self.cluster.nginx.ports[0])
        bases = {name: self.environ[name] for name in ("CUSTOMERS_API_BASE", "ORDERS_API_BASE")}
        self.environ["CUSTOMERS_API_BASE"] = f"http://127.0.0.1:{self.customers_wire.port}"
        handler = package.FUNCTIONS["orchestrator"].handler
        self.function = LambdaFunction(function_folder, handler, bases, folder / "orchestrator.log")
        self._gateway = Gateway(self.function, "2.0")
        self.bases = {
            "customers": self.cluster.customers,
            "orders": self.cluster.orders,
            "orchestrator": self._gateway.base,
        }
        self._running = ExitStack()

    def __enter__(self):
        with ExitStack() as starting:
            for wire in (*self.wires, self.customers_wire):
                starting.enter_context(wire)
            starting.enter_context(self.cluster)
            starting.callback(self.function.kill)
            starting.enter_context(self._gateway)
            self._fill()
            self._running = starting.pop_all()
        return self

    def __exit__(self, *exception):
        self._running.__exit__(*exception)

    def _fill(self):
        """Make customers and products, and the clients that order them."""
        self.customer_ids = []
        nobody = Account({})
        self.client = Caller(self, nobody)
        self.client.log_in()
        operator = Operator(self.cluster, **CREDENTIALS)
        for number in range(CUSTOMERS):
            body = {"name": f"Customer {number}", "email": f"{number}@example.test"}
            self.customer_ids.append(operator.create(self.cluster.customers, "/customers", body)["id"])
        initial = {}
        for number, stock in enumerate(STOCKS):
            body = {"sku": f"FAULT-{number}", "name": f"Product {number}", "price_cents": 100 + number, "stock": stock}
            initial[operator.create(self.cluster.orders, "/products", body)["id"]] = stock
        self.account = self.client.account = Account(initial)
        self.clients = [Client(self, self.account, number) for number in range(CLIENTS)]
        for client in self.clients:
            client.log_in()
        self.readers = [Reader(self, self.account) for _ in range(2)]

    @property
    def instances(self):
        """All instances of both services."""
        return self.cluster.customers_instances + self.cluster.orders_instances

    @property
    def primary(self):
        """The server that takes writes."""
        return self.group.servers[self.group.primary() - 1]

    def query(self, statement):
        """Return rows of the database of the server that takes writes, asked as its administrator."""
        with self.primary.root() as cursor:
            cursor.execute(f"USE {SCHEMA}")
            cursor.execute(statement)
            return cursor.fetchall()

    def tracebacks(self, since):
        """Return the last lines of the tracebacks that the logs have since a time."""
        lines = [line for instance in self.instances for line in instance.log().splitlines() if '"exc_info"' in line]
        written = [record for record in map(json.loads, lines) if record["time"] > since]
        return {f"{record['service']}'s log: {record['exc_info'].splitlines()[-1]}" for record in written}

    def has_expired(self, expires_at):
        """Tell whether an order's time to be confirmed is over."""
        return bool(expires_at) and datetime.fromisoformat(expires_at) < datetime.now(UTC)


def unpack_function(folder):
    """Build the orchestrator's zip and return the folder that it is unpacked to."""
    path = package.build("orchestrator", folder / "zip")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "function")
    return folder / "function"
