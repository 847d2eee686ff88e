"""An HTTP server in a thread: what our programs, or functions, or nginx talk to in a test."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Hands each request to `serve(handler)`, which a subclass has; `handler.body` is what was sent with it."""

    def __init__(self, port=0):
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one send an answer: a second one waits 40 ms for a delayed ACK

            def do_GET(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                owner.serve(self)

            do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

            def log_message(self, *arguments, **options):
                """Say nothing."""

        class Threads(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Threads(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.base = f"http://127.0.0.1:{self.port}"

    def serve(self, handler):
        """Answer a request, or don't."""
        raise NotImplementedError

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()


def answer(handler, status, content_type, body, headers=()):
    """Write a response; the other `headers` are (name, value) pairs."""
    handler.send_response_only(status)
    for name, value in headers:
        handler.send_header(name, value)
    if content_type is not None:
        handler.send_header("Content-Type", content_type)
    if status not in (204, 304):
        handler.send_header("Content-Length", str(len(body)))
    if handler.close_connection:  # unsaid, the client's next request may go out on the dead connection
        handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(body)
