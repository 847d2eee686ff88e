"""gunicorn's threaded worker with its gaps closed: who may hold a thread, how it stops, errors in HTML."""

import re
import select
import selectors
import socket
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from gunicorn import util
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from common import problems
from common.tracing import new_request_id

# gthread waits for the rest of a request for ever, so eight clients that stop in the middle
# would stop a service. Against many who do so on purpose, put a proxy that buffers in front.
RECEIVE_SECONDS = 5

# Health checks have threads of their own: those of the others may all be waiting for a database
# that hangs, and a process that doesn't answer for that long is taken for dead, and killed.
# Whether we live does not wait behind those who ask whether the database does.
LIVE_THREADS = 1
READY_THREADS = 2
# A probe's whole request, which has no body: whoever sends less, or slowly, gets a thread of the others.
_HEALTH_CHECK = re.compile(
    rb"GET /health(?!.*\r\n(?:content-length|transfer-encoding|expect)\b).*\r\n\r\n", re.DOTALL | re.IGNORECASE
)
_PEEK_BYTES = 4096

# For a connection that has not sent a byte; a client opens one because it has something to send.
FIRST_BYTE_SECONDS = 10

# After an answer that ends a connection we go on reading for so long, and so much, before we close:
# a close with bytes unread resets the connection, and the client may lose the answer (RFC 9112, 9.6).
LINGER_SECONDS = 2
LINGER_BYTES = 65_536

# After an answer a thread stays with the connection for so long, if nobody waits for a thread. A client
# that goes on at once then spares us the way through the poller and the queue: with eight that read
# products, a tenth of what a request takes, with one alone a third.
STAY_MILLISECONDS = 5

# While we stop: for whoever is connected, to send what it is about to send.
LAST_CALL_SECONDS = 2


