"""gunicorn's threaded worker with its gaps closed: who may hold a thread, how it stops, errors in HTML."""

import contextlib
import errno
import re
import select
import selectors
import socket
import threading
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

# Each worker lets a new connection wait for so long, for each that it has, before it takes it: the one that has fewer
# is first. Else one of them may get most of a client that opens eight, and one process does most of its work.
YIELD_SECONDS = 0.00006
YIELD_AT_MOST = 8  # connections that count
# Not while half of the threads are busy: the listening socket waits for its turn among all connections then, and
# several are taken at once.
TAKE_AT_ONCE = 16

# What the epoll waits for: one thread is told, and no other until it is asked for again.
ONE_IS_TOLD = select.EPOLLIN | select.EPOLLONESHOT

# How long a request may wait unseen while all threads are busy, until we look whether it is a health check.
LOOK_SECONDS = 0.05

# While we stop: for whoever is connected, to send what it is about to send.
LAST_CALL_SECONDS = 2


class ClientSocket(socket.socket):
    """A client's, which sends an answer's head together with its body: one packet, one wake-up."""

    _head = b""

    def settle(self, seconds):
        """Wait for so long when it is read or written."""
        if self.gettimeout() != seconds:
            self.settimeout(seconds)

    def setblocking(self, flag):
        """Do nothing: the base class asks for it before each request, and would take the timeout away."""

    def recv(self, size, flags=0):
        """Read; a client that takes too long is one that has gone, for which the base class logs no traceback."""
        try:
            return super().recv(size, flags)
        except TimeoutError as ex:
            raise ConnectionResetError(errno.ECONNRESET, "the client sends nothing") from ex

    def sendall(self, data, flags=0):
        """Send, or keep what is the head of an answer until its body or `flush` comes."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            return
        try:
            super().sendall(data, flags)
        except TimeoutError as ex:
            raise ConnectionResetError(errno.ECONNRESET, "the client reads nothing") from ex

    def flush(self):
        """Send the head of an answer that has no body."""
        if self._head:
            self.sendall(b"")


class Worker(ThreadWorker):
    """Serves a request in a thread; `worker_class` in gunicorn_conf.py.

    The base class' main loop waits for all connections, hands each that is readable to a thread, and gets
    it back: two thread switches more than the request itself, two thirds of the interpreter's time in a
    service that reads one row. Here all threads wait for all connections, new ones too, in one epoll, and
    whoever is woken serves. The main loop ends what is too old, and stops.
    """

    # {file descriptor: a connection that no thread has}: who pops one has it.
    keepalived_conns: Any
    # How many connections there are; changed under `_taking`.
    nr_conns: int

    def init_process(self):
        """Make what the base class lacks, in the forked process as it makes its own pool."""
        self.keepalived_conns = {}
        self._readable = select.epoll()
        self._listeners = {}  # by their file descriptors
        self._taking = threading.Lock()  # of connections; whoever has it may use a listener
        self._ready_pool = ThreadPoolExecutor(READY_THREADS)
        self._lingering = deque()  # of connections, by their timeout
        self._looks_at = 0.0  # when we look for health checks again
        self._stops_at = None  # when idle connections end, once TERM has come
        super().init_process()

    def get_thread_pool(self):
        """Return the base class' pool, which serves nothing here but questions whether we live."""
        return ThreadPoolExecutor(LIVE_THREADS)

    def run(self):
        """Start the threads, and run the base class' main loop."""
        for _ in range(self.cfg.threads):
            threading.Thread(target=self._serve_for_ever, daemon=True).start()
        super().run()

    # --- who gets a thread -------------------------------------------------------------

    def set_accept_enabled(self, enabled):
        """Take new connections, or none; for good once TERM has come, when the base class leaves its loop."""
        self._accepting = enabled and self.alive
        if not self.alive:
            self._take_nothing_new()
        for listener in self.sockets:
            if listener.fileno() not in self._listeners:
                listener.setblocking(False)
                self._listeners[listener.fileno()] = listener
                self._readable.register(listener, 0)
            if enabled:
                self._readable.modify(listener, ONE_IS_TOLD)

    def accept(self, listener):
        """Take a connection, if there is one, or several while half of the threads are busy."""
        served = self.nr_conns - len(self.keepalived_conns) - len(self._lingering)
        is_busy = 2 * served >= self.cfg.threads
        if not is_busy:
            time.sleep(YIELD_SECONDS * min(self.nr_conns, YIELD_AT_MOST))
        with self._taking:
            if self._accepting:
                self._accept(listener, TAKE_AT_ONCE if is_busy else 1)
            if self._accepting:
                self._readable.modify(listener, ONE_IS_TOLD)

    def _accept(self, listener, at_most):
        """Take so many connections and return how many there were; take a pause where no more is possible."""
        for count in range(at_most):
            if self.nr_conns >= self.worker_connections:
                self._accepting = False  # until the main loop sees that there is room
                return count
            try:
                sock, client = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return count
            except OSError as ex:
                self.log.warning("no connection can be taken: errno=%s", ex.errno)
                self._accepting = False
                return count
            self.nr_conns += 1
            sock = ClientSocket(sock.family, sock.type, sock.proto, sock.detach())
            self.enqueue_req(TConn(self.cfg, sock, client, listener.getsockname()))
        return at_most

    def enqueue_req(self, conn: Any):
        """Let a new connection wait until its client begins to send."""
        conn.data_ready = True  # once a thread has it
        conn.events = ONE_IS_TOLD
        conn.timeout = time.monotonic() + FIRST_BYTE_SECONDS
        self.keepalived_conns[conn.sock.fileno()] = conn
        self._readable.register(conn.sock, conn.events)

    def _serve_for_ever(self):
        while True:
            for descriptor, _ in self._readable.poll(maxevents=1):
                if (listener := self._listeners.get(descriptor)) is not None:
                    self.accept(listener)
                # None if the main loop was faster.
                elif (conn := self.keepalived_conns.pop(descriptor, None)) is not None:
                    self._serve(conn)

    def _serve(self, conn):
        conn.sock.settle(RECEIVE_SECONDS if self.alive else LAST_CALL_SECONDS)
        try:
            is_kept = self.handle(conn)
        except BaseException:
            self.log.exception("a connection is given up")
            is_kept = False
        if is_kept is True:
            conn.set_timeout()
            self._wait_for_next(conn)
        else:
            self.method_queue.defer(self._end, conn)

    def _wait_for_next(self, conn):
        # What was read together with the last request's body may be a whole request, and the client sends
        # no more until it is answered. Being writable, the connection comes up at once, after the others.
        conn.events = ONE_IS_TOLD | (select.EPOLLOUT if _read_ahead(conn) else 0)
        self._let_wait(conn)

    def _let_wait(self, conn):
        self.keepalived_conns[conn.sock.fileno()] = conn
        self._readable.modify(conn.sock, conn.events)

    def _keepalive_after(self, conn, keepalive):
        """Close a connection also where the rest of a body makes no sense, or does not come.

        The base class logs those errors with their text, which quotes what was sent.
        """
        try:
            return super()._keepalive_after(conn, keepalive)  # pyright: ignore[reportAttributeAccessIssue] - no stub
        except (OSError, ParseException):
            return False

    def wait_for_and_dispatch_events(self, timeout):
        """Wait, but not for long: what no thread has taken may be a health check, or too old."""
        super().wait_for_and_dispatch_events(LOOK_SECONDS if timeout is None else min(timeout, LOOK_SECONDS))
        # Not after each event: beside busy threads each step waits for the interpreter, and nobody is accepted then.
        if self._looks_at <= (now := time.monotonic()):
            self._looks_at = now + LOOK_SECONDS
            self._look_for_health_checks(until=now + LOOK_SECONDS / 5)

    def _look_for_health_checks(self, until):
        seen = set()
        while time.monotonic() < until and (events := self._readable.poll(0, maxevents=1)):
            ((descriptor, _),) = events
            if (listener := self._listeners.get(descriptor)) is not None:
                self.accept(listener)
            elif (conn := self.keepalived_conns.pop(descriptor, None)) is not None:
                pool = self._pool_for(_beginning(conn))
                if pool is None:
                    self._let_wait(conn)  # behind the others
                else:
                    pool.submit(self._serve, conn)
            if descriptor in seen:  # it was the first of them again
                return
            seen.add(descriptor)

    def _pool_for(self, beginning):
        """Return the pool that answers a health check, None for anything else."""
        if not _HEALTH_CHECK.fullmatch(beginning):
            return None
        return self._ready_pool if beginning.startswith(b"GET /health/ready") else self.tpool

    def handle(self, conn):
        """Serve one request."""
        is_kept = super().handle(conn)
        client: Any = conn.sock
        client.flush()
        return is_kept

    # --- the end -----------------------------------------------------------------------

    def is_parent_alive(self):
        """Stop as on TERM when gunicorn's master is gone."""
        self.alive = self.alive and super().is_parent_alive()
        return self.alive

    def _take_nothing_new(self):
        # The base class keeps the listening socket, and every kept-alive connection, to the end of
        # its grace: whoever connects meanwhile is neither served nor refused.
        with self._taking:
            for descriptor in self._listeners:
                # Closing is not enough: the master, and the other worker, have the same socket open.
                self._readable.unregister(descriptor)
            self._listeners.clear()
            for listener in self.sockets:
                # Those who are connected already have been promised an answer.
                while self._accept(listener, TAKE_AT_ONCE):
                    pass
                listener.close()
            self.sockets = []
        # Not closed at once: a proxy may be sending into one. Its answer says that it is the last.
        self._stops_at = time.monotonic() + LAST_CALL_SECONDS

    # --- connections that end ----------------------------------------------------------

    def murder_keepalived(self):
        """End connections that have waited for too long, and, while we stop, those that nobody uses."""
        now = time.monotonic()
        is_last_call_over = self._stops_at is not None and self._stops_at <= now
        for descriptor, conn in list(self.keepalived_conns.items()):
            is_over = is_last_call_over or conn.timeout <= now
            if is_over and self.keepalived_conns.pop(descriptor, None) is not None:
                # Whose request waits for a thread has been promised an answer: cut off, it would be carried out later.
                if not _beginning(conn):
                    # Not closed here: a thread may just have been told of the descriptor, which a new connection
                    # could get. The thread that is told of the end closes it.
                    with contextlib.suppress(OSError):
                        conn.sock.shutdown(socket.SHUT_RDWR)
                self._let_wait(conn)

    def _end(self, conn):
        # The base class waits here for each client in turn, and for nothing else meanwhile.
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.settimeout(0)
        except OSError:
            self._close(conn)
            return
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
        self._close(conn)

    def _close(self, conn):
        util.close(conn.sock)
        with self._taking:
            self.nr_conns -= 1

    def murder_pending(self):
        """Close connections that had time to read their last answer; the base class has nothing pending here."""
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


def _beginning(conn):
    """Return what has come of a waiting connection's next request, `b""` where nothing has."""
    return _read_ahead(conn) or _peek(conn.sock)


def _read_ahead(conn):
    """Return what was read together with the last request's body, `b""` where it begins no request."""
    data = conn.parser.unreader.buf.getvalue() if conn.parser else b""
    # Some clients end a body with a line of its own (RFC 9112, 2.2).
    return data if data.strip(b"\r\n") else b""


def _peek(sock):
    # With a timeout Python would wait for it first, MSG_DONTWAIT or not.
    sock.settimeout(0)
    try:
        return sock.recv(_PEEK_BYTES, socket.MSG_PEEK)
    except OSError:
        return b""
