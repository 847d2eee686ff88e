"""The three programs, joined by HTTP, to be asked for one answer at a time."""

import dataclasses
import functools
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from falcon import testing

import customers.app
import orders.app
from common import config
from common.contract import load
from lambda_orchestrator import handler
from lambda_orchestrator.handler import Program
from orders.customers_client import CustomersClient
from tests.system.proxy import ScriptedProxy
from tests.unit.conftest import Context

NOWHERE = "http://127.0.0.1:1"  # nobody listens there


@dataclass(frozen=True)
class Answer:
    """What a program answered; header names are in lower case."""

    status: int
    headers: dict
    content: bytes


class Moments:
    """A clock that gives the moments it was set to in turn, the last one for ever."""

    def set(self, *moments):
        self._moments = list(moments)

    def __call__(self):
        return self._moments.pop(0) if len(self._moments) > 1 else self._moments[0]


class _RequestHandler(WSGIRequestHandler):
    def log_message(self, *arguments, **options):
        """Say nothing."""


@contextmanager
def _serve(app, database):
    """Serve a WSGI app by one thread, with a connection of its own to the database; yields the address."""
    server = make_server("127.0.0.1", 0, app, handler_class=_RequestHandler)

    def run():
        server.serve_forever(poll_interval=0.01)
        database.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Programs:
    """Asks the services in process, and the orchestrator by events of API Gateway.

    Orders asks Customers over HTTP, and the orchestrator asks both; for it `orders_proxy` stands
    before Orders, and fails when told.
    """

    def __init__(self, settings, database, clock):
        self._settings, self._database, self._clock = settings, database, clock
        self._make_client = functools.cache(self._make_client)  # an app takes 50 ms to build
        self._running = ExitStack()

    def __enter__(self):
        enter, token = self._running.enter_context, self._settings.service_tokens[0]
        self.no_customers_client = CustomersClient(NOWHERE, token)
        customers_app = self._make_client("customers", self._database, None, self._settings).app
        customers_base = enter(_serve(customers_app, self._database))
        self._customers_client = CustomersClient(customers_base, token)
        orders_app = self._make_client("orders", self._database, self._customers_client, self._settings).app
        orders_base = enter(_serve(orders_app, self._database))
        self.orders_proxy = enter(ScriptedProxy(orders_base))
        self._environ = {"CUSTOMERS_API_BASE": customers_base, "ORDERS_API_BASE": self.orders_proxy.base}
        return self

    def __exit__(self, *exception):
        self._running.close()

    def ask_service(self, name, method, path, query, headers, body, database=None, customers_client=None, **changes):
        """Return the `Answer` of a service, with another database, client of Customers or settings if told."""
        settings = dataclasses.replace(self._settings, **changes)
        customers_client = customers_client or self._customers_client
        client = self._make_client(name, database or self._database, customers_client, settings)
        response = client.simulate_request(method, path, query_string=query, headers=headers, body=body)
        return Answer(response.status_code, _lower(response.headers), response.content)

    def ask_orchestrator(self, method, path, query, headers, body, milliseconds=6000, **environ):
        """Return the `Answer` of the function, which starts in another environment if told, and has that much time."""
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": _lower(headers),
            "requestContext": {"http": {"method": method, "path": path}, "stage": "$default"},
            "body": body.decode(),
            "isBase64Encoded": False,
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(handler, "_program", lambda: _start_orchestrator({**self._environ, **environ}))
            response = handler.handle(event, Context(milliseconds))
        return Answer(response["statusCode"], _lower(response["headers"]), response["body"].encode())

    def _make_client(self, name, database, customers_client, settings):
        if name == "customers":
            return testing.TestClient(customers.app.create_app(settings, database, self._clock))
        return testing.TestClient(orders.app.create_app(settings, database, customers_client, self._clock))


def _start_orchestrator(environ):
    return Program(config.load_settings(environ), load("orchestrator"))


def _lower(headers):
    return {name.lower(): value for name, value in headers.items()}
