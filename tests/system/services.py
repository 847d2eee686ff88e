"""The two services alone, under gunicorn, on a database of a test's own."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from common.config import load_database_settings
from tests.conftest import connect as connect_with
from tests.conftest import run_module
from tests.system.conftest import ROOT, children, free_ports, verify, wait_until

WORKERS = 2
STOP_SECONDS = 60  # gunicorn's own grace is 20, and on a busy machine it takes a while to end after that


def prepare(environ):
    """Migrate the database of programs that run in `environ`, and add the demo data."""
    for module in ("sql.migrate", "sql.seed"):
        run = run_module(module, environ=environ)
        assert run.returncode == 0, run.stderr


def connect(environ, service=""):
    """Open another client's connection to the database of programs that run in `environ`, as a service or DB_USER."""
    settings = load_database_settings(environ, service)
    return connect_with(settings, database=settings.name)


class Service:
    """One gunicorn; `base` is its address."""

    def __init__(self, name, port, environ, folder):
        self.name = name
        self.port = port
        self.base = f"http://127.0.0.1:{port}"
        self.environ = environ
        self._log = folder / f"{name}.{port}.log"
        self.process: Any = None  # until it is started

    def start(self):
        """Start and return once it listens."""
        app = f"{self.name}.app:get_app()"
        bind = f"127.0.0.1:{self.port}"
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", "common/gunicorn_conf.py", "--bind", bind, app],
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(lambda: self.get("/health/live") == 200)
        except BaseException:
            self.end()
            raise
        return self

    def get(self, path):
        """Return the status of a GET on a connection of its own, None where nothing answers."""
        try:
            return requests.get(self.base + path, timeout=30).status_code
        except requests.ConnectionError:
            return None

    def metrics(self, token):
        """Return the response of /metrics."""
        return requests.get(f"{self.base}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def scrape(self, token):
        """Return the metric families of /metrics, as Prometheus would read them."""
        response = self.metrics(token)
        assert response.status_code == 200
        return list(text_string_to_metric_families(response.text))

    def log(self):
        return self._log.read_text()

    def workers(self):
        """Return the pids of all the workers that it ever had."""
        return [int(pid) for pid in re.findall(r"Booting worker with pid: ([0-9]+)", self.log())]

    def stop(self):
        """Send TERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def end(self):
        """Stop it if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def kill(self):
        """kill -9 all of it, as when its machine fails."""
        workers = children(self.process.pid)
        self.process.kill()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


class Services:
    """Customers and Orders in an environment that names their database; their logs go to `folder`.

    Leaving the context verifies what they have written.
    """

    def __init__(self, environ, folder):
        customers, orders = free_ports(2)
        own = {
            "CUSTOMERS_PORT": str(customers),
            "ORDERS_PORT": str(orders),
            "CUSTOMERS_API_BASE": "",
            "ORDERS_API_BASE": "",
        }
        self.environ = environ | own
        self.customers_service = Service("customers", customers, self.environ, folder)
        self.orders_service = Service("orders", orders, self.environ, folder)
        self.both = (self.customers_service, self.orders_service)
        self.customers, self.orders = self.customers_service.base, self.orders_service.base

    def __enter__(self):
        with ExitStack() as starting:
            for service in self.both:
                service.start()
                starting.callback(service.end)
            starting.pop_all()
        return self

    def __exit__(self, *exception):
        for service in self.both:
            service.end()
        verify(self.environ)


class Clients:
    """Clients that make one call after the other, and keep what each returned; leaving the context ends them."""

    def __init__(self, count, call):
        self._call = call
        self._done = threading.Event()
        self.results = []
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def _run(self):
        while not self._done.wait(0.01):
            self.results.append(self._call())

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self._done.set()
        for thread in self._threads:
            thread.join()
