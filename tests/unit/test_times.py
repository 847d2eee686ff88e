"""Times: naive UTC inside, RFC 3339 outside."""

import time
from datetime import UTC, datetime

import pytest

from common import times


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-25T12:00:00+02:00", datetime(2026, 11, 25, 10)),
        ("2026-11-25T12:00:00-02:30", datetime(2026, 11, 25, 14, 30)),
        ("2026-01-01T00:30:00+01:00", datetime(2025, 12, 31, 23, 30)),
        ("2026-11-25T12:00:00.1Z", datetime(2026, 11, 25, 12, 0, 0, 100_000)),
        ("2026-11-25T12:00:00.123456Z", datetime(2026, 11, 25, 12, 0, 0, 123_456)),
        ("2026-11-25t12:00:00z", datetime(2026, 11, 25, 12)),
        ("2026-11-25T12:00:00-00:00", datetime(2026, 11, 25, 12)),
        # What clients send beside RFC 3339.
        ("2026-01-01T00:00:00.1234567Z", datetime(2026, 1, 1, 0, 0, 0, 123_456)),  # .NET's "o"
        ("2026-01-01T00:00:00.999999999+00:00", datetime(2026, 1, 1, 0, 0, 0, 999_999)),  # Java, Go
        ("2026-01-01T02:00:00+0200", datetime(2026, 1, 1)),
        ("2026-01-01T00:00:00", datetime(2026, 1, 1)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1)),
        ("2026-01-01", datetime(2026, 1, 1)),
        ("0001-01-01T00:00:00+02:00", datetime.min),
        ("9999-12-31T23:59:59-02:00", datetime.max),
    ],
)
def test_date_time_becomes_naive_utc(text, moment):
    assert times.from_json(text) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-31", datetime(2027, 1, 1)),
        ("2026-12-31T00:00:00", datetime(2026, 12, 31)),
        ("9999-12-31", datetime.max),
    ],
)
def test_date_alone_as_an_end_is_the_whole_day(text, moment):
    assert times.from_json(text, is_end=True) == moment


@pytest.fixture
def tokyo(monkeypatch):
    """The machine's zone is nine hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def test_now_is_naive_utc_whatever_the_zone_of_the_machine(tokyo):
    before = datetime.now(UTC).replace(tzinfo=None)

    now = times.utc_now()

    assert now.tzinfo is None
    assert before <= now <= datetime.now(UTC).replace(tzinfo=None)
