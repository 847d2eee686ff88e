"""One line in the log, and the counters, for each request."""

import time

import falcon

from common import logs, metrics, tracing
from common.addresses import Addresses
from common.contract import METHODS
from common.database import Database
from common.web import Request, contract_path

_METHODS = {method.upper() for method in (*METHODS, "head", "options")}
# Asked all day long by machines: they have a line only where something is wrong.
_QUIET = {"/health", "/health/live", "/health/ready", "/metrics"}


class Telemetry:
    """Falcon middleware. It is the outermost, so its time is that of all the others."""

    def __init__(self, service: str, database: Database, addresses: Addresses):
        self._service = service
        self._spent = database.spent
        self._addresses = addresses

    def process_request(self, req: Request, resp: falcon.Response):
        """Start the clock."""
        self._spent.reset()
        req.context.started = time.perf_counter()

    def process_response(self, req: Request, resp: falcon.Response, resource: object, req_succeeded: bool):
        """Count and log what was answered."""
        context, status = req.context, resp.status_code
        seconds = time.perf_counter() - context.started
        route = contract_path(req.uri_template) if req.uri_template else "unmatched"
        method = req.method if req.method in _METHODS else "other"
        answer = resp.context.get("answer")
        replayed = answer is not None and answer.replayed
        metrics.of(metrics.REQUESTS, self._service, method, route, f"{status // 100}xx").inc()
        metrics.of(metrics.REQUEST_SECONDS, self._service, method, route).observe(seconds)
        if context.code:
            metrics.of(metrics.PROBLEMS, context.code).inc()
        if replayed:
            metrics.of(metrics.REPLAYS, context.operation).inc()
        if route in _QUIET and status < 400:
            return
        logs.log_request(
            status,
            request_id=context.request_id,
            correlation_id=tracing.correlation_id(req.get_header("X-Correlation-ID")),
            trace_id=tracing.trace_id(req.get_header),
            method=method,
            route=route,
            target=f"{answer.target_type}/{answer.target_id}" if answer else context.target,
            code=context.code,
            duration_ms=round(seconds * 1000, 2),
            db_ms=round(self._spent.seconds * 1000, 2),
            transactions=self._spent.transactions,
            retries=self._spent.retries,
            replayed=replayed,
            actor=context.caller and context.caller.actor,
            address=self._addresses.of(req),
            bytes=len(resp.data or b""),
        )
