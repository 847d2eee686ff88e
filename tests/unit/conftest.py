"""What stands in for our services: a small HTTP server for the clients, fakes on a fake clock for the saga."""

import dataclasses
import json
import threading

import pytest

from common import times
from common.auth import Authenticator
from common.contract import load
from lambda_orchestrator import handler
from lambda_orchestrator.clients import CALL_TIMEOUT, Done, Refused, ServiceClient
from lambda_orchestrator.handler import Program, handle
from lambda_orchestrator.saga import Saga
from tests.contract_client import contract_of, parse_body
from tests.system.http_server import Server, answer


@dataclasses.dataclass
class Reply:
    """One scripted answer; `body` is JSON unless it is bytes. A reply that hangs is never sent."""

    status: int = 200
    body: object = None
    headers: dict = dataclasses.field(default_factory=dict)
    hangs: bool = False


class Upstream(Server):
    """Serves `replies` in turn, the last one for ever, and keeps what was asked in `requests`."""

    def reset(self):
        self.replies, self.requests = [], []
        self.ended = threading.Event()

    def serve(self, handler):
        self.requests.append((handler.command, handler.path, handler.headers, json.loads(handler.body or "null")))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply.hangs:
            handler.close_connection = True
            self.ended.wait(10)
            return
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        answer(handler, reply.status, None, content, reply.headers.items())


@pytest.fixture(scope="session")
def server():
    with Upstream() as server:
        yield server


@pytest.fixture
def upstream(server):
    server.reset()
    yield server
    server.ended.set()


CUSTOMER = {"id": 1, "name": "ACME", "email": "ops@acme.example", "phone": None}


def make_order(status="CREATED", **overrides):
    times = {"CREATED": None, "CONFIRMED": "2026-11-25T03:11:05.204817Z"}
    return {
        "id": 7,
        "customer_id": 1,
        "customer": CUSTOMER,
        "customer_reference": None,
        "status": status,
        "total_cents": 2000,
        "version": 1,
        "created_at": "2026-11-25T03:10:30.123456Z",
        "confirmed_at": times[status],
        "canceled_at": None,
        "expires_at": None,
        "items": [
            {"product_id": 3, "sku": "A", "name": "A", "qty": 2, "unit_price_cents": 1000, "subtotal_cents": 2000}
        ],
        "allowed_actions": ["cancel"],
        **overrides,
    }


def make_problem(status, code, **members):
    return {
        "type": f"urn:problem-type:b2b:{code}",
        "title": "A problem",
        "status": status,
        "detail": "It went wrong.",
        "instance": "urn:request:abc",
        "code": code,
        "request_id": "abc",
        **members,
    }


ORDER_TO_CONFIRM = {
    "customer_id": 1,
    "items": [{"product_id": 3, "qty": 2}],
    "customer_reference": "PO-1",
    "idempotency_key": "the-key",
    "correlation_id": "the-correlation",
}
CALL_HEADERS = {"X-On-Behalf-Of": "maria", "X-On-Behalf-Of-Version": "1", "X-Request-ID": "abc"}
CREATED = Done(make_order("CREATED"), False)
CONFIRMED = Done(make_order("CONFIRMED"), False)
CONFLICT = Refused(409, make_problem(409, "order_state_conflict"))
DEADLINE = 10.0


class FakeTime:
    """A clock that only sleeping and calls move."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class FakeService(ServiceClient):
    """Gives scripted outcomes in turn, the last for ever; each call takes `seconds`."""

    def __init__(self, time, *outcomes, seconds=0.0):
        super().__init__("http://nowhere.invalid", "token")
        self.time, self.outcomes, self.seconds = time, list(outcomes), seconds
        self.calls = []

    def call(self, method, path, is_expected, headers, body=None, timeout=CALL_TIMEOUT):
        self.calls.append({"method": method, "path": path, "headers": headers, "body": body, "timeout": timeout})
        self.time.now += min(self.seconds, timeout)
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


@pytest.fixture
def time():
    return FakeTime()


@pytest.fixture
def run(time):
    """`run(orders, …)` runs the saga against fake services and returns what it returns."""

    def run_saga(orders, customers=None, request=ORDER_TO_CONFIRM):
        customers = customers or FakeService(time, Done(CUSTOMER, False))
        saga = Saga(customers, orders, time.monotonic, time.sleep, jitter=lambda low, high: high)
        return saga.run(request, CALL_HEADERS, DEADLINE)

    return run_saga


def paths(service):
    return [call["path"] for call in service.calls]


PATH = "/orchestrator/create-and-confirm-order"
EVENT_BODY = {"customer_id": 1, "items": [{"product_id": 3, "qty": 2}], "idempotency_key": "the-key"}


class Context:
    """Lambda's context with that much time left."""

    def __init__(self, milliseconds):
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self):
        return self._milliseconds


@pytest.fixture
def program(monkeypatch, settings, upstream):
    """The program with both services behind `upstream`."""
    bases = dataclasses.replace(settings, customers_api_base=upstream.base, orders_api_base=upstream.base)
    program = Program(bases, load("orchestrator"))
    monkeypatch.setattr(handler, "_program", lambda: program)


@pytest.fixture
def token(settings):
    return Authenticator(settings).issue_token("maria", "operator", times.utc_now())


@pytest.fixture
def send(program, token):
    """`send(body, …)` handles an event and returns (response, parsed body or None), checked against the contract."""

    def handle_event(body=EVENT_BODY, method="POST", path=PATH, query="", milliseconds=6000, token=token, **headers):
        event = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {"content-type": "application/json", "authorization": f"Bearer {token}", **headers},
            "requestContext": {"http": {"method": method, "path": path}, "stage": "$default"},
            "body": body if isinstance(body, str) else json.dumps(body),
            "isBase64Encoded": False,
        }
        response = handle(event, Context(milliseconds))
        sent = {name.lower(): value for name, value in response["headers"].items()}
        answered = parse_body(sent.get("content-type", ""), response["body"])
        contract_of("orchestrator").check(method, path, response["statusCode"], sent, answered)
        return response, answered

    return handle_event
