"""The Lambda's entry point: `handle(event, context)` always returns an HTTP response.

A handler that raises gives the caller an answer that is no problem document, and under
serverless offline none at all.
"""

import contextlib
import functools
import os
import time
import uuid
from typing import Any
from urllib.parse import quote

from common import conditional, config, logs, publication, strict_json
from common.api_gateway import GatewayRequest, make_response, read_event, without_body
from common.auth import Authenticator, Caller
from common.contract import Operation, load
from common.problems import MEDIA_TYPE, InternalError, MethodNotAllowed, NotFound, Problem
from common.tracing import headers_to_pass_on, request_id, trace_id
from lambda_orchestrator.clients import ServiceClient
from lambda_orchestrator.saga import Saga, make_body

# Kept back from the time that Lambda leaves us, to render and return the answer.
MARGIN_SECONDS = 0.5
# Where no context says how long there is: within API Gateway's 29 s.
DEFAULT_SECONDS = 25.0

_JSON = "application/json"


def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one API Gateway proxy event, of payload format 1.0 or 2.0."""
    started = time.monotonic()
    line: dict[str, Any] = {"request_id": request_id(), "correlation_id": None}
    try:
        response = _answer(event, context, line)
    except Problem as problem:
        response = _failure(problem, line)
    except BaseException as ex:  # noqa: BLE001 - also SystemExit: nothing may pass through
        response = _failure(InternalError(), line)
        logs.log_failure(line["request_id"], InternalError.code, ex)
    response["headers"]["X-Request-ID"] = line["request_id"]
    line["bytes"] = len(response["body"].encode())
    if line.get("method") == "HEAD":
        response = without_body(response)
    line["duration_ms"] = round(1000 * (time.monotonic() - started), 2)
    logs.log_request(response["statusCode"], **line)
    return response


def _answer(event: dict[str, Any], context: Any, line: dict[str, Any]) -> dict[str, Any]:
    """Return the proxy response; `line` collects what the log shows."""
    # Named first of all, so that every answer can carry the name.
    request = read_event(event)
    line["request_id"] = request_id(request.header("X-Request-ID"))
    line["correlation_id"] = line["request_id"]
    line["trace_id"] = trace_id(request.header)
    line["method"] = request.method
    line["address"] = request.address or None
    return _program().answer(request, _seconds_left(context), line)


class Program:
    """What is built once and kept from one event to the next."""

    def __init__(self, settings: config.Settings, document: dict[str, Any]):
        self._operations = publication.enforced(document, settings).operations
        self._document = document
        self._authenticator = Authenticator(settings)
        token = settings.service_tokens[0]
        self._saga = Saga(
            ServiceClient(settings.customers_api_base, token), ServiceClient(settings.orders_api_base, token)
        )

    def answer(self, request: GatewayRequest, seconds_left: float, line: dict[str, Any]) -> dict[str, Any]:
        """Return the proxy response; raises the `Problem` that a refusal is."""
        line["route"] = "unmatched"
        operation = self._find_operation(request)
        line["route"] = operation.path
        checked = operation.check(self._authenticator, request.header, request.query_string, lambda: request.body)
        if checked.caller is not None:
            # As it was sent: Orders knows a repeat by that.
            return self._create_and_confirm(checked.caller, checked.sent, request, seconds_left, line)
        if operation.path == "/openapi.json":
            return self._send_document(checked.headers["If-None-Match"])
        body = {"ok": True, "status": "ok", "service": "orchestrator"}
        return make_response(200, _JSON, strict_json.dumps(body), {})

    def _find_operation(self, request: GatewayRequest) -> Operation:
        path = request.path.removesuffix("/")
        methods = {method: operation for (method, known), operation in self._operations.items() if known == path}
        if not methods:
            raise NotFound()
        if request.method not in methods:
            raise MethodNotAllowed(headers={"Allow": ", ".join(methods)})
        return methods[request.method]

    @functools.cached_property
    def _served(self) -> bytes:
        """The document as it is served. It takes 5 ms to make, which a start for an order has no use for."""
        return strict_json.dumps(publication.published(self._document))

    def _send_document(self, if_none_match: str | None) -> dict[str, Any]:
        tag = conditional.content_tag(self._served)
        headers = {**publication.HEADERS, "ETag": tag}
        if conditional.is_unmodified(if_none_match, tag):
            return make_response(304, _JSON, b"", headers)
        return make_response(200, _JSON, self._served, headers)

    def _create_and_confirm(
        self, caller: Caller, body: dict[str, Any], request: GatewayRequest, seconds_left: float, line: dict[str, Any]
    ) -> dict[str, Any]:
        line["actor"] = caller.name
        line["correlation_id"] = body.get("correlation_id") or _correlation_id(caller, body["idempotency_key"])
        headers = {
            **headers_to_pass_on(request.header, line["request_id"]),
            "X-On-Behalf-Of": caller.actor,
            "X-On-Behalf-Of-Version": str(caller.token_version),
            "X-Correlation-ID": quote(line["correlation_id"], safe=""),  # a header's value is ASCII
        }
        deadline = time.monotonic() + seconds_left
        customer, order, replayed = self._saga.run(body, headers, deadline)
        line["target"] = f"order/{order['id']}"
        line["replayed"] = replayed
        replay = {"Idempotent-Replayed": "true"} if replayed else {}
        return make_response(201, _JSON, make_body(line["correlation_id"], customer, order), replay)


@functools.cache
def _program() -> Program:
    return Program(config.load_settings(os.environ), load("orchestrator"))


# On stdout: Lambda keeps it, and serverless offline loses most of stderr.
logs.configure("orchestrator", "stdout")

# Lambda gives a function that starts more of a processor than it has later. What fails now
# fails again with the first event, where it is answered.
with contextlib.suppress(Exception):
    _program()


def _correlation_id(caller: Caller, key: str) -> str:
    # Made from the key, so that a repeat gets the same body, this field included.
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{caller.key_scope}\n{key}"))


def _seconds_left(context: Any) -> float:
    try:
        return context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    except AttributeError:
        return DEFAULT_SECONDS


def _failure(problem: Problem, line: dict[str, Any]) -> dict[str, Any]:
    line["code"] = problem.code
    # A refusal stays one; a failure may have happened after the order was made.
    problem.members.setdefault("retryable", problem.status >= 500)
    problem.members.update(success=False, correlationId=line["correlation_id"] or line["request_id"])
    return make_response(problem.status, MEDIA_TYPE, problem.to_json(line["request_id"]), problem.headers)
