"""API Gateway proxy events, payload formats 1.0 and 2.0, as one plain request and back."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from common.conditional import HEADERS
from common.problems import MalformedJson


@dataclass(frozen=True)
class GatewayRequest:
    """An HTTP request; header names are in lower case, as only format 2.0 sends them."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes
    address: str  # whose connection it was, "" where the event doesn't tell

    def header(self, name: str) -> str | None:
        """Return the header's value or None."""
        return self.headers.get(name.lower())


def read_event(event: dict[str, Any]) -> GatewayRequest:
    """Return the `GatewayRequest` in a proxy event of either format.

    Raises `MalformedJson` for a body that is no base64 or no text, and any other
    exception for an event that is none of API Gateway's.
    """
    return GatewayRequest(
        *(_read_v2(event) if event.get("version") == "2.0" else _read_v1(event)),
        headers=_headers(event),
        body=_body(event),
        address=_address(event),
    )


def _headers(event):
    # One that was sent twice has all its values, as format 2.0 and WSGI have it.
    fields = event.get("multiValueHeaders") or {}
    values = {**(event.get("headers") or {}), **{name: ",".join(all_of_it) for name, all_of_it in fields.items()}}
    # As gunicorn does, none with "_", which WSGI can't tell from "-". The body is whole
    # already, however it was sent.
    return {
        name.lower(): value for name, value in values.items() if "_" not in name and name.lower() != "transfer-encoding"
    }


def _body(event):
    body = (event.get("body") or "").encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body
    except binascii.Error as ex:
        raise MalformedJson() from ex


def _address(event):
    context = event.get("requestContext") or {}
    return (context.get("http") or context.get("identity") or {}).get("sourceIp") or ""


def _read_v2(event):
    http = event["requestContext"]["http"]
    path = event.get("rawPath") or http["path"]
    # A stage other than $default comes first in the path of format 2.0.
    stage = event["requestContext"].get("stage", "$default")
    if stage != "$default" and (path == f"/{stage}" or path.startswith(f"/{stage}/")):
        path = path.removeprefix(f"/{stage}") or "/"
    return http["method"], path, event.get("rawQueryString") or ""


def _read_v1(event):
    fields = event.get("multiValueQueryStringParameters") or event.get("queryStringParameters") or {}
    return event["httpMethod"], event["path"], urlencode(fields, doseq=True)


def make_response(status: int, content_type: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Return the proxy response, valid for both formats; `body` is UTF-8 bytes."""
    return {
        "statusCode": status,
        "headers": ({"Content-Type": content_type} if body else {}) | HEADERS | headers,
        "body": body.decode(),
        "isBase64Encoded": False,
    }


def without_body(response: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to HEAD: with the headers of GET, and the length of the body that isn't sent."""
    headers = dict(response["headers"])
    if response["body"]:
        headers["Content-Length"] = str(len(response["body"].encode()))
    return {**response, "headers": headers, "body": ""}
