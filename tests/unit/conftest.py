"""A small HTTP server that answers what a test scripts, for the clients and the orchestrator."""

import http.server
import json
import threading
from dataclasses import dataclass, field

import pytest


@dataclass
class Reply:
    """One scripted answer; `body` is JSON unless it is bytes. A reply that hangs is never sent."""

    status: int = 200
    body: object = None
    headers: dict = field(default_factory=dict)
    hangs: bool = False


class Upstream:
    """Serves `replies` in turn, the last one for ever, and keeps what was asked in `requests`."""

    def __init__(self):
        self.replies = []
        self.requests = []
        self.ended = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self):
        """Let hanging requests go and stop."""
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take_reply(self, request):
        """Note the request and return its reply."""
        self.requests.append(request)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def _make_handler(upstream):
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                reply = upstream.take_reply((self.command, self.path, self.headers, json.loads(body or "null")))
                if reply.hangs:
                    upstream.ended.wait(10)
                    return
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer

            def log_message(self, *arguments):
                """Say nothing."""

        return Handler


@pytest.fixture
def upstream():
    upstream = Upstream()
    yield upstream
    upstream.close()


CUSTOMER = {"id": 1, "name": "ACME", "email": "ops@acme.example", "phone": None}


def make_order(status="CREATED", **overrides):
    """Return an order as the Orders API answers it."""
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
    """Return a problem document as our services answer it."""
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
