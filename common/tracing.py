"""What names a request from one program to the next: its id, and the trace that the caller is in."""

import re
import uuid
from collections.abc import Callable

_FIT = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what is safe in a log, a header and order_events

# W3C Trace Context. We open no spans, so it goes on as it came; one that is not of its form is dropped.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def request_id(given: str | None = None) -> str:
    """Return an X-Request-ID header's value if it is fit to be used, else an id that no other request has."""
    return given if given and _FIT.fullmatch(given) else uuid.uuid4().hex


def headers_to_pass_on(get: Callable[[str], str | None], request_id: str) -> dict[str, str]:
    """Return the headers that a call to another program carries.

    `get(name)` returns a header of the request at hand, or None.
    """
    trace = _TRACEPARENT.fullmatch(get("traceparent") or "")
    return {"X-Request-ID": request_id} | ({"traceparent": trace[0]} if trace else {})


def trace_id(get: Callable[[str], str | None]) -> str | None:
    """Return the trace's id for the log, or None."""
    trace = _TRACEPARENT.fullmatch(get("traceparent") or "")
    return trace and trace[1]
