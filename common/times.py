"""Time: naive UTC datetimes inside, RFC 3339 with Z outside, converted only here.

Naive, because the driver drops a datetime's zone without a word: an aware 12:00+02:00
would be stored as 12:00.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - see above


def utc_now() -> datetime:
    """Return the current time; the one clock that applications are given outside tests."""
    return datetime.now(UTC).replace(tzinfo=None)


def to_json(moment: datetime | None) -> str | None:
    """Render a naive UTC datetime (or None) with six fraction digits and Z."""
    return None if moment is None else moment.isoformat(timespec="microseconds") + "Z"


def from_json(text: str, is_end: bool = False) -> datetime:
    """Parse what the contract's `TimeFilter` lets through into naive UTC; raise ValueError for a day that there isn't.

    Without a zone it is UTC. A date alone is its first instant, with `is_end` the one after its last.
    What is beyond microseconds is cut off, what is beyond the calendar is its end.
    """
    second = timedelta(seconds=text[17:19] == "60")  # a leap second (RFC 3339, 5.7), for which Python has no place
    moment = datetime.fromisoformat((text[:17] + "59" + text[19:] if second else text).upper())
    day = timedelta(days=is_end and len(text) == len("2026-01-31"))
    try:
        return (moment + second + day - (moment.utcoffset() or timedelta())).replace(tzinfo=None)
    except OverflowError:
        return datetime.min if moment.year == 1 else datetime.max  # noqa: DTZ901 - naive, see above


def is_time(text: str) -> bool:
    """Return whether `from_json` takes it."""
    try:
        from_json(text)
    except ValueError:
        return False
    return True


def to_microseconds(moment: datetime) -> int:
    """Return whole microseconds since 1970 of a naive UTC datetime, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """Return the naive UTC datetime of whole microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=count)
