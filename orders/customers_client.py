"""Asks the Customers API for one customer, over a connection kept by each thread."""

import threading
import time
from collections.abc import Callable
from typing import Any

import requests

from common.http_session import new_session, whole_call
from common.problems import CustomerNotFound, CustomersUnavailable

# A read of one row takes milliseconds. Twice this, and the caller's own time is spent.
CALL_TIMEOUT = 1.9
ATTEMPTS = 2  # a read may be repeated; the second also replaces a kept connection that died
PAUSE_SECONDS = 0.05

_FIELDS = {"id": int, "name": str, "email": str, "phone": (str, type(None))}


class CustomersClient:
    """`GET /internal/customers/{id}`, by service token."""

    def __init__(self, base: str, service_token: str, sleep: Callable[[float], object] = time.sleep):
        self._base = base
        self._headers = {"Authorization": f"Bearer {service_token}", "Accept": "application/json"}
        self._sleep = sleep
        self._local = threading.local()

    def fetch(self, customer_id: int, headers: dict[str, str]) -> dict[str, Any]:
        """Return {id, name, email, phone}; `headers` go with the question.

        Raises `CustomerNotFound`, and `CustomersUnavailable` after ATTEMPTS that timed
        out, broke, or gave anything but 200 or that 404.
        """
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(PAUSE_SECONDS)
            try:
                response = self._session().get(
                    f"{self._base}/internal/customers/{customer_id}",
                    headers={**headers, **self._headers},
                    timeout=whole_call(CALL_TIMEOUT),
                    # A redirect would carry the token to wherever it points.
                    allow_redirects=False,
                )
                body = response.json()
            except (requests.RequestException, ValueError):
                continue
            if response.status_code == 200 and _is_customer(body, customer_id):
                return body
            # A 404 counts only with its code: a wrong address answers 404 too.
            if response.status_code == 404 and isinstance(body, dict) and body.get("code") == CustomerNotFound.code:
                raise CustomerNotFound()
        raise CustomersUnavailable()

    def _session(self) -> requests.Session:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = new_session()
        return session


def _is_customer(body, customer_id):
    return (
        isinstance(body, dict)
        and body.keys() == _FIELDS.keys()
        and all(isinstance(body[name], kind) for name, kind in _FIELDS.items())
        and body["id"] == customer_id
    )
