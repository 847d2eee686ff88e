"""What names a request from one program to the next: its id, and the trace that the caller is in."""

import re
import uuid
from collections.abc import Callable

_FIT = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what is safe in a log, a header and order_events

# W3C Trace Context, and what API Gateway and load balancers of AWS add. We open no spans,
# so each goes on as it came; one that is not of its form is dropped.
_TRACE_HEADERS = {
    "traceparent": re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"),
    "X-Amzn-Trace-Id": re.compile(
        r"(?:Self=[0-9a-f-]{1,40};)?Root=([0-9a-f-]{1,40})(?:;[A-Za-z]{1,16}=[0-9A-Za-z:|.-]{1,64}){0,8}"
    ),
}


def request_id(given: str | None = None) -> str:
    """Return an X-Request-ID header's value if it is fit to be used, else an id that no other request has."""
    return given if given and _FIT.fullmatch(given) else uuid.uuid4().hex


def headers_to_pass_on(get: Callable[[str], str | None], request_id: str) -> dict[str, str]:
    """Return the headers that a call to another program carries.

    `get(name)` returns a header of the request at hand, or None.
    """
    return {"X-Request-ID": request_id} | {name: match[0] for name, match in _traces(get).items()}


def trace_id(get: Callable[[str], str | None]) -> str | None:
    """Return the trace's id for the log, W3C's before AWS's, or None."""
    return next((match[1] for match in _traces(get).values()), None)


def _traces(get) -> dict[str, re.Match[str]]:
    """Return {header: match with the trace's id} of the trace headers that are there and of their form."""
    matches = {name: pattern.fullmatch(get(name) or "") for name, pattern in _TRACE_HEADERS.items()}
    return {name: match for name, match in matches.items() if match}
