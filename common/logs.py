"""The log: one JSON object a line, whichever logger it comes from. A request has one line, `log_request`."""

import contextlib
import json
import logging
import os
import sys
import time
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from common import times
from common.problems import InternalError

# Of a request's line, in this order after time, level, event and service; null is what isn't known.
REQUEST = dict.fromkeys(
    (
        *("request_id", "correlation_id", "trace_id", "method", "route", "target", "status", "code"),
        *("duration_ms", "db_ms", "transactions", "retries", "replayed", "actor", "address", "bytes"),
    )
)
ONCE_IN_SECONDS = 1  # a failure of one kind

log = logging.getLogger(__name__)


class Formatter(JsonFormatter):
    """`{"time", "level", "event", "service"}`, and what the call gave as `extra`."""

    service: str | None = None  # whose lines they are, once that is known
    stream = "stderr"

    def __init__(self):
        super().__init__(
            ["created", "levelname", "message", "service"],
            rename_fields={"created": "time", "levelname": "level", "message": "event"},
        )

    def process_log_record(self, log_data):
        """Say when in RFC 3339, and whose line it is."""
        log_data["time"] = times.to_json(times.from_microseconds(round(log_data["time"] * 1e6)))
        log_data["service"] = self.service
        return log_data


def configure(service: str | None = None, stream: str = "stderr"):
    """Let all loggers write so, to `stdout` or `stderr`: Lambda, and serverless offline, keep what is on stdout."""
    Formatter.stream = stream
    Formatter.service = service or Formatter.service
    handler = logging.StreamHandler(getattr(sys, stream))
    handler.setFormatter(Formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def log_request(status: int, **known: Any):
    """Log the one line of a request; `known` are fields of REQUEST."""
    # Not by a logger and its formatter: they take longer than all the rest of a line.
    about = {"time": times.to_json(times.utc_now()), "level": "ERROR" if status >= 500 else "INFO", "event": "request"}
    line = {**about, "service": Formatter.service, **REQUEST, **known, "status": status}
    write(json.dumps(line) + "\n")


def write(line: str):
    """Write a whole line at once. If that fails (a full disk, a reader that is gone) the line is lost, and no more."""
    with contextlib.suppress(Exception):  # also where there is no such stream: it may have been closed before the start
        # Not through the stream, whose buffer would keep the line, and fail again with the next.
        os.write(getattr(sys, Formatter.stream).fileno(), line.encode())


_last_logged: dict[tuple[Any, ...], float] = {}  # a kind of failure -> when


def log_failure(request_id: str, code: str, cause: BaseException | None):
    """Log why a request failed: its cause, with MySQL's number and words; what nobody foresaw with a traceback.

    Once in ONCE_IN_SECONDS for each kind, or a database that is away would fill the log. Each request's own line has
    its code.
    """
    errno = getattr(cause, "errno", None)
    kind = (code, type(cause), errno)
    now = time.monotonic()
    if now - _last_logged.get(kind, -ONCE_IN_SECONDS) >= ONCE_IN_SECONDS:
        _last_logged[kind] = now
        known = {"request_id": request_id, "code": code, "cause": None, "errno": errno, "detail": None}
        if cause is not None:
            known |= {"cause": type(cause).__name__, "detail": words_of(cause)}
        log.error("failure", exc_info=cause if code == InternalError.code else None, extra=known)


def words_of(cause: BaseException) -> str:
    """Return what MySQL said, or what the error says of itself."""
    return getattr(cause, "msg", None) or str(cause) or type(cause).__name__
