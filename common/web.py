"""What both Falcon services share: the contract enforced before a responder, problems after.

A responder finds what was checked in `req.context`, see `RequestContext`.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import falcon
from falcon.routing import BaseConverter
from falcon.util.structures import Context

from common import conditional, idempotency, logs, problems, strict_json, tracing
from common.auth import Authenticator, Caller, Origin
from common.contract import MAX_BODY_BYTES, METHODS, Contract
from common.current_operators import CurrentOperators
from common.schemas import make_error

# A name, an IPv4 address or an IPv6 one in brackets, and a port (RFC 3986, section 3.2.2).
_HOST = re.compile(r"([A-Za-z0-9._~%-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?")


class RequestContext(Context):
    """`req.context`: what is known of a request when its responder runs, all of it checked."""

    request_id: str
    caller: Caller  # None where the operation is open to all, or nobody was recognized
    query: dict[str, Any]
    headers: dict[str, str | None]
    body: dict[str, Any]
    key: idempotency.Key | None

    # For the log and the counters.
    started: float
    operation: str  # its id
    target: str | None  # which order, customer or product
    code: str | None  # of the problem that is the answer

    def __init__(self):
        self.caller = self.target = self.code = None  # pyright: ignore[reportAttributeAccessIssue] - see above


class Request(falcon.Request):
    """Falcon's, with a context of ours."""

    context_type = RequestContext
    context: RequestContext  # pyright: ignore[reportIncompatibleVariableOverride] - made by the line above


def origin(req: Request) -> Origin:
    """Return who asks for a change, and under which request id."""
    return Origin(req.context.caller.actor, req.context.request_id)


class IdConverter(BaseConverter):
    """`{order_id:id}`: 1 to 2^63 - 1 in plain digits; Falcon's `:int` also takes +1, 1_000, ١."""

    def convert(self, value: str) -> int | None:
        """Return the id, or None, which Falcon answers with 404."""
        if not re.fullmatch(r"[1-9][0-9]{0,18}", value) or int(value) >= 2**63:
            return None
        return int(value)


def build_app(
    contract: Contract,
    authenticator: Authenticator,
    operators: CurrentOperators,
    routes: Sequence[tuple[str, object]],
    *middleware: Any,
) -> falcon.App:
    """Return a Falcon app that serves `routes`, (template, resource) each, behind `middleware` and the contract's.

    Raises ValueError unless routes and contract name the same operations.
    """
    checks = ContractMiddleware(contract, authenticator, operators)
    app = falcon.App(middleware=[*middleware, checks], request_type=Request)
    app.router_options.converters["id"] = IdConverter
    app.req_options.strip_url_path_trailing_slash = True
    app.add_error_handler(Exception, _answer_failure)
    app.add_error_handler(falcon.HTTPError, _answer_http_error)
    app.add_error_handler(problems.Problem, _answer_problem)
    for template, resource in routes:
        app.add_route(template, resource)
    served = {
        (method.upper(), contract_path(template))
        for template, resource in routes
        for method in (*METHODS, "head")
        if hasattr(resource, f"on_{method}")
    }
    for template, resource in routes:
        if getattr(resource, "on_head", None) != getattr(resource, "on_get", None):
            raise ValueError(f"{template} does not answer HEAD as it does GET")
    if served != contract.operations.keys():
        raise ValueError(f"routes and contract differ: {sorted(served ^ contract.operations.keys())}")
    return app


def contract_path(template: str) -> str:
    """Return the contract's path for a template of a route."""
    return template.replace(":id}", "}")


