"""What names a request from one program to the next: its id, the correlation id, and the trace that it is in."""

import re
import uuid
from collections.abc import Callable
from urllib.parse import quote, unquote

_FIT = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what is safe in a log, a header and an event

# Any text without control characters, as the orchestrator takes it; percent-encoded in the header, which is ASCII.
_CORRELATION = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,128}")

# W3C Trace Context. We open no spans, so it goes on as it came; one that is not of its form is dropped.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# Where a vendor keeps whether the trace is recorded; of no use without the other.
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")


def request_id(given: str | None = None) -> str:
    """Return an X-Request-ID header's value if it is fit to be used, else an id that no other request has."""
    return given if given and _FIT.fullmatch(given) else uuid.uuid4().hex


def headers_to_pass_on(get: Callable[[str], str | None], request_id: str) -> dict[str, str]:
    """Return the headers that a call to another program carries.

    `get(name)` returns a header of the request at hand, or None.
    """
    headers = {"X-Request-ID": request_id}
    if correlation := correlation_id(get("X-Correlation-ID")):
        headers["X-Correlation-ID"] = quote(correlation, safe="")
    if trace := _TRACEPARENT.fullmatch(get("traceparent") or ""):
        headers["traceparent"] = trace[0]
        if state := _TRACESTATE.fullmatch(get("tracestate") or ""):
            headers["tracestate"] = state[0]
    return headers


def correlation_id(given: str | None) -> str | None:
    """Return the text in an X-Correlation-ID header, or None if it is none of ours."""
    if not given:
        return None
    text = unquote(given)
    return text if _CORRELATION.fullmatch(text) else None


def trace_id(get: Callable[[str], str | None]) -> str | None:
    """Return the trace's id for the log, or None."""
    given = get("traceparent")
    trace = given and _TRACEPARENT.fullmatch(given)
    return trace[1] if trace else None
