"""Asks the Customers API for a customer or a token, over kept connections."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import certifi
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from common import metrics, strict_json
from common.addresses import ADDRESS_HEADER
from common.problems import (
    CustomerNotFound,
    CustomersUnavailable,
    InvalidCredentials,
    MalformedJson,
    TooManyLogins,
)

# Seconds, for each address of the name and each read from it. A read of one row takes milliseconds, a password some
# fifty. A caller has time for two such calls.
CONNECT_TIMEOUT = 1.0
CALL_TIMEOUT = 1.9
ATTEMPTS = 2  # a read may be repeated; the second also replaces a kept connection that died

# A bulkhead: while Customers hangs, this many of a worker's threads wait for it, and the others go on. A call waits
# TURN_SECONDS for its turn. Once one has waited in vain, the others don't wait until Customers answers again.
CALLS_AT_ONCE = 2  # each takes milliseconds
TURN_SECONDS = 1
LOGINS_AT_ONCE = 1  # anybody may send one; the other call is for orders


class CustomersClient:
    """`GET /internal/customers/{id}` by service token, and `POST /auth/token`."""

    def __init__(self, base: str, service_token: str):
        # The pool alone, without the session of requests, which takes 0.3 ms more of a processor for each order.
        manager = PoolManager(maxsize=CALLS_AT_ONCE, ca_certs=certifi.where())
        self._pool = manager.connection_from_url(base)
        self._prefix = parse_url(base).path or ""
        self._authorization = {"Authorization": f"Bearer {service_token}"}
        self._turns = threading.BoundedSemaphore(CALLS_AT_ONCE)
        self._has_hung = False
        self._logins = threading.BoundedSemaphore(LOGINS_AT_ONCE)

    def fetch(self, customer_id: int, headers: dict[str, str]) -> dict[str, Any]:
        """Return {id, name, email, phone}; `headers` go with the question.

        Raises `CustomerNotFound`, and `CustomersUnavailable` after ATTEMPTS that timed
        out, broke, or gave anything but 200 or that 404.
        """
        status, body, _ = self._call(
            "GET",
            f"/internal/customers/{customer_id}",
            {**headers, **self._authorization},
            lambda status, body: (
                (status == 200 and body.keys() == {"id", "name", "email", "phone"} and body["id"] == customer_id)
                # A 404 counts only with its code: a wrong address answers 404 too.
                or (status == 404 and body.get("code") == CustomerNotFound.code)
            ),
        )
        if status == 404:
            raise CustomerNotFound()
        return body

    def fetch_token(self, credentials: dict[str, str], address: str, headers: dict[str, str]) -> dict[str, Any]:
        """Return {token, token_type, expires_in} for {username, password}; `headers` go with the question.

        It counts as a log-in from `address`. Raises `InvalidCredentials`, `TooManyLogins`, and `CustomersUnavailable`
        as `fetch` does, and at once when LOGINS_AT_ONCE others are running. A log-in may be repeated as well.
        """
        if not self._logins.acquire(blocking=False):
            raise CustomersUnavailable("Too many log-ins at once; try again.")
        try:
            status, body, answered = self._call(
                "POST",
                "/auth/token",
                {**headers, **self._authorization, ADDRESS_HEADER: address, "Content-Type": "application/json"},
                lambda status, body: (
                    (status == 200 and body.keys() == {"token", "token_type", "expires_in"})
                    or (status == 401 and body.get("code") == InvalidCredentials.code)
                    or (status == 429 and body.get("code") == TooManyLogins.code)
                ),
                strict_json.dumps(credentials),
            )
        finally:
            self._logins.release()
        if status == 401:
            raise InvalidCredentials()
        if status == 429:
            raise TooManyLogins(headers={"Retry-After": answered["Retry-After"]})
        return body

    def _call(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        is_answer: Callable[[int, dict[str, Any]], bool],
        content: bytes | None = None,
    ) -> tuple[int, dict[str, Any], Mapping[str, str]]:
        """Return (status, parsed body, headers) of the first attempt that `is_answer(status, body)` takes."""
        cause: Exception = TimeoutError("too many calls to Customers wait for it")
        for _ in range(ATTEMPTS):
            if not self._turns.acquire(timeout=0 if self._has_hung else TURN_SECONDS):
                self._has_hung = True
                break
            started, outcome = time.perf_counter(), "failed"
            try:
                response = self._pool.urlopen(
                    method,
                    self._prefix + path,
                    content,
                    {**headers, "Accept": "application/json"},
                    timeout=Timeout(total=CALL_TIMEOUT, connect=CONNECT_TIMEOUT),
                    # A redirect would carry the secret to wherever it points.
                    redirect=False,
                    retries=False,
                )
                outcome = "answered"
                body = strict_json.loads(response.data)
            except (HTTPError, MalformedJson) as ex:
                cause = ex
                continue
            finally:
                self._turns.release()
                metrics.of(metrics.UPSTREAM_SECONDS, outcome).observe(time.perf_counter() - started)
            self._has_hung = False
            if isinstance(body, dict) and is_answer(response.status, body):
                return response.status, body, response.headers
            cause = ValueError(f"Customers answered {response.status}")
        raise CustomersUnavailable() from cause
