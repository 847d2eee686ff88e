"""Two instances of each service behind nginx."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.system.conftest import free_ports, verify
from tests.system.nginx import Nginx
from tests.system.services import Service, prepare


class Cluster:
    """nginx before two instances of each service; `customers` and `orders` are its addresses.

    Leaving the context verifies what they have written.
    """

    def __init__(self, schema, folder, settings=None):
        ports = free_ports(4)
        self.nginx = Nginx(folder / "nginx", ports[:2], ports[2:])
        self.customers, self.orders = self.nginx.customers, self.nginx.orders
        # Orders asks Customers through nginx, too.
        bases = {"CUSTOMERS_API_BASE": self.customers, "ORDERS_API_BASE": self.orders}
        self.environ = {**os.environ, **bases, "DB_NAME": schema, **(settings or {})}
        self.folder = folder
        self.customers_instances = [Service("customers", port, self.environ, folder) for port in ports[:2]]
        self.orders_instances = [Service("orders", port, self.environ, folder) for port in ports[2:]]
        self._running = ExitStack()

    def __enter__(self):
        prepare(self.environ)
        instances = self.customers_instances + self.orders_instances
        with ExitStack() as starting:
            for instance in instances:
                starting.callback(instance.end)
            with ThreadPoolExecutor(len(instances)) as starts:
                list(starts.map(Service.start, instances))
            starting.enter_context(self.nginx)
            self._running = starting.pop_all()
        return self

    def __exit__(self, kind, *exception):
        self._running.close()
        if kind is None:
            verify(self.environ)

    def roll_out(self, settings, wait):
        """Restart with other settings, one instance of each service after the other, as docs/scaling.md says.

        `wait()` follows each, while both sorts are asked.
        """
        self.environ |= settings  # with which each of them starts
        for pair in zip(self.customers_instances, self.orders_instances, strict=True):
            with self.nginx.without(*[instance.port for instance in pair]), ThreadPoolExecutor(2) as restarts:
                list(restarts.map(_restart, pair))
            wait()


def _restart(instance):
    assert instance.stop() == 0
    instance.start()
