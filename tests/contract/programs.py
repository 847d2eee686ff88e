"""The three programs, joined by HTTP, to be asked for one answer at a time."""

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


class Context:
    """Lambda's context with that much time left."""

    def __init__(self, milliseconds):
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self):
        return self._milliseconds


class _RequestHandler(WSGIRequestHandler):
    def log_message(self, *arguments):
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
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _start_orchestrator(environ):
    return Program(config.load_settings(environ), load("orchestrator"))


class Programs:
    """Asks the services in process, and the orchestrator by events of API Gateway.

    Orders asks Customers over HTTP, and the orchestrator asks both; for it `orders_proxy` stands
    before Orders, and fails when told.
    """

    def __init__(self, settings, database, clock):
        self._settings, self._database, self._clock = settings, database, clock
        self._clients = {}
        self._running = ExitStack()

    def __enter__(self):
        enter, token = self._running.enter_context, self._settings.service_tokens[0]
        customers_base = enter(_serve(self._make_customers(self._database), self._database))
        self.customers_client = CustomersClient(customers_base, token)
        self.no_customers_client = CustomersClient(NOWHERE, token)
        orders_base = enter(_serve(self._make_orders(self._database), self._database))
        self.orders_proxy = enter(ScriptedProxy(orders_base))
        self._environ = {"CUSTOMERS_API_BASE": customers_base, "ORDERS_API_BASE": self.orders_proxy.base}
        return self

    def __exit__(self, *exception):
        self._running.close()

    def ask_service(self, name, method, path, query, headers, body, database=None, customers_client=None):
        """Return the `Answer` of a service, with another database or client of Customers if told."""
        make = {"customers": self._make_customers, "orders": self._make_orders}[name]
        collaborators = (database or self._database, customers_client)[: 1 + (customers_client is not None)]
        if (name, *collaborators) not in self._clients:
            self._clients[name, *collaborators] = testing.TestClient(make(*collaborators))
        response = self._clients[name, *collaborators].simulate_request(
            method, path, query_string=query, headers=headers, body=body
        )
        sent = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, sent, response.content)

    def ask_orchestrator(self, method, path, query, headers, body, milliseconds=6000, **environ):
        """Return the `Answer` of the function, which starts in another environment if told, and has that much time."""
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {name.lower(): value for name, value in headers.items()},
            "requestContext": {"http": {"method": method, "path": path}, "stage": "$default"},
            "body": body.decode(),
            "isBase64Encoded": False,
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(handler, "_program", lambda: _start_orchestrator({**self._environ, **environ}))
            response = handler.handle(event, Context(milliseconds))
        sent = {name.lower(): value for name, value in response["headers"].items()}
        return Answer(response["statusCode"], sent, response["body"].encode())

    def _make_customers(self, database):
        return customers.app.create_app(self._settings, database, self._clock)

    def _make_orders(self, database, customers_client=None):
        client = customers_client or self.customers_client
        return orders.app.create_app(self._settings, database, client, self._clock)
