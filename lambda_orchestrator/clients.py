"""One HTTP call to one of our services, and what its answer means for the saga.

Done      the service did it, and says so in the shape we know
Refused   the service will not do it, however often it is asked
Unknown   anything else: it may have been done or not
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from common import strict_json
from common.http_session import new_adapter, send
from common.problems import REGISTRY, IdempotencyKeyInFlight, MalformedJson

# Seconds for a whole call. Orders answers within milliseconds, and within 3.9 s when Customers
# hangs. What takes longer is repeated with the same key.
CALL_TIMEOUT = 4.0

# 4xx that say nothing of the caller's request: our own credentials were refused …
_CREDENTIALS = frozenset({401, 403})
# … or it may well pass the next time (RFC 9110, RFC 8470, RFC 6585).
_PASSING = frozenset({408, 425, 429})
# … or it speaks of an address that our programs would never ask for, so a base is wrong.
_WRONG_ADDRESS = frozenset({"not_found", "method_not_allowed"})


@dataclass(frozen=True)
class Done:
    """A success: the parsed body, and whether it was a replay."""

    body: dict[str, Any]
    replayed: bool


@dataclass(frozen=True)
class Refused:
    """A definitive 4xx: its status and problem document."""

    status: int
    problem: dict[str, Any]


@dataclass(frozen=True)
class Unknown:
    """No answer, a passing failure, or an answer that makes no sense (`is_broken`)."""

    is_broken: bool = False


class ServiceClient:
    """Calls one service by service token, over a kept-alive connection."""

    def __init__(self, base: str, service_token: str):
        self._base = base
        self._authorization = f"Bearer {service_token}"
        self._adapter = new_adapter()

    def call(
        self,
        method: str,
        path: str,
        is_expected: Callable[[Any], bool],
        headers: dict[str, str],
        body: dict[str, Any] | None = None,
        timeout: float = CALL_TIMEOUT,
    ) -> Done | Refused | Unknown:
        """Make one call; `is_expected` tells whether a success's body has the known shape.

        `timeout` in seconds bounds the whole call; CALL_TIMEOUT is its ceiling.
        """
        try:
            response = send(
                self._adapter,
                method,
                self._base + path,
                {"Authorization": self._authorization, **headers},
                body,
                min(CALL_TIMEOUT, timeout),
            )
        except requests.RequestException:
            return Unknown()
        return _outcome(response, is_expected)


def _outcome(response: requests.Response, is_expected: Callable[[Any], bool]) -> Done | Refused | Unknown:
    if response.status_code >= 500 or response.status_code in _PASSING:
        return Unknown()
    try:
        body = strict_json.loads(response.content)
    except MalformedJson:
        return Unknown(is_broken=True)
    if response.status_code in (200, 201) and is_expected(body):
        return Done(body, response.headers.get("Idempotent-Replayed") == "true")
    code = body.get("code") if isinstance(body, dict) else None
    if code == IdempotencyKeyInFlight.code:
        return Unknown()
    # A code that our services don't have comes from somewhere else.
    is_ours = 400 <= response.status_code < 500 and isinstance(code, str) and code in REGISTRY
    if is_ours and response.status_code not in _CREDENTIALS and code not in _WRONG_ADDRESS:
        return Refused(response.status_code, body)
    return Unknown(is_broken=True)
