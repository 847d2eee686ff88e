"""A Falcon app as a Lambda function behind API Gateway: serverless-wsgi, made total.

A handler that raises is a Lambda error, and the caller gets an answer of API Gateway's
own. So what goes wrong outside the app is a problem document too, a missing setting
included.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import falcon
import serverless_wsgi

from common import logs, tracing
from common.api_gateway import GatewayRequest, make_response, read_event
from common.problems import MEDIA_TYPE, InternalError, Problem

# What is not in this list goes out in base64, and as such reaches clients that send no Accept.
serverless_wsgi.TEXT_MIME_TYPES.append(MEDIA_TYPE)


def make_handler(service: str, get_app: Callable[[], falcon.App]) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Return the Lambda handler of the app that `get_app()` builds; it takes payload formats 1.0 and 2.0."""
    logs.configure(service, "stdout")
    get_app = functools.cache(get_app)
    # Built now, for the reason that lambda_orchestrator/handler.py gives.
    with contextlib.suppress(Exception):
        get_app()

    def handle(event, context):
        """Answer one API Gateway proxy event; never raises."""
        request_id = tracing.request_id()
        try:
            request = read_event(event)
            request_id = tracing.request_id(request.header("X-Request-ID"))
            return _call(get_app(), request, context)
        except Problem as problem:
            return _refuse(problem, request_id, problem)
        except BaseException as ex:  # noqa: BLE001 - SystemExit too: nothing may pass through
            return _refuse(InternalError(), request_id, ex)

    return handle


def _call(app: falcon.App, request: GatewayRequest, context: Any) -> dict[str, Any]:
    """Let serverless-wsgi call the app with the request, whatever format it came in."""
    event = {
        "version": "2.0",
        # serverless-wsgi would decode the path a second time, and cut it at a "?".
        "rawPath": quote(request.path),
        "rawQueryString": request.query_string,
        "headers": {"host": "function", **request.headers},  # an event that is no HTTP request names none
        "requestContext": {"http": {"method": request.method, "sourceIp": request.address}},
        "body": request.body,
    }
    result = serverless_wsgi.handle_request(app, event, context)
    if result["statusCode"] in (204, 304):
        # werkzeug's, for a body that isn't there; a cache would take it over from a 304 (RFC 9111, section 4.3.4).
        result["headers"].pop("Content-Type", None)
    return result


def _refuse(problem: Problem, request_id: str, cause: BaseException) -> dict[str, Any]:
    logs.log_failure(request_id, problem.code, cause)
    logs.log_request(problem.status, request_id=request_id, code=problem.code)
    return make_response(problem.status, MEDIA_TYPE, problem.to_json(request_id), {"X-Request-ID": request_id})
