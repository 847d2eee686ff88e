"""gunicorn's threaded worker, with answers of ours where a request never reaches the application."""

import contextlib
import logging
import socket
import struct

from gunicorn import glogging, util
from gunicorn.http.errors import (
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import ThreadWorker

from common import conditional, logs, problems, tracing

# For each read from a client and each write to one. Without a limit, clients that stop in the middle would soon hold
# every thread. Against many of them, or a byte now and then, a proxy that buffers stands in front (docs/nginx.conf).
CLIENT_SECONDS = 5


class Logger(glogging.Logger):
    """Logs as all else does. (With its setting logconfig_dict the base class would put an access log together, too.)"""

    def setup(self, cfg):
        """Replace the base class's handlers."""
        super().setup(cfg)
        logs.configure()
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Body:
    """A request's body. Where reading it fails, nobody knows where the next request begins: the connection ends."""

    def __init__(self, req):
        self._req, self._body = req, req.body

    def read(self, size=None):
        try:
            return self._body.read(size)
        except Exception:
            self._req.must_close = True
            raise

    def __getattr__(self, name):
        return getattr(self._body, name)


class Worker(ThreadWorker):
    """Refuses in problem documents, where the base class echoes what was sent, and stops without delay."""

    def handle_request(self, req, conn):
        """Answer a request. One in another transfer coding than chunks is refused, for the base class ignores it."""
        if any(name == "TRANSFER-ENCODING" and value.lower() != "chunked" for name, value in req.headers):
            self.handle_error(None, conn.sock, conn.client, UnsupportedTransferCoding(""))
            return False
        req.body = _Body(req)  # pyright: ignore[reportAttributeAccessIssue] - it reads as the base class's does
        return super().handle_request(req, conn)

    def murder_keepalived(self):
        """End connections that were idle for too long. On TERM end all idle ones, which the base class waits for."""
        if not self.alive:
            for conn in self.keepalived_conns:
                conn.timeout = 0
        super().murder_keepalived()

    def handle_error(self, req, client, addr, exc):
        """Answer a request that is no HTTP, or an exception that the application didn't handle."""
        request_id = tracing.request_id()
        if isinstance(exc, ParseException):
            if req is not None:  # it is answered already, and the rest of its body makes no sense
                return
            problem = problems.InvalidRequest("This is not an HTTP/1.1 request that the server takes.")
            if isinstance(exc, LimitRequestLine):
                problem = problems.UriTooLong()
            elif isinstance(exc, LimitRequestHeaders):
                problem = problems.HeaderTooLarge()
        else:
            problem = problems.InternalError()
            logs.log_failure(request_id, problem.code, exc)
        logs.log_request(problem.status, request_id=request_id, code=problem.code)
        body = problem.to_json(request_id)
        headers = "".join(f"{name}: {value}\r\n" for name, value in conditional.HEADERS.items())
        head = (
            f"HTTP/1.1 {problem.status} {problem.title}\r\nConnection: close\r\nContent-Type: {problems.MEDIA_TYPE}\r\n"
            f"X-Request-ID: {request_id}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        )
        with contextlib.suppress(OSError):  # the client is gone
            util.write_nonblock(client, head.encode() + body)


def bound_waiting(worker: ThreadWorker):
    """Bound the wait for a client: after CLIENT_SECONDS its socket fails with EAGAIN. It is a `post_worker_init`."""
    seconds = struct.pack("ll", CLIENT_SECONDS, 0)  # a timeval; what is accepted inherits it (socket(7))
    for listener in worker.sockets:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
    worker.log.error_log.addFilter(_is_worth_a_line)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    # The base class logs a traceback for a client that stops, or whose chunks make no sense, and quotes them.
    return not (record.exc_info and isinstance(record.exc_info[1], OSError))
