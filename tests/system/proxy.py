"""A proxy between two programs that misbehaves on request."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

# Response headers that speak of one connection, or that this proxy writes itself.
_NOT_FORWARDED = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


class ScriptedProxy:
    """Forwards everything to `target`, but for the requests that a test has scripted.

    A script is a function `(handler, forward)`: it answers through the handler, or calls
    `forward()`, which sends the request on and returns the target's response, or both, or
    neither, which closes the connection without an answer.
    """

    def __init__(self, target):
        self._target = target
        self._scripts = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.requests = []  # (method, path) of every request, in order
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                proxy._serve(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, *arguments, **options):
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.reset()
        self._server.shutdown()
        self._server.server_close()

    def script(self, method, pattern, script, times=1000):
        """Let `script` handle the next `times` requests whose path matches the pattern."""
        with self._lock:
            self._scripts.append([method, re.compile(pattern), script, times])

    def reset(self):
        """Forget all scripts and recorded requests; let go whoever hangs."""
        with self._lock:
            self._scripts.clear()
            self.requests.clear()
            self._released.set()
            self._released = threading.Event()

    def hang(self):
        """Block until `reset`."""
        self._released.wait(60)

    def count(self, method, pattern):
        """Return how many requests matched."""
        return sum(m == method and bool(re.fullmatch(pattern, path)) for m, path in self.requests)

    def _serve(self, handler):
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)

        def forward():
            headers = {k: v for k, v in handler.headers.items() if k.lower() not in ("host", "connection")}
            with requests.Session() as session:
                session.trust_env = False
                return session.request(
                    handler.command,
                    self._target + handler.path,
                    headers=headers,
                    data=body,
                    timeout=60,
                    allow_redirects=False,
                )

        script = self._take(handler.command, handler.path)
        handler.close_connection = True
        script(self, handler, forward)

    def _take(self, method, path):
        with self._lock:
            self.requests.append((method, path))
            for entry in self._scripts:
                if entry[0] == method and entry[1].fullmatch(path) and entry[3] > 0:
                    entry[3] -= 1
                    return entry[2]
        return pass_on


def answer(handler, status, content_type, body, headers=()):
    """Write a response."""
    handler.send_response_only(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(body)))
    if handler.close_connection:  # unsaid, the client's next request may go out on the dead connection
        handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(body)


# --- scripts ---------------------------------------------------------------------------


def pass_on(proxy, handler, forward):
    """Behave."""
    response = forward()
    headers = [
        (name, value)
        for name, value in response.headers.items()
        if name.lower() not in _NOT_FORWARDED | {"content-type"}
    ]
    answer(handler, response.status_code, response.headers.get("Content-Type", ""), response.content, headers)


def drop(proxy, handler, forward):
    """Close the connection; the request goes nowhere."""


def drop_after(proxy, handler, forward):
    """Send the request on, let it take effect, then close the connection without an answer."""
    forward()


def hang(proxy, handler, forward):
    """Say nothing, and send nothing on."""
    proxy.hang()


def hang_after(proxy, handler, forward):
    """Send the request on, let it take effect, then say nothing."""
    forward()
    proxy.hang()


def drip(proxy, handler, forward):
    """Send the head of an answer and then a byte now and then, as long as the caller listens."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
    try:
        for _ in range(900):
            handler.wfile.write(b" ")
            threading.Event().wait(0.1)
    except OSError:
        """The caller has had enough."""


def answer_500(proxy, handler, forward):
    """Fail as a server that lost its head."""
    answer(handler, 500, "text/plain", b"Internal Server Error")


def answer_html(proxy, handler, forward):
    """Answer as some other server would: 200 and a page."""
    answer(handler, 200, "text/html", b"<html><body>Welcome!</body></html>")


def answer_html_after(proxy, handler, forward):
    """Let the request take effect, then answer a page."""
    forward()
    answer_html(proxy, handler, forward)
