"""One HTTP call to one of our services, and what its answer means for the saga: Done, Refused or Unknown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from common import strict_json
from common.problems import REGISTRY, IdempotencyKeyInFlight, MalformedJson

# Seconds: to connect, and to wait for an answer. Orders answers within milliseconds, and within 3.9 s when
# Customers hangs. What takes longer is repeated with the same key.
CONNECT_TIMEOUT = 1.0
CALL_TIMEOUT = 4.0

# 4xx that say nothing of the caller's request: it may well pass the next time (RFC 9110, RFC 8470, RFC 6585),
_PASSING = frozenset({408, 425, 429})
# or our own credentials or addresses are wrong.
_OUR_FAULT = {"authentication_required", "invalid_token", "insufficient_scope", "caller_not_allowed"}
_OUR_FAULT |= {"not_found", "method_not_allowed"}

# Of a refusal's headers. The challenge is that of `token_revoked`; Allow comes with what is our fault.
_HANDED_ON = ("Retry-After", "WWW-Authenticate")


@dataclass(frozen=True)
class Done:
    """A success: the parsed body, and whether it was a replay."""

    body: dict[str, Any]
    replayed: bool


@dataclass(frozen=True)
class Refused:
    """A definitive 4xx: its status, its problem document, and those of its headers that the caller can use."""

    status: int
    problem: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unknown:
    """No answer, a passing failure, or an answer that makes no sense (`is_broken`); `reason` is for the log."""

    is_broken: bool = False
    reason: str = field(default="", compare=False)


class ServiceClient:
    """Calls one service by service token, over a kept-alive connection."""

    def __init__(self, base: str, service_token: str):
        self._base = base
        self._session = requests.Session()
        # The environment's proxy or a ~/.netrc would divert a call, or replace its Authorization header.
        self._session.trust_env = False
        self._session.headers.update({"Authorization": f"Bearer {service_token}", "Accept": "application/json"})

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

        `timeout` is in seconds, for each address of the name to connect and for each read; CONNECT_TIMEOUT and
        CALL_TIMEOUT are its ceilings.
        """
        try:
            response = self._session.request(
                method,
                self._base + path,
                headers=headers,
                json=body,
                timeout=(min(CONNECT_TIMEOUT, timeout), min(CALL_TIMEOUT, timeout)),
                # A redirect turns a POST into a GET, and carries the token to wherever it points.
                allow_redirects=False,
            )
        except requests.RequestException as ex:
            return Unknown(reason=type(ex).__name__)
        return _outcome(response, is_expected)


def _outcome(response: requests.Response, is_expected: Callable[[Any], bool]) -> Done | Refused | Unknown:
    reason = f"answered {response.status_code}"
    if response.status_code >= 500 or response.status_code in _PASSING:
        return Unknown(reason=reason)
    try:
        body = strict_json.loads(response.content)
    except MalformedJson:
        return Unknown(is_broken=True, reason=reason)
    if response.status_code in (200, 201) and is_expected(body):
        return Done(body, response.headers.get("Idempotent-Replayed") == "true")
    code = body.get("code") if isinstance(body, dict) else None
    if code == IdempotencyKeyInFlight.code:
        return Unknown(reason=reason)
    # A code that our services don't have comes from somewhere else.
    if 400 <= response.status_code < 500 and isinstance(code, str) and code in REGISTRY.keys() - _OUR_FAULT:
        headers = {name: response.headers[name] for name in _HANDED_ON if name in response.headers}
        return Refused(response.status_code, body, headers)
    return Unknown(is_broken=True, reason=reason)
