"""A proxy between two programs that misbehaves on request."""

import re
import threading

import requests

from tests.system.http_server import Server, answer

# Response headers that speak of one connection, or that this proxy writes itself.
_NOT_FORWARDED = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


class ScriptedProxy(Server):
    """Forwards everything to `target`, but for the requests that a test has scripted.

    A script is a function `(proxy, handler, forward)`: it answers through the handler, or
    calls `forward()`, which sends the request on and returns the target's response, or
    both, or neither, which closes the connection without an answer.
    """

    def __init__(self, target):
        super().__init__()
        self._target = target
        self._scripts = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        self.requests = []  # (method, path) of every request, in order

    def __exit__(self, *exception):
        self.reset()
        super().__exit__()

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

    def serve(self, handler):
        """Let the script of the request handle it."""

        def forward():
            headers = {k: v for k, v in handler.headers.items() if k.lower() not in ("host", "connection")}
            with requests.Session() as session:
                session.trust_env = False
                return session.request(
                    handler.command,
                    self._target + handler.path,
                    headers=headers,
                    data=handler.body,
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


# --- scripts ---------------------------------------------------------------------------


def pass_on(proxy, handler, forward):
    """Behave."""
    response = forward()
    headers = [pair for pair in response.headers.items() if pair[0].lower() not in _NOT_FORWARDED]
    answer(handler, response.status_code, None, response.content, headers)


def drop_after(proxy, handler, forward):
    """Send the request on, let it take effect, then close the connection without an answer."""
    forward()


def hang_after(proxy, handler, forward):
    """Send the request on, let it take effect, then say nothing."""
    forward()
    proxy.hang()


def answer_500(proxy, handler, forward):
    """Fail as a server that lost its head."""
    answer(handler, 500, "text/plain", b"Internal Server Error")


def answer_html_after(proxy, handler, forward):
    """Let the request take effect, then answer as some other server would: 200 and a page."""
    forward()
    answer(handler, 200, "text/html", b"<html><body>Welcome!</body></html>")
