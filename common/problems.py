"""Every error that a program of ours answers, as RFC 9457 problem documents.

A class is a fact; its code is the class's name in snake_case and never changes. The
details are fixed texts: nothing that a client sent, no SQL and no trace gets into one.

    Problem
    ├── 400 MalformedJson, InvalidRequest, InvalidCursor
    ├── 401 AuthenticationRequired, InvalidToken, InvalidCredentials
    ├── 403 InsufficientScope, CallerNotAllowed
    ├── 404 NotFound, CustomerNotFound, ProductNotFound, OrderNotFound
    ├── 405 MethodNotAllowed
    ├── 409 EmailTaken, SkuTaken, DuplicateReference, InsufficientStock, ProductInactive,
    │       OrderStateConflict, CancelWindowClosed, IdempotencyKeyInFlight
    ├── 411 LengthRequired   412 PreconditionFailed   413 PayloadTooLarge
    ├── 415 UnsupportedMediaType   422 IdempotencyKeyReused
    ├── 500 InternalError
    ├── 502 UpstreamBroken
    ├── 503 CustomersUnavailable, DatabaseUnavailable, DatabaseReadOnly, SchemaOutdated, Busy
    └── 504 UpstreamTimeout
"""

import json
import re
from typing import Any

MEDIA_TYPE = "application/problem+json"

# code -> class; tests walk it to see that each code is documented and reached.
REGISTRY: dict[str, type["Problem"]] = {}


class Problem(Exception):
    """A refusal or failure with a stable code; raise a subclass, never this."""

    status: int
    code: str
    title: str | None = None
    detail: str | None = None
    retry_after: int | None = None  # seconds; sent as Retry-After

    def __init__(self, detail: str | None = None, headers: dict[str, str] | None = None, **members: Any):
        """Keep `members` as further members of the document; None members are left out."""
        super().__init__(self.code)
        self.detail = detail or self.detail
        self.headers = dict(headers or {})
        if self.retry_after is not None:
            self.headers["Retry-After"] = str(self.retry_after)
        self.members = {name: value for name, value in members.items() if value is not None}

    def __init_subclass__(cls, registered=True):
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        if registered:
            REGISTRY[cls.code] = cls

    def to_document(self, request_id: str) -> dict[str, Any]:
        """Return the document as a dict, in the order in which people read it."""
        return {
            "type": f"urn:problem-type:b2b:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:request:{request_id}",
            "code": self.code,
            "request_id": request_id,
            **self.members,
        }

    def to_json(self, request_id: str) -> bytes:
        """Return the document as UTF-8 JSON bytes."""
        return json.dumps(self.to_document(request_id), ensure_ascii=False, separators=(",", ":")).encode()


class MalformedJson(Problem):
    status, title = 400, "Malformed JSON"
    detail = "The body is not one JSON document in UTF-8 with unique names and finite numbers."


class InvalidRequest(Problem):
    status, title = 400, "Invalid request"
    detail = "The request breaks the contract; errors names each place."


class InvalidCursor(Problem):
    status, title = 400, "Invalid cursor"
    detail = "The cursor was not made by this list with these filters; start again without it."


class AuthenticationRequired(Problem):
    status, title = 401, "Authentication required"
    detail = "Send a bearer token in the Authorization header."

    def __init__(self):
        super().__init__(headers={"WWW-Authenticate": 'Bearer realm="b2b"'})


class InvalidToken(Problem):
    status, title = 401, "Invalid token"
    detail = "The bearer token is not valid, or no longer."

    def __init__(self):
        super().__init__(headers={"WWW-Authenticate": 'Bearer realm="b2b", error="invalid_token"'})


class InvalidCredentials(Problem):
    status, title = 401, "Invalid credentials"
    detail = "The username or the password is wrong."

    def __init__(self):
        super().__init__(headers={"WWW-Authenticate": 'Bearer realm="b2b"'})


