"""Request ids: one for each request, from the caller where it gives a fit one."""

import re
import uuid

_FIT = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what is safe in a log, a header and order_events


def new_request_id():
    """Return an id that no other request has."""
    return uuid.uuid4().hex


def is_fit(text):
    """Return whether an X-Request-ID header's value (None when absent) can be taken over."""
    return text is not None and _FIT.fullmatch(text) is not None
