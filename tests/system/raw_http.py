"""HTTP as bytes on a socket: what no client library would send, and what comes back."""

import json
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.contract_client import CODES_SEEN

TIMEOUT = 30  # seconds; a server that keeps silent for so long fails the test


@dataclass
class Answer:
    """One response; names of headers in lower case."""

    status: int
    headers: dict
    body: bytes

    @property
    def request_id(self):
        """Which request this answers; None when it never reached the application."""
        return self.headers.get("x-request-id")

    @property
    def code(self):
        """The code of a problem document that is whole; None for anything else."""
        if self.headers.get("content-type") != "application/problem+json":
            return None
        document = json.loads(self.body)
        assert document["status"] == self.status
        CODES_SEEN.add(document["code"])
        return document["code"]


class Connection:
    """A connection to one of the APIs.

    `source` is an address of this machine to come from, `room` the bytes that it takes before they are read.
    """

    def __init__(self, base, source=None, room=None):
        address = urlsplit(base)
        self._socket = socket.socket()
        self._socket.settimeout(TIMEOUT)
        if room is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        if source is not None:
            self._socket.bind((source, 0))
        try:
            self._socket.connect((address.hostname, address.port))
        except OSError:
            self._socket.close()
            raise
        self._stream = self._socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stream.close()
        self._socket.close()

    def send(self, data):
        self._socket.sendall(data)

    def finish(self):
        """Say that nothing more comes, and go on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def read(self, timeout=TIMEOUT):
        """Return the next answer, or None where the connection ends."""
        self._socket.settimeout(timeout)
        try:
            status_line = self._stream.readline()
        except ConnectionResetError:  # it ended with bytes unread
            return None
        if not status_line:
            return None
        version, status, _ = status_line.split(b" ", 2)
        assert version.startswith(b"HTTP/1.")
        headers = {}
        while (line := self._stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        body = self._stream.read(length)
        assert len(body) == length, "the answer is cut off"
        return Answer(int(status), headers, body)


def exchange(base, data):
    """Send `data` and nothing more; return every answer until the server closes."""
    with Connection(base) as connection:
        connection.send(data)
        connection.finish()
        return list(iter(connection.read, None))


def request(method, target, *headers, body=b"", version="HTTP/1.1"):
    """Return the bytes of a request; `headers` are whole lines and nothing is added to them."""
    lines = [f"{method} {target} {version}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
