"""How the worker sends an answer. How it serves and stops is in tests/system."""

import socket

import pytest

from common.gunicorn_worker import ClientSocket

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@pytest.fixture
def ends():
    """Return (the worker's end, the client's) of a connection that gives nothing back but what is there."""
    worker, client = socket.socketpair()
    client.setblocking(False)
    with ClientSocket(fileno=worker.detach()) as worker, client:
        yield worker, client


def test_head_goes_with_its_body(ends):
    worker, client = ends

    worker.sendall(HEAD)

    with pytest.raises(BlockingIOError):
        client.recv(1000)
    worker.sendall(b"{}")
    assert client.recv(1000) == HEAD + b"{}"


def test_head_without_a_body_goes_when_the_answer_is_over(ends):
    worker, client = ends
    worker.sendall(HEAD)

    worker.flush()

    assert client.recv(1000) == HEAD


def test_nothing_is_sent_twice(ends):
    worker, client = ends
    worker.sendall(HEAD)
    worker.sendall(b"one")
    worker.sendall(b"two")

    worker.flush()

    assert client.recv(1000) == HEAD + b"onetwo"


def test_body_that_looks_like_a_head_is_a_body(ends):
    worker, client = ends
    worker.sendall(HEAD)

    worker.sendall(HEAD)

    assert client.recv(1000) == HEAD + HEAD
