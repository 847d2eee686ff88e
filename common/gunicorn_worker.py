"""gunicorn's threaded worker with its gaps closed: who may hold a thread, how it stops, errors in HTML."""

import selectors
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

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
HEALTH_THREADS = 2
_HEALTH_CHECK = b"GET /health"

# While we stop: for a client that has just connected, to send what it came for.
LAST_CALL_SECONDS = 1


class Worker(ThreadWorker):
    """Serves a request in a thread; `worker_class` in gunicorn_conf.py."""

    def init_process(self):
        """Make the pool for health checks, in the forked process as the base class makes its own."""
        self._health_pool = ThreadPoolExecutor(HEALTH_THREADS)
        super().init_process()

    # --- who gets a thread -------------------------------------------------------------

    def enqueue_req(self, conn):
        """Give a connection to a thread, but only once it has begun to send a request."""
        beginning = _peek(conn.sock, len(_HEALTH_CHECK))
        if beginning is None:
            self._wait_for_data(conn)
            return
        pool = self._health_pool if beginning == _HEALTH_CHECK else self.tpool
        done = pool.submit(self.handle, conn)
        done.add_done_callback(lambda future: self.method_queue.defer(self.finish_request, conn, future))

    def _wait_for_data(self, conn):
        # What the base class does after five seconds, in which the connection holds a thread.
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + (self.cfg.keepalive if self.alive else LAST_CALL_SECONDS)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def handle(self, conn):
        """Serve one request; the base class makes the socket block for ever before `init`."""
        conn.init = partial(_init_with_timeout, conn)
        return super().handle(conn)

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
        for conn in list(self.keepalived_conns):
            # Whoever has begun to send is still served; the answer then says that it is the last.
            if _peek(conn.sock, 1) is None:
                self.keepalived_conns.remove(conn)
                self.poller.unregister(conn.sock)
                self.nr_conns -= 1
                conn.close()
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + LAST_CALL_SECONDS)

    def _accept_all(self, listener):
        # Those who are connected already have been promised an answer.
        accepted = None
        while accepted != self.nr_conns:
            accepted = self.nr_conns
            self.accept(listener)

    def wait_for_and_dispatch_events(self, timeout):
        """Wait a second at most, so that connections that send nothing end on time while we stop, too."""
        super().wait_for_and_dispatch_events(min(timeout, 1.0))

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


def _peek(sock, size):
    """Return the next bytes without taking them, `b""` at the end of the stream, None where nothing has come."""
    try:
        return sock.recv(size, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""  # a thread finds out


def _init_with_timeout(conn):
    TConn.init(conn)
    conn.sock.settimeout(RECEIVE_SECONDS)
