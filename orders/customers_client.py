"""Asks the Customers API for a customer or a token, over kept connections."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from common import strict_json
from common.auth import TOKEN_SECONDS
from common.http_session import new_pool, whole_call
from common.problems import CustomerNotFound, CustomersUnavailable, InvalidCredentials, MalformedJson

# A read of one row takes milliseconds, a password some fifty. Twice this, and the caller's own time is spent.
CALL_TIMEOUT = 1.9
ATTEMPTS = 2  # a read may be repeated; the second also replaces a kept connection that died
PAUSE_SECONDS = 0.05

_CUSTOMER_FIELDS = {"id": int, "name": str, "email": str, "phone": (str, type(None))}
_TOKEN_FIELDS = {"token": str, "token_type": str, "expires_in": int}

# Each log-in holds a thread while Customers works on the password, and anybody may send one. The
# others of a worker's threads are for orders.
LOGINS_AT_ONCE = 2


class CustomersClient:
    """`GET /internal/customers/{id}` by service token, and `POST /auth/token`."""

    def __init__(self, base: str, service_token: str, sleep: Callable[[float], object] = time.sleep):
        self._pool = new_pool(base)
        self._prefix = parse_url(base).path or ""
        self._authorization = {"Authorization": f"Bearer {service_token}"}
        self._sleep = sleep
        self._logins = threading.BoundedSemaphore(LOGINS_AT_ONCE)

    def fetch(self, customer_id: int, headers: dict[str, str]) -> dict[str, Any]:
        """Return {id, name, email, phone}; `headers` go with the question.

        Raises `CustomerNotFound`, and `CustomersUnavailable` after ATTEMPTS that timed
        out, broke, or gave anything but 200 or that 404.
        """
        path = f"/internal/customers/{customer_id}"
        for status, body in self._attempts("GET", path, {**headers, **self._authorization}):
            if status == 200 and _is_customer(body, customer_id):
                return body
            # A 404 counts only with its code: a wrong address answers 404 too.
            if status == 404 and _is_problem(body, CustomerNotFound):
                raise CustomerNotFound()
        raise CustomersUnavailable()

    def fetch_token(self, credentials: dict[str, str], headers: dict[str, str]) -> dict[str, Any]:
        """Return {token, token_type, expires_in} for {username, password}; `headers` go with the question.

        Raises `InvalidCredentials`, and `CustomersUnavailable` as `fetch` does, and at once when
        LOGINS_AT_ONCE others are running. A log-in changes nothing, so it may be repeated as well.
        """
        if not self._logins.acquire(blocking=False):
            raise CustomersUnavailable("Too many log-ins at once; try again.")
        try:
            headers = {**headers, "Content-Type": "application/json"}
            for status, body in self._attempts("POST", "/auth/token", headers, strict_json.dumps(credentials)):
                if status == 200 and _is_token(body):
                    return body
                if status == 401 and _is_problem(body, InvalidCredentials):
                    raise InvalidCredentials()
        finally:
            self._logins.release()
        raise CustomersUnavailable()

    def _attempts(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None = None
    ) -> Iterator[tuple[int, Any]]:
        """Yield (status, parsed body) of each attempt that gave an answer in JSON."""
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(PAUSE_SECONDS)
            try:
                response = self._pool.urlopen(
                    method,
                    self._prefix + path,
                    content,
                    {**headers, "Accept": "application/json"},
                    timeout=whole_call(CALL_TIMEOUT),
                    # A redirect would carry the secret to wherever it points.
                    redirect=False,
                    retries=False,
                )
                body = strict_json.loads(response.data)
            except (HTTPError, MalformedJson):
                continue
            yield response.status, body


def _is_customer(body, customer_id):
    return _has_fields(body, _CUSTOMER_FIELDS) and body["id"] == customer_id


def _is_token(body):
    return (
        _has_fields(body, _TOKEN_FIELDS)
        and re.fullmatch(r"[A-Za-z0-9._-]{1,4096}", body["token"]) is not None
        and body["token_type"] == "Bearer"  # noqa: S105 - what kind it is
        and 0 < body["expires_in"] <= TOKEN_SECONDS
    )


def _has_fields(body, fields):
    return (
        isinstance(body, dict)
        and body.keys() == fields.keys()
        # True and False are numbers to Python.
        and all(isinstance(body[name], kind) and not isinstance(body[name], bool) for name, kind in fields.items())
    )


def _is_problem(body, problem):
    return isinstance(body, dict) and body.get("code") == problem.code
