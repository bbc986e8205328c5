"""Time as an argument, so that a test decides what it is; and the one text form of an instant."""

import time
from datetime import UTC, datetime
from typing import Final, Protocol

LATEST_MS: Final = 253_402_300_799_000
"""The last second of the year 9999: RFC 3339 says nothing later."""


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
    instant = datetime.fromtimestamp(epoch_ms / 1000, tz=UTC)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> int:
    """The inverse of `to_rfc3339`, for any RFC 3339 text with a zone; milliseconds since the epoch.

    Raises:
        ValueError: the text is no instant, or names no zone.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return round(instant.timestamp() * 1000)
