"""A session's bounds: whatever a server sends, and however slowly, the caller is free in time."""

import gzip
import socket
import threading
import time

import pytest
import requests
from urllib3.util import Timeout

from common import http_session
from common.http_session import new_adapter, send

SECONDS = 0.5
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"


class RawServer:
    """Accepts connections, reads a request of each, and sends it what `chunks()` yields, one by one."""

    def __init__(self, chunks, pause):
        self._chunks, self._pause = chunks, pause
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self):
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                while self._answer(connection):
                    pass

    def _answer(self, connection):
        try:
            if not connection.recv(65536):
                return False
            for chunk in self._chunks():
                connection.sendall(chunk)
                if self._pause and self._ended.wait(self._pause):
                    return False
        except OSError:  # the client has gone
            return False
        return True


def fetch(adapter, url, seconds=SECONDS):
    return send(adapter, "GET", url, {}, None, seconds)


@pytest.fixture
def adapter():
    adapter = new_adapter()
    yield adapter
    adapter.close()


@pytest.fixture
def serve():
    servers = []

    def start(chunks, pause=0.0):
        servers.append(RawServer(chunks, pause))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def for_ever(first, then):
    def chunks():
        yield first
        while True:
            yield then

    return chunks


@pytest.mark.parametrize(
    ("chunks", "pause"),
    [
        (for_ever(HEAD, b"x"), 0.05),
        (for_ever(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), 0.05),
        (for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), 0.05),
        (for_ever(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), 0.05),
        (for_ever(b"HTTP/1.0 200 OK\r\n\r\n", b"x" * 65536), 0.0),
        (for_ever(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"), 0.0),
    ],
    ids=["body", "headers", "100 Continue", "chunks", "endless body", "endless chunks"],
)
def test_answer_that_does_not_end_is_given_up_in_time(serve, chunks, pause, adapter):
    server = serve(chunks, pause)
    started = time.monotonic()

    with pytest.raises(requests.RequestException):
        fetch(adapter, server.base)

    assert time.monotonic() - started < SECONDS + 0.3


def test_answer_as_large_as_allowed_is_read_over_a_connection_that_is_kept(serve, adapter):
    body = b"x" * (http_session.MAX_ANSWER_BYTES - 1000)
    server = serve(lambda: [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body])

    answers = [fetch(adapter, server.base, 5).content for _ in range(3)]

    assert answers == [body] * 3
    assert server.connections == 1


def test_each_answer_has_its_own_time(serve, adapter):
    server = serve(lambda: [HEAD, b"x" * 250, b"x" * 250], pause=0.1)

    answers = [fetch(adapter, server.base).content for _ in range(4)]

    assert answers == [b"x" * 500] * 4
    assert server.connections == 1


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"x"])
def test_compressed_answer_is_not_unpacked(serve, encoding, adapter):
    bomb = gzip.compress(b" " * 10_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (encoding, len(bomb))
    server = serve(lambda: [head, bomb])

    with pytest.raises(requests.RequestException):
        fetch(adapter, server.base)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_server_that_says_nothing_is_given_up_in_time(scheme, adapter):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = time.monotonic()
        with pytest.raises(requests.RequestException):
            fetch(adapter, f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")

    assert time.monotonic() - started < SECONDS + 0.3


def test_connection_and_answer_share_the_time(monkeypatch, serve, adapter):
    # A connection that takes long can't be had on loopback, so the clock of the connection is turned.
    server = serve(for_ever(HEAD, b"x"), pause=0.05)
    monkeypatch.setattr(Timeout, "get_connect_duration", lambda self: 0.8 * SECONDS)
    started = time.monotonic()

    with pytest.raises(requests.RequestException):
        fetch(adapter, server.base)

    assert time.monotonic() - started < 0.5 * SECONDS
