"""Every error that a program of ours answers, as RFC 9457 problem documents.

The table below is the list of codes, which never change. The details are fixed texts:
nothing that a client sent, no SQL and no trace gets into one.
"""

import json
from typing import Any

MEDIA_TYPE = "application/problem+json"

# code -> class; tests walk it to see that each code is documented and reached.
REGISTRY: dict[str, type["Problem"]] = {}


class Problem(Exception):
    """A refusal or failure with a stable code; raise one of the table, never this."""

    status: int
    code: str
    title: str | None = None
    detail: str | None = None
    retry_after: int | None = None  # seconds; sent as Retry-After
    challenge: str | None = None  # sent as WWW-Authenticate

    def __init__(self, detail: str | None = None, headers: dict[str, str] | None = None, **members: Any):
        """Keep `members` as further members of the document; None members are left out."""
        super().__init__(self.code)
        self.detail = detail or self.detail
        self.headers = dict(headers or {})
        if self.retry_after is not None:
            self.headers["Retry-After"] = str(self.retry_after)
        if self.challenge is not None:
            self.headers["WWW-Authenticate"] = self.challenge
        self.members = {name: value for name, value in members.items() if value is not None}

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
        document = self.to_document(request_id)
        # Another program's refusal may have a number that was parsed as a Decimal.
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=float).encode()


def _problem(status: int, code: str, detail: str | None = None, **more: Any) -> type[Problem]:
    """Return the class of a code, which is in REGISTRY then; `more` are other attributes of `Problem`."""
    title = code.replace("_", " ").capitalize()
    REGISTRY[code] = type(code, (Problem,), {"status": status, "code": code, "title": title, "detail": detail, **more})
    return REGISTRY[code]


MalformedJson = _problem(
    400,
    "malformed_json",
    "The body is not one JSON document in UTF-8 with unique names and numbers of ordinary length.",
    title="Malformed JSON",
)
InvalidRequest = _problem(400, "invalid_request", "The request breaks the contract; errors names each place.")
InvalidCursor = _problem(
    400, "invalid_cursor", "The cursor was not made by this list with these filters; start again without it."
)
AuthenticationRequired = _problem(
    401, "authentication_required", "Send a bearer token in the Authorization header.", challenge='Bearer realm="b2b"'
)
InvalidToken = _problem(
    401,
    "invalid_token",
    "The bearer token is not valid, or no longer.",
    challenge='Bearer realm="b2b", error="invalid_token"',
)
TokenRevoked = _problem(
    401,
    "token_revoked",
    "The operator's tokens were ended: by a log-out, another role or password, or since it may log in no more.",
    challenge='Bearer realm="b2b", error="invalid_token"',
)
InvalidCredentials = _problem(
    401, "invalid_credentials", "The username or the password is wrong.", challenge='Bearer realm="b2b"'
)
InsufficientScope = _problem(403, "insufficient_scope")
CallerNotAllowed = _problem(403, "caller_not_allowed", "This kind of caller may not use this route.")
NotFound = _problem(404, "not_found", "There is nothing at this address.")
CustomerNotFound = _problem(404, "customer_not_found", "There is no such customer.")
ProductNotFound = _problem(404, "product_not_found", "There is no such product.")
OrderNotFound = _problem(404, "order_not_found", "There is no such order.")
OperatorNotFound = _problem(404, "operator_not_found", "There is no such operator.")
MethodNotAllowed = _problem(
    405, "method_not_allowed", "This address does not take that method; Allow names those it takes."
)
RequestTimeout = _problem(408, "request_timeout", "The body stopped coming; nothing was done.")
EmailTaken = _problem(409, "email_taken", "Another customer has this email.")
UsernameTaken = _problem(409, "username_taken", "Another operator has this name.")
OwnAccount = _problem(409, "own_account", "Nobody changes their own role, or deactivates themselves.")
LastAdmin = _problem(409, "last_admin", "This is the last active admin; make another one first.")
SkuTaken = _problem(409, "sku_taken", "Another product has this SKU.", title="SKU taken")
DuplicateReference = _problem(
    409, "duplicate_reference", "This customer has an order with this reference that is not canceled."
)
InsufficientStock = _problem(409, "insufficient_stock", "There is not enough stock; nothing was taken.")
ProductInactive = _problem(409, "product_inactive", "A product of this order is no longer sold.")
OrderStateConflict = _problem(409, "order_state_conflict", "The order's status does not allow this.")
CancelWindowClosed = _problem(409, "cancel_window_closed", "The order was confirmed too long ago to be canceled.")
IdempotencyKeyInFlight = _problem(
    409,
    "idempotency_key_in_flight",
    "The first request with this key is still running; send this one again later.",
    retry_after=1,
)
PreconditionFailed = _problem(
    412, "precondition_failed", "The resource has changed since the version that If-Match names."
)
PayloadTooLarge = _problem(413, "payload_too_large", "The body is larger than 65536 bytes.")
UriTooLong = _problem(414, "uri_too_long", "The address is longer than the server takes.", title="URI too long")
UnsupportedMediaType = _problem(415, "unsupported_media_type", "Send the body as application/json in UTF-8.")
IdempotencyKeyReused = _problem(
    422, "idempotency_key_reused", "This key was used for another request; use a new key for a new effect."
)
TooManyLogins = _problem(429, "too_many_logins", "There were too many wrong log-ins; try again later.")
HeaderTooLarge = _problem(431, "header_too_large", "A header is longer than the server takes, or there are too many.")
InternalError = _problem(500, "internal_error", "Something is wrong on our side; the request id finds it in our log.")
UpstreamBroken = _problem(
    502,
    "upstream_broken",
    "A service gave an answer that makes no sense; the outcome is unknown. Repeat with the same key.",
)
CustomersUnavailable = _problem(
    503, "customers_unavailable", "The Customers API does not answer as it should; nothing was written.", retry_after=2
)
DatabaseUnavailable = _problem(
    503,
    "database_unavailable",
    "The database does not answer as it should. If this was a change, repeat it with the same key.",
    retry_after=2,
)
DatabaseReadOnly = _problem(
    503, "database_read_only", "The database takes no changes.", retry_after=2, title="Database read-only"
)
SchemaOutdated = _problem(
    503, "schema_outdated", "The database lacks a migration that this version needs.", retry_after=2
)
EventsNotAdopted = _problem(
    503,
    "events_not_adopted",
    "Events from before the last upgrade are not in the feed yet; whoever runs this has to run make adopt.",
    retry_after=60,
)
Busy = _problem(503, "busy", "Too many changes to the same rows at once; nothing was written.", retry_after=1)
UpstreamTimeout = _problem(
    504, "upstream_timeout", "A service did not answer in time; the outcome is unknown. Repeat with the same key."
)
