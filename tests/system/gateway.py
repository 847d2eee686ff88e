"""API Gateway on this machine: HTTP requests as proxy events to a function, and its results back.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote

from tests.system.lambda_runtime import LambdaError, LambdaTimeout

# Bodies of other types arrive in base64.
_TEXT = ("text/", "application/json", "application/javascript", "application/xml")


class Gateway:
    """Serves a function at `base` in one of the payload formats; `all_base64` encodes each body."""

    def __init__(self, function, payload, all_base64=False):
        self.function = function
        self._make_event = {"1.0": make_event_v1, "2.0": make_event_v2}[payload]
        self._all_base64 = all_base64
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_request_handler())
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()

    def _make_request_handler(gateway):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self):
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                is_text = self.headers.get("Content-Type", "text/").startswith(_TEXT) and not gateway._all_base64
                body = data.decode() if is_text else base64.b64encode(data).decode()
                event = gateway._make_event(self.command, self.path, self.headers.items(), body, not is_text)
                try:
                    self._answer(gateway.function.invoke(event))
                except LambdaError:
                    self._send(500, [("Content-Type", "application/json")], b'{"message":"Internal Server Error"}')
                except LambdaTimeout:
                    self._send(503, [("Content-Type", "application/json")], b'{"message":"Service Unavailable"}')

            do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

            def _answer(self, result):
                body = result.get("body", "")
                data = base64.b64decode(body) if result.get("isBase64Encoded") else body.encode()
                self._send(result["statusCode"], result["headers"].items(), data)

            def _send(self, status, headers, data):
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() != "content-length":
                        self.send_header(name, value)
                if status not in (204, 304):
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments, **options):
                """Say nothing."""

        return Handler


def make_event_v2(method, target, headers, body="", is_base64=False):
    """Return a proxy event of format 2.0."""
    path, _, query = target.partition("?")
    names = {name.lower() for name, _ in headers}
    joined = {name: ",".join(value for n, value in headers if n.lower() == name) for name in names}
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": unquote(path),
        "rawQueryString": query,
        "headers": joined,
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
            "requestId": "JKJaXmPLvHcESHA=",
            "stage": "$default",
        },
        "isBase64Encoded": is_base64,
    }
    return {**event, "body": body} if body else event


def make_event_v1(method, target, headers, body="", is_base64=False):
    """Return a proxy event of format 1.0."""
    path, _, query = target.partition("?")
    fields = parse_qs(query, keep_blank_values=True)
    return {
        "version": "1.0",
        "resource": "/{proxy+}",
        "path": unquote(path),
        "httpMethod": method,
        "headers": dict(headers),
        "multiValueHeaders": {name: [value for n, value in headers if n == name] for name, _ in headers},
        "queryStringParameters": {name: values[-1] for name, values in fields.items()} or None,
        "multiValueQueryStringParameters": fields or None,
        "requestContext": {"identity": {"sourceIp": "127.0.0.1"}, "requestId": "id", "stage": "$default"},
        "body": body or None,
        "isBase64Encoded": is_base64,
    }
