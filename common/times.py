"""Time: naive UTC datetimes inside, RFC 3339 with Z outside, converted only here.

Naive, because the driver drops a datetime's zone without a word: an aware 12:00+02:00
would be stored as 12:00.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

# RFC 3339, section 5.6. `fromisoformat` alone also takes "2026-W01" and times without a zone.
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-5][0-9])"
)


Clock = Callable[[], datetime]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - see above


def utc_now() -> datetime:
    """Return the current time; the one clock that applications are given outside tests."""
    return datetime.now(UTC).replace(tzinfo=None)


def to_json(moment: datetime | None) -> str | None:
    """Render a naive UTC datetime (or None) with six fraction digits and Z."""
    return None if moment is None else moment.isoformat(timespec="microseconds") + "Z"


def from_json(text: str) -> datetime:
    """Parse an RFC 3339 timestamp into naive UTC; raise ValueError if it is none."""
    if not _RFC_3339.fullmatch(text):
        raise ValueError("not an RFC 3339 timestamp")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(tzinfo=None)
    except OverflowError as ex:  # 0001-01-01 with a positive offset
        raise ValueError("outside the calendar") from ex


def to_microseconds(moment: datetime) -> int:
    """Return whole microseconds since 1970 of a naive UTC datetime, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """Return the naive UTC datetime of whole microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=count)