class ClientSocket(socket.socket):
    """A client's, which sends an answer's head together with its body: one packet, one wake-up."""

    _head = b""

    def sendall(self, data, *flags):
        """Send, or keep what is the head of an answer until its body or `flush` comes."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            return
        super().sendall(data, *flags)

    def flush(self):
        """Send the head of an answer that has no body."""
        if self._head:
            self.sendall(b"")


class Worker(ThreadWorker):
    """Serves a request in a thread; `worker_class` in gunicorn_conf.py."""

    def init_process(self):
        """Make what the base class lacks, in the forked process as it makes its own pool."""
        self._live_pool = ThreadPoolExecutor(LIVE_THREADS)
        self._ready_pool = ThreadPoolExecutor(READY_THREADS)
        self._lingering = deque()  # of connections, by their timeout
        self._queued = deque()  # of connections that wait for a thread
        super().init_process()

    # --- who gets a thread -------------------------------------------------------------

    def enqueue_req(self, conn):
        """Give a connection to a thread, but only once it has begun to send a request."""
        if not isinstance(conn.sock, ClientSocket):
            conn.sock = ClientSocket(fileno=conn.sock.detach())
        beginning = _peek(conn.sock, _PEEK_BYTES)
        if beginning is None:
            self._wait_for_data(conn)
            return
        self._submit(conn, beginning)

    def finish_request(self, conn, fs):
        """Go on with what was read together with the last request's body.

        The base class waits for more to come, and a client that waits for its answer sends no more.
        """
        if beginning := _is_kept(fs) and _read_ahead(conn):
            self._submit(conn, beginning)
        else:
            super().finish_request(conn, fs)

    def _keepalive_after(self, conn, keepalive):
        """Close a connection also where the rest of a body makes no sense, or does not come.

        The base class logs those errors with their text, which quotes what was sent.
        """
        try:
            return super()._keepalive_after(conn, keepalive)  # pyright: ignore[reportAttributeAccessIssue] - no stub
        except (OSError, ParseException):
            return False

    def _submit(self, conn, beginning):
        conn.close = partial(self._close, conn)
        pool = self._pool_for(beginning)
        if pool is self.tpool:
            self._queued.append(conn)
            done = pool.submit(self._handle_queued, conn)
        else:
            done = pool.submit(self.handle, conn)
        done.add_done_callback(lambda future: self.method_queue.defer(self.finish_request, conn, future))

    def _pool_for(self, beginning):
        if not _HEALTH_CHECK.fullmatch(beginning):
            return self.tpool
        return self._ready_pool if beginning.startswith(b"GET /health/ready") else self._live_pool

    def _wait_for_data(self, conn):
        # What the base class does after five seconds, in which the connection holds a thread.
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + (FIRST_BYTE_SECONDS if self.alive else LAST_CALL_SECONDS)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _handle_queued(self, conn):
        self._queued.popleft()  # whichever: only whether there are some is asked
        is_kept = self.handle(conn)
        while is_kept is True and self._has_next(conn):
            is_kept = self.handle(conn)
        return is_kept

    def _has_next(self, conn):
        """Tell whether the connection's next request is there, or comes at once; no, if others wait for a thread."""
        if self._queued or not self.alive:
            return False
        if _read_ahead(conn):
            return True
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(STAY_MILLISECONDS))

    def handle(self, conn):
        """Serve one request; the base class makes the socket block for ever before `init`."""
        conn.init = partial(self._init_with_timeout, conn)
        is_kept = super().handle(conn)
        client: Any = conn.sock
        client.flush()
        return is_kept

    def _init_with_timeout(self, conn):
        TConn.init(conn)
        conn.sock.settimeout(RECEIVE_SECONDS if self.alive else LAST_CALL_SECONDS)

    # --- the end -----------------------------------------------------------------------

    def set_accept_enabled(self, enabled):
        """Also take nothing new once TERM has come: the base class asks for that when it leaves its loop."""
        super().set_accept_enabled(enabled and self.alive)
        if not self.alive:
            super().set_accept_enabled(False)
            self._take_nothing_new()

    def is_parent_alive(self):
        """Stop as on TERM when gunicorn's master is gone."""
        self.alive = self.alive and super().is_parent_alive()
        return self.alive

    def _take_nothing_new(self):
        # The base class keeps the listening socket, and every kept-alive connection, to the end of
        # its grace: whoever connects meanwhile is neither served nor refused.
        for listener in self.sockets:
            self._accept_all(listener)
            listener.close()
        self.sockets = []
        # Not closed at once: a proxy may be sending into one. Its answer says that it is the last.
        last_call = time.monotonic() + LAST_CALL_SECONDS
        for conn in (*self.keepalived_conns, *self.pending_conns):
            conn.timeout = min(conn.timeout or last_call, last_call)

    def _accept_all(self, listener):
        # Those who are connected already have been promised an answer.
        accepted = None
        while accepted != self.nr_conns:
            accepted = self.nr_conns
            self.accept(listener)

    def wait_for_and_dispatch_events(self, timeout):
        """Wait a second at most, so that connections that send nothing end on time while we stop, too."""
        super().wait_for_and_dispatch_events(1.0 if timeout is None else min(timeout, 1.0))

    # --- connections that end ----------------------------------------------------------

    def _close(self, conn, graceful=False):
        if not graceful:
            util.close(conn.sock)
            return
        # The base class waits here for each client in turn, and for nothing else meanwhile.
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
        except OSError:
            util.close(conn.sock)
            return
        self.nr_conns += 1  # still open, though the base class has counted it off
        conn.bytes_to_drain = LINGER_BYTES
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self._lingering.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn, sock):
        try:
            read = len(sock.recv(4096))
        except BlockingIOError:
            return
        except OSError:
            read = 0
        conn.bytes_to_drain -= read
        if read == 0 or conn.bytes_to_drain <= 0:
            self._lingering.remove(conn)
            self._end_lingering(conn)

    def _end_lingering(self, conn):
        self.poller.unregister(conn.sock)
        util.close(conn.sock)
        self.nr_conns -= 1

    def murder_pending(self):
        """Close connections whose time is over; the base class asks for it once a second."""
        super().murder_pending()
        while self._lingering and self._lingering[0].timeout <= time.monotonic():
            self._end_lingering(self._lingering.popleft())

    # --- errors ------------------------------------------------------------------------

    def handle_error(self, req, client, addr, exc):
        """Answer what never reached the application, as a problem document."""
        is_client_error = isinstance(exc, ParseException)
        problem = (
            problems.InvalidRequest("This is not an HTTP/1.1 request that the server takes.")
            if is_client_error
            else problems.InternalError()
        )
        request_id = new_request_id()
        # Not the exception's text: it quotes the request, and a token may stand in it.
        self.log.warning("request %s refused before the application: %s", request_id, type(exc).__name__)
        body = problem.to_json(request_id)
        head = (
            f"HTTP/1.1 {problem.status} {'Bad Request' if is_client_error else 'Internal Server Error'}\r\n"
            f"Connection: close\r\nContent-Type: {problems.MEDIA_TYPE}\r\nX-Request-ID: {request_id}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode() + body)
        except OSError:
            self.log.debug("the client of request %s is gone", request_id)


def _is_kept(done):
    """Tell whether the connection whose request is done stays open for the next."""
    return not done.cancelled() and done.exception() is None and done.result() is True


def _read_ahead(conn):
    """Return what was read together with the last request's body, `b""` where it begins no request."""
    data = conn.parser.unreader.buf.getvalue()
    # Some clients end a body with a line of its own (RFC 9112, 2.2).
    return data if data.strip(b"\r\n") else b""


def _peek(sock, size):
    """Return the next bytes without taking them, `b""` at the end of the stream, None where nothing has come."""
    try:
        return sock.recv(size, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""  # a thread finds out
