"""Time as an argument, so that a test decides what it is; and the one text form of an instant."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

EARLIEST_MS: Final = -62_135_596_800_000
LATEST_MS: Final = 253_402_300_799_000
"""The first second of the year 1 and the last of the year 9999: nothing else has a text."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where the code reads time from."""

    def monotonic_seconds(self) -> float:
        """Seconds from an arbitrary origin; never goes back. For intervals."""
        ...

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, comparable with Kafka timestamps."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_seconds(self) -> float:
        return time.monotonic()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


def to_rfc3339(epoch_ms: int) -> str:
    """`2026-01-31T12:00:00.250Z`: RFC 3339, UTC, milliseconds; the form of `trained_until` everywhere."""
    instant = _EPOCH + timedelta(milliseconds=epoch_ms)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> int:
    """The inverse of `to_rfc3339`, for any RFC 3339 text with a zone; milliseconds since the epoch.

    Raises:
        ValueError: the text is no instant, names no zone, or lies outside the years 1 to 9999 in UTC.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    epoch_ms = round(instant.timestamp() * 1000)
    if not EARLIEST_MS <= epoch_ms < LATEST_MS + 1000:
        raise ValueError(f"{text!r} is outside the years 1 to 9999 in UTC")
    return epoch_ms
