"""The orchestrator's handler behind HTTP, so that `make bench` can send it requests.

A WSGI app that turns each request into the event which API Gateway would make of it. What
serverless offline adds, Node and a pipe for each event, is no part of the product.
"""

import base64

from lambda_orchestrator.handler import handle


def get_app():
    """Return the app; gunicorn loads `bench.orchestrator:get_app()`."""
    return _answer


def _answer(environ, start_response):
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"}
    headers["content-type"] = environ.get("CONTENT_TYPE", "")
    result = handle(
        {
            "version": "2.0",
            "rawPath": environ["PATH_INFO"],
            "rawQueryString": environ["QUERY_STRING"],
            "headers": headers,
            "requestContext": {
                "http": {"method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"]},
                "stage": "$default",
            },
            "body": base64.b64encode(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))).decode(),
            "isBase64Encoded": True,
        },
        None,
    )
    start_response(f"{result['statusCode']} -", list(result["headers"].items()))
    return [result["body"].encode()]