class InsufficientScope(Problem):
    status, title = 403, "Insufficient scope"

    def __init__(self, scope: str):
        challenge = f'Bearer realm="b2b", error="insufficient_scope", scope="{scope}"'
        super().__init__(f"This needs the scope {scope}.", headers={"WWW-Authenticate": challenge})


class CallerNotAllowed(Problem):
    status, title = 403, "Caller not allowed"
    detail = "This kind of caller may not use this route."


class NotFound(Problem):
    status, title = 404, "Not found"
    detail = "There is nothing at this address."


class CustomerNotFound(Problem):
    status, title = 404, "Customer not found"
    detail = "There is no such customer."


class ProductNotFound(Problem):
    status, title = 404, "Product not found"
    detail = "There is no such product."


class OrderNotFound(Problem):
    status, title = 404, "Order not found"
    detail = "There is no such order."


class MethodNotAllowed(Problem):
    status, title = 405, "Method not allowed"
    detail = "This address does not take that method; Allow names those it takes."


class EmailTaken(Problem):
    status, title = 409, "Email taken"
    detail = "Another customer has this email."


class SkuTaken(Problem):
    status, title = 409, "SKU taken"
    detail = "Another product has this SKU."


class DuplicateReference(Problem):
    status, title = 409, "Duplicate reference"
    detail = "This customer has an order with this reference that is not canceled."


class InsufficientStock(Problem):
    status, title = 409, "Insufficient stock"
    detail = "There is not enough stock; nothing was taken."


class ProductInactive(Problem):
    status, title = 409, "Product inactive"
    detail = "A product of this order is no longer sold."


class OrderStateConflict(Problem):
    status, title = 409, "Order state conflict"
    detail = "The order's status does not allow this."


class CancelWindowClosed(Problem):
    status, title = 409, "Cancel window closed"
    detail = "The order was confirmed too long ago to be canceled."


class IdempotencyKeyInFlight(Problem):
    status, title = 409, "Idempotency key in flight"
    detail = "The first request with this key is still running; send this one again later."
    retry_after = 1


class LengthRequired(Problem):
    status, title = 411, "Length required"
    detail = "Send the body with a Content-Length, not in chunks."


class PreconditionFailed(Problem):
    status, title = 412, "Precondition failed"
    detail = "The resource has changed since the version that If-Match names."


class PayloadTooLarge(Problem):
    status, title = 413, "Payload too large"
    detail = "The body is larger than 65536 bytes."


class UnsupportedMediaType(Problem):
    status, title = 415, "Unsupported media type"
    detail = "Send the body as application/json in UTF-8."


class IdempotencyKeyReused(Problem):
    status, title = 422, "Idempotency key reused"
    detail = "This key was used for another request; use a new key for a new effect."


class InternalError(Problem):
    status, title = 500, "Internal error"
    detail = "Something is wrong on our side; the request id finds it in our log."


class UpstreamBroken(Problem):
    status, title = 502, "Upstream broken"
    detail = "A service gave an answer that makes no sense; the outcome is unknown. Repeat with the same key."


class CustomersUnavailable(Problem):
    status, title = 503, "Customers unavailable"
    detail = "The Customers API does not answer as it should; nothing was written."
    retry_after = 2


class DatabaseUnavailable(Problem):
    status, title = 503, "Database unavailable"
    detail = "The database does not answer as it should. If this was a change, repeat it with the same key."
    retry_after = 2


class DatabaseReadOnly(Problem):
    status, title = 503, "Database read-only"
    detail = "The database takes no changes."
    retry_after = 2


class SchemaOutdated(Problem):
    status, title = 503, "Schema outdated"
    detail = "The database lacks a migration that this version needs."
    retry_after = 2


class Busy(Problem):
    status, title = 503, "Busy"
    detail = "Too many changes to the same rows at once; nothing was written."
    retry_after = 1


class UpstreamTimeout(Problem):
    status, title = 504, "Upstream timeout"
    detail = "A service did not answer in time; the outcome is unknown. Repeat with the same key."
