"""Logged predictions under one id in their order, whatever their number: a producer may give one id to all of them."""

from bisect import bisect_left, bisect_right, insort
from typing import NamedTuple


class LoggedPrediction(NamedTuple):
    """One record; its order is that of the first three fields. `timestamp_ms` never falls within a partition."""

    timestamp_ms: int
    partition: int
    offset: int
    prediction_id: bytes
    value: bytes


class SameId:
    """They mostly come newest last and go oldest first, so neither moves the others."""

    __slots__ = ("_first", "_held")

    def __init__(self) -> None:
        self._held: list[LoggedPrediction] = []
        self._first = 0
        """Those before it are gone."""

    def __len__(self) -> int:
        return len(self._held) - self._first

    def add(self, one: LoggedPrediction) -> None:
        """One more, in its place."""
        insort(self._held, one, lo=self._first)

    def remove(self, one: LoggedPrediction) -> None:
        """It must be there."""
        at = bisect_left(self._held, one, lo=self._first)
        if at > self._first:
            del self._held[at]
            return
        self._held[at] = one._replace(prediction_id=b"", value=b"")  # the order stays, the memory goes
        self._first += 1
        if 2 * self._first >= len(self._held):
            del self._held[: self._first]
            self._first = 0

    def find(self, *, at_ms: int, latest_ms: int) -> LoggedPrediction | None:
        """The newest up to `at_ms`; else the first up to `latest_ms`; else None."""
        end = bisect_right(self._held, at_ms, lo=self._first, key=_timestamp_ms)
        if end > self._first:
            return self._held[end - 1]
        if len(self) and self._held[self._first].timestamp_ms <= latest_ms:
            return self._held[self._first]
        return None


def _timestamp_ms(one: LoggedPrediction) -> int:
    return one.timestamp_ms
