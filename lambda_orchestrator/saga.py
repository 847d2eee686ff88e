"""Create and confirm an order in one call: three steps, each safe to repeat.

No state is kept here. Every call to Orders carries the caller's idempotency key, so a
repeat after a crash at any point finds what is already done and goes on from there.
"""

import logging
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from common import strict_json
from common.problems import CustomerNotFound, Problem, UpstreamBroken, UpstreamTimeout
from lambda_orchestrator.clients import Done, Refused, ServiceClient

log = logging.getLogger(__name__)

VALIDATE_CUSTOMER = "validate_customer"
CREATE_ORDER = "create_order"
CONFIRM_ORDER = "confirm_order"

BACKOFF_BASE_SECONDS = 0.05
BACKOFF_MAX_SECONDS = 1.0
# Less than this is no time for a call that has a transaction behind it.
MIN_CALL_SECONDS = 0.1

# The customer is checked once more by Orders; a slow answer here must not eat the time.
CUSTOMER_SECONDS = 1.5

_CUSTOMER_FIELDS = {"id", "name", "email", "phone"}
_ORDER_FIELDS = {"id", "customer", "status", "total_cents", "items"}


# What the orchestrator says itself. Every other member of a service's problem is handed on.
_OWN_MEMBERS = {"status", "code", "instance", "request_id"}
_OWN_MEMBERS |= {"step", "compensation", "retryable", "success", "correlationId"}


class StepRefused(Problem):
    """A step's definitive refusal, handed on with all that the service says of it."""

    def __init__(self, refused: Refused, **members: Any):
        """Add `members` to those of the service's problem document."""
        self.status = refused.status
        self.code = refused.problem["code"]
        super().__init__(headers=refused.headers)
        handed_on = {name: value for name, value in refused.problem.items() if name not in _OWN_MEMBERS}
        self.members = {**handed_on, **members, "retryable": False}


class Saga:
    """Runs the steps against the two services, within a deadline."""

    def __init__(
        self,
        customers: ServiceClient,
        orders: ServiceClient,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
    ):
        self._customers = customers
        self._orders = orders
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter

    def run(
        self, request: dict[str, Any], headers: dict[str, str], deadline: float
    ) -> tuple[dict[str, Any], dict[str, Any], bool]:
        """Return (customer, order, replayed) once the order is confirmed.

        `headers` go with every call: who is acted for, request id, trace, correlation id.
        `deadline` is in the clock's seconds. Raises `StepRefused` after a definitive
        refusal, `UpstreamTimeout` or `UpstreamBroken` when the time is up.
        """
        # A refusal here ends nothing yet: an earlier call with this key may have made the
        # order before the customer was deleted. Orders knows, and refuses for the same reason.
        self._customers.call(
            "GET",
            f"/internal/customers/{request['customer_id']}",
            _is_customer,
            headers,
            timeout=min(CUSTOMER_SECONDS, max(MIN_CALL_SECONDS, deadline - self._monotonic())),
        )
        keyed = {**headers, "X-Idempotency-Key": request["idempotency_key"]}
        body = {name: request[name] for name in ("customer_id", "items", "customer_reference") if name in request}
        created = self._repeat(CREATE_ORDER, "/orders", "CREATED", keyed, body, deadline)
        if isinstance(created, Refused):
            is_customer = created.problem["code"] == CustomerNotFound.code
            raise StepRefused(created, step=VALIDATE_CUSTOMER if is_customer else CREATE_ORDER)

        path = f"/orders/{created.body['id']}"
        confirmed = self._repeat(CONFIRM_ORDER, f"{path}/confirm", "CONFIRMED", keyed, {}, deadline)
        if isinstance(confirmed, Refused):
            reason = {"reason": "confirm was refused"}
            # By nobody's name: the operator may be the one who is refused. And without the key, which is the operator's
            # own; a repeated cancel is answered like the first.
            unnamed = {name: value for name, value in headers.items() if not name.startswith("X-On-Behalf-Of")}
            canceled = self._repeat(CONFIRM_ORDER, f"{path}/cancel", "CANCELED", unnamed, reason, deadline)
            compensation = "order_canceled" if isinstance(canceled, Done) else "not_possible"
            raise StepRefused(confirmed, step=CONFIRM_ORDER, compensation=compensation)

        order = confirmed.body
        return order["customer"], {name: order[name] for name in order if name != "customer"}, confirmed.replayed

    def _repeat(self, step, path, status, headers, body, deadline) -> Done | Refused:
        """Make the same call to Orders until its outcome is known; return `Done` or `Refused`.

        It is done when the answer is an order with `status`.
        """
        attempt = 0
        is_broken = False
        while (left := deadline - self._monotonic()) >= MIN_CALL_SECONDS:
            outcome = self._orders.call("POST", path, partial(_is_order, status), headers, body, timeout=left)
            if isinstance(outcome, (Done, Refused)):
                return outcome
            is_broken = outcome.is_broken
            attempt += 1
            known = {"request_id": headers["X-Request-ID"], "step": step, "attempt": attempt, "broken": is_broken}
            log.warning("outcome unknown", extra={**known, "detail": outcome.reason})
            pause = min(BACKOFF_MAX_SECONDS, BACKOFF_BASE_SECONDS * 2**attempt)
            self._sleep(min(self._jitter(pause / 2, pause), max(0, deadline - self._monotonic())))
        raise (UpstreamBroken if is_broken else UpstreamTimeout)(step=step, retryable=True)


def make_body(correlation_id: str, customer: dict[str, Any], order: dict[str, Any]) -> bytes:
    """Return the body of a success, rendered: equal orders give equal bytes."""
    return strict_json.dumps(
        {"success": True, "correlationId": correlation_id, "data": {"customer": customer, "order": order}}
    )


def _is_customer(body):
    return isinstance(body, dict) and body.keys() >= _CUSTOMER_FIELDS


def _is_order(status, body):
    return (
        isinstance(body, dict)
        and body.keys() >= _ORDER_FIELDS
        and isinstance(body["id"], int)
        and body["status"] == status
        and _is_customer(body["customer"])
    )
