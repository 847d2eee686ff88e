"""API Gateway on this machine: HTTP requests as proxy events to a function, and its results back.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

import base64
from urllib.parse import parse_qs, unquote

from tests.system.http_server import Server, answer
from tests.system.lambda_runtime import LambdaError, LambdaTimeout

# Bodies of other types arrive in base64.
_TEXT = ("text/", "application/json", "application/javascript", "application/xml")
_JSON = "application/json"


class Gateway(Server):
    """Serves a function at `base` in one of the payload formats; `all_base64` encodes each body."""

    def __init__(self, function, payload, all_base64=False):
        super().__init__()
        self.function = function
        self._make_event = {"1.0": make_event_v1, "2.0": make_event_v2}[payload]
        self._all_base64 = all_base64

    def serve(self, handler):
        """Answer with what the function makes of the request."""
        is_text = handler.headers.get("Content-Type", "text/").startswith(_TEXT) and not self._all_base64
        body = handler.body.decode() if is_text else base64.b64encode(handler.body).decode()
        event = self._make_event(handler.command, handler.path, handler.headers.items(), body, not is_text)
        try:
            result = self.function.invoke(event)
        except LambdaError:
            answer(handler, 500, _JSON, b'{"message":"Internal Server Error"}')
        except LambdaTimeout:
            answer(handler, 503, _JSON, b'{"message":"Service Unavailable"}')
        else:
            body = result.get("body", "")
            data = base64.b64decode(body) if result.get("isBase64Encoded") else body.encode()
            headers = [pair for pair in result["headers"].items() if pair[0].lower() != "content-length"]
            answer(handler, result["statusCode"], None, data, headers)


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