class ContractMiddleware:
    """Security, then parameters and headers, then the body: each as the contract says."""

    def __init__(self, contract: Contract, authenticator: Authenticator, operators: CurrentOperators):
        self._operations = contract.operations
        self._authenticator = authenticator
        self._operators = operators

    def process_request(self, req: Request, resp: falcon.Response):
        """Name the request, first of all, so that every answer can carry the name; then look at its target."""
        req.context.request_id = tracing.request_id(req.get_header("X-Request-ID"))
        resp.set_header("X-Request-ID", req.context.request_id)
        resp.set_headers(conditional.HEADERS)
        # RFC 9112, section 3.2; HTTP/1.0 needs none. gunicorn joins two of them by a comma.
        if req.env["SERVER_PROTOCOL"] != "HTTP/1.0" and not _HOST.fullmatch(req.get_header("Host") or ""):
            raise problems.InvalidRequest(errors=[make_error("header:Host", "pattern", "must be one host name")])
        # Falcon would pass over them, and the same order would have two addresses.
        if "//" in req.env["PATH_INFO"]:
            raise problems.NotFound()

    def process_resource(self, req: Request, resp: falcon.Response, resource: object, params: dict[str, Any]):
        """Check everything that the contract can say, before the responder runs."""
        operation = self._operations.get((req.method, contract_path(req.uri_template or "")))
        if operation is None:
            return  # Falcon's responder for 405 or OPTIONS comes next
        req.context.operation = operation.id
        for name, value in params.items():
            if name.endswith("_id"):
                req.context.target = f"{name.removesuffix('_id')}/{value}"
        checked = operation.check(
            self._authenticator, req.get_header, req.query_string, partial(_read_bytes, req), self._operators
        )
        req.context.update(vars(checked))
        if checked.key is not None:
            req.context.key = idempotency.Key(
                caller=req.context.caller.key_scope,
                operation=operation.id,
                key=checked.key,
                fingerprint=idempotency.fingerprint(req.method, req.path, checked.sent),
            )

    def process_response(self, req: Request, resp: falcon.Response, resource: object, req_succeeded: bool):
        """Read a body that was refused unread.

        gunicorn would read it after the answer. The next request may have come by then: gunicorn
        reads a part of that one, too, and leaves it until more bytes come.
        """
        if resp.status_code == problems.RequestTimeout.status:
            return  # it would stop again
        with suppress(Exception):  # the client has stopped in the middle, or its chunks make no sense
            for _ in range(16):  # a megabyte; whoever sends more finds the connection closed
                if not req.env["wsgi.input"].read(MAX_BODY_BYTES):
                    return


def _read_bytes(req):
    # A chunked body has no length: one byte more than it may have tells that it is too long.
    is_chunked = req.get_header("Transfer-Encoding") is not None
    length = MAX_BODY_BYTES + 1 if is_chunked else req.content_length or 0
    if length > MAX_BODY_BYTES and not is_chunked:
        raise problems.PayloadTooLarge()
    try:
        data = req.env["wsgi.input"].read(length)
    except BlockingIOError as ex:  # EAGAIN: nothing came for CLIENT_SECONDS (common/gunicorn_worker.py)
        raise problems.RequestTimeout() from ex
    except Exception as ex:  # the client is gone, or its chunks make no sense; each server has its own exceptions
        raise problems.MalformedJson() from ex
    if len(data) < length and not is_chunked:
        raise problems.MalformedJson()
    return data


# --- answers ---------------------------------------------------------------------------


def send_json(resp: falcon.Response, document: dict[str, Any]):
    """Answer 200 with a document, rendered here and not after the middleware."""
    resp.data = strict_json.dumps(document)
    resp.content_type = falcon.MEDIA_JSON


def send_tagged(req: Request, resp: falcon.Response, document: dict[str, Any], etag: str):
    """Answer 200 with a document and its entity tag, or 304 if the client has it already."""
    resp.set_header("ETag", etag)
    resp.set_header("Cache-Control", conditional.PRIVATE)
    if conditional.is_unmodified(req.context.headers["If-None-Match"], etag):
        resp.status = falcon.HTTP_304
    else:
        send_json(resp, document)


def send_answer(resp: falcon.Response, answer: idempotency.Answer, location: str | None = None):
    """Send a workflow's `Answer`; `location` is a path with a place for the new id."""
    resp.context.answer = answer
    resp.status = answer.status
    if answer.body:
        resp.data = answer.body
        resp.content_type = falcon.MEDIA_JSON
    if answer.etag is not None:
        resp.set_header("ETag", answer.etag)
    if location is not None:
        resp.set_header("Location", location.format(answer.target_id))
    if answer.replayed:
        resp.set_header("Idempotent-Replayed", "true")


# --- failures --------------------------------------------------------------------------


def _answer_problem(req, resp, ex, params):
    req.context.code = ex.code
    if ex.status in (500, 503):
        logs.log_failure(req.context.request_id, ex.code, ex.__cause__)
    resp.status = ex.status
    resp.content_type = problems.MEDIA_TYPE
    resp.data = ex.to_json(req.context.request_id)
    resp.set_headers(ex.headers)


# What Falcon itself raises before or instead of a responder, in our words.
_FALCON_ERRORS = {
    400: problems.InvalidRequest,
    404: problems.NotFound,
    405: problems.MethodNotAllowed,
}


def _answer_http_error(req, resp, ex, params):
    headers = {name: value for name, value in (ex.headers or {}).items() if name == "Allow"}
    _answer_problem(req, resp, _FALCON_ERRORS.get(ex.status_code, problems.InternalError)(headers=headers), params)


def _answer_failure(req, resp, ex, params):
    problem = problems.InternalError()
    problem.__cause__ = ex
    _answer_problem(req, resp, problem, params)
