"""Asks the Customers API for a customer or a token, over kept connections."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import certifi
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from common import strict_json
from common.addresses import ADDRESS_HEADER
from common.problems import (
    CustomerNotFound,
    CustomersUnavailable,
    InvalidCredentials,
    MalformedJson,
    TooManyLogins,
)

# Seconds. A read of one row takes milliseconds, a password some fifty. A caller has time for two such calls.
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
        path = f"/internal/customers/{customer_id}"
        for status, body, _ in self._attempts("GET", path, {**headers, **self._authorization}):
            if status == 200 and body.keys() == {"id", "name", "email", "phone"} and body["id"] == customer_id:
                return body
            # A 404 counts only with its code: a wrong address answers 404 too.
            if status == 404 and body.get("code") == CustomerNotFound.code:
                raise CustomerNotFound()
        raise CustomersUnavailable()

    def fetch_token(self, credentials: dict[str, str], address: str, headers: dict[str, str]) -> dict[str, Any]:
        """Return {token, token_type, expires_in} for {username, password}; `headers` go with the question.

        It counts as a log-in from `address`. Raises `InvalidCredentials`, `TooManyLogins`, and `CustomersUnavailable`
        as `fetch` does, and at once when LOGINS_AT_ONCE others are running. A log-in may be repeated as well.
        """
        if not self._logins.acquire(blocking=False):
            raise CustomersUnavailable("Too many log-ins at once; try again.")
        try:
            headers = {**headers, **self._authorization, ADDRESS_HEADER: address, "Content-Type": "application/json"}
            content = strict_json.dumps(credentials)
            for status, body, answered in self._attempts("POST", "/auth/token", headers, content):
                if status == 200 and body.keys() == {"token", "token_type", "expires_in"}:
                    return body
                if status == 401 and body.get("code") == InvalidCredentials.code:
                    raise InvalidCredentials()
                if status == 429 and body.get("code") == TooManyLogins.code:
                    raise TooManyLogins(headers={"Retry-After": answered["Retry-After"]})
        finally:
            self._logins.release()
        raise CustomersUnavailable()

    def _attempts(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None = None
    ) -> Iterator[tuple[int, dict[str, Any], Mapping[str, str]]]:
        """Yield (status, parsed body, headers) of each attempt that gave a JSON object."""
        for _ in range(ATTEMPTS):
            if not self._turns.acquire(timeout=0 if self._has_hung else TURN_SECONDS):
                self._has_hung = True
                return
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
                body = strict_json.loads(response.data)
            except (HTTPError, MalformedJson):
                continue
            finally:
                self._turns.release()
            self._has_hung = False
            if isinstance(body, dict):
                yield response.status, body, response.headers
