"""HTTP between our own programs, with what the libraries don't bound bounded: a call's time, an answer's size.

Timeouts of requests and urllib3 are for the connection, the TLS handshake and each read of the socket. A
server that is slow in all of them, or sends a byte now and then, holds a caller past its
own deadline. Not bounded here is the look-up of a name.
"""

import io
import time
from http.client import HTTPException, HTTPResponse
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Timeout

CONNECT_SECONDS = 1.0
KEPT_CONNECTIONS = 32  # of a pool; one for each thread that calls, however many gunicorn_conf.py may have
MAX_ANSWER_BYTES = 1_000_000  # with its head, give or take a buffer; an order of 100 lines takes about 20,000


def new_adapter() -> HTTPAdapter:
    """Return kept-alive connections for `send`: requests' transport adapter, without a session around it.

    A session looks for settings, log-ins and cookies with each call, and follows redirects: a third of a call's time.
    We have none, a proxy setting or ~/.netrc would divert a call or replace its Authorization header, and a redirect
    would turn a POST into a GET and carry the token elsewhere.
    """
    return _Adapter()


def send(
    adapter: HTTPAdapter, method: str, url: str, headers: dict[str, str], body: Any, seconds: float
) -> requests.Response:
    """Make one call that ends within `seconds`, and return its answer; `body` is sent as JSON unless it is None.

    `url` needs no quoting. At most MAX_ANSWER_BYTES of an answer are read; what breaks a bound raises a
    `requests.RequestException`, as other failures do.
    """
    request = requests.PreparedRequest()
    request.prepare_method(method)
    request.url = url
    # A small compressed answer can be a large one.
    request.prepare_headers({"Accept": "application/json", "Accept-Encoding": "identity", **headers})
    request.prepare_body(None, None, body)
    response = adapter.send(request, timeout=whole_call(seconds))
    response.content  # noqa: B018 - reads it, which may fail as well
    return response


def new_pool(base: str) -> HTTPConnectionPool:
    """Return the connections to one address, bounded in the same way: a session's, without the session.

    Calls go through `urlopen` with a `whole_call` timeout, and raise urllib3's `HTTPError`. It takes 0.3 ms less
    of a processor than a session does, which counts where each order asks.
    """
    manager = PoolManager(maxsize=KEPT_CONNECTIONS, ca_certs=DEFAULT_CA_BUNDLE_PATH)
    manager.pool_classes_by_scheme = _POOLS
    return manager.connection_from_url(base)


def whole_call(seconds: float) -> Any:  # a Timeout of urllib3's: requests takes it, and its type stubs don't say so
    """Return the timeout of a call that ends, one way or the other, within `seconds`."""
    # urllib3 gives this to the connection and once more to the TLS handshake.
    return Timeout(total=seconds, connect=min(CONNECT_SECONDS, seconds / 2))


class _BoundedReader(io.RawIOBase):
    """Reads a socket, through `raw`, until its timeout, counted from now, is over."""

    def __init__(self, sock, raw):
        self._sock = sock
        self._raw = raw  # the socket's own file: while it is open the socket stays so, too
        self._deadline = time.monotonic() + sock.gettimeout()
        self._left = MAX_ANSWER_BYTES

    def readable(self):
        return True

    def readinto(self, buffer):
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the answer takes too long")
        self._sock.settimeout(seconds)
        count = self._raw.readinto(buffer)
        self._left -= count
        if self._left < 0:
            raise OSError("the answer is too large")
        return count

    def close(self):
        self._raw.close()
        super().close()


class _BoundedResponse(HTTPResponse):
    def __init__(self, sock, *arguments, **options):
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_BoundedReader(sock, self.fp.detach()))

    def begin(self):
        super().begin()
        if self.headers.get("Content-Encoding", "identity") != "identity":
            raise HTTPException("the answer is compressed, which nobody asked for")


class _Connection(HTTPConnection):
    response_class = _BoundedResponse


class _TlsConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection  # pyright: ignore[reportAssignmentType] - as the base class has its own


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection  # pyright: ignore[reportAssignmentType] - as the base class has its own


_POOLS: dict[str, Any] = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments, **options):
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS
