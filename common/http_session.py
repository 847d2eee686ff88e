"""`requests` between our own programs, with what it doesn't bound bounded: an answer's time and size.

Its read timeout is for each read of the socket. A server that sends a byte now and then
holds a caller for ever, whose own deadline passes meanwhile.
"""

import io
import time
from http.client import HTTPResponse

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

MAX_ANSWER_BYTES = 1_000_000  # with its head; an order of 100 lines takes about 20,000


def new_session():
    """Return a session whose read timeout is for a whole answer, and which reads MAX_ANSWER_BYTES at most.

    What breaks a bound raises a `requests.RequestException`, as other failures do.
    """
    session = requests.Session()
    # Else ~/.netrc replaces the Authorization header, and a proxy setting diverts the call.
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter())
    return session


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
        if seconds <= 0 or self._left <= 0:
            raise TimeoutError("the answer takes too long or is too large")
        self._sock.settimeout(seconds)
        count = self._raw.readinto(buffer)
        self._left -= count
        return count

    def close(self):
        self._raw.close()
        super().close()


class _BoundedResponse(HTTPResponse):
    def __init__(self, sock, *arguments, **options):
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_BoundedReader(sock, self.fp.detach()))


class _Connection(HTTPConnection):
    response_class = _BoundedResponse


class _TlsConnection(HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments, **options):
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
