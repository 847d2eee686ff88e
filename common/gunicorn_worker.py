"""gunicorn's threaded worker with two gaps closed: half-sent requests, and errors in HTML."""

from functools import partial

from gunicorn import util
from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import TConn, ThreadWorker

from common import problems
from common.tracing import new_request_id

# gthread waits for the rest of a request for ever, so eight clients that stop in the middle
# would stop a service. Against many who do so on purpose, put a proxy that buffers in front.
RECEIVE_SECONDS = 5


class Worker(ThreadWorker):
    """Serves a request in a thread; `worker_class` in gunicorn_conf.py."""

    def handle(self, conn):
        """Serve one request; the base class makes the socket block for ever before `init`."""
        conn.init = partial(_init_with_timeout, conn)
        return super().handle(conn)

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


def _init_with_timeout(conn):
    TConn.init(conn)
    conn.sock.settimeout(RECEIVE_SECONDS)
