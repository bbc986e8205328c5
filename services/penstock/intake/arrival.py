"""Micro-batches in order of arrival, closed by size or age: the policy for fresh models."""

import math
from collections import deque
from collections.abc import Sequence

from penstock.flow import ClosedBy
from penstock.intake.batching import EVENTS_TOGETHER, AtEnd, ClosedBatch, CountEvents
from penstock.wire.message import Message


class ArrivalBatcher:
    """Closes at `max_events` events, or `max_age_seconds` after the arrival of the batch's first message."""

    def __init__(self, *, max_events: int, max_age_seconds: float, count_events: CountEvents) -> None:
        self._max_events = max_events
        self._max_age_seconds = max_age_seconds
        self._count_events = count_events
        self._waiting: deque[tuple[Message, float]] = deque()
        self._open: list[Message] = []
        self._open_events = 0
        self._opened_at = 0.0
        self._events_per_message = 1.0
        self._is_behind = False

    def add(self, messages: Sequence[Message], now_seconds: float) -> None:
        """Put messages behind those that wait."""
        self._waiting.extend((message, now_seconds) for message in messages)

    def close(self, now_seconds: float, at_end: AtEnd) -> ClosedBatch | None:
        """The next batch, if it is large or old enough; then the messages behind it go on waiting."""
        waiting, opened, num_events = self._waiting, self._open, self._open_events  # here every message counts
        while waiting and num_events < self._max_events:
            message, arrived_at = waiting.popleft()
            if not opened:
                self._opened_at = arrived_at
            opened.append(message)
            num_events += self._count_events(message)
        self._open_events = num_events
        if num_events >= self._max_events:
            return self._closed("size", now_seconds)
        if self._open and self.seconds_until_due(now_seconds) <= 0:
            return self._closed("age", now_seconds)
        return None

    def seconds_until_due(self, now_seconds: float) -> float:
        """Until the open batch reaches its greatest age."""
        return self._opened_at + self._max_age_seconds - now_seconds if self._open else math.inf

    def wanted_messages(self) -> int:
        """What the open batch still has room for, judged by the messages of the last one.

        Behind a full one of single events more may wait: then as many as are decoded at once.
        """
        events = max(self._max_events, EVENTS_TOGETHER) if self._is_behind else self._max_events
        return math.ceil((events - self._open_events) / self._events_per_message)

    def full_partitions(self) -> frozenset[int]:
        """None: little more is polled than the open batch has room for."""
        return frozenset()

    def _closed(self, closed_by: ClosedBy, now_seconds: float) -> ClosedBatch:
        batch = ClosedBatch(
            messages=self._open,
            num_events=self._open_events,
            closed_by=closed_by,
            age_seconds=max(now_seconds - self._opened_at, 0.0),
        )
        self._is_behind = closed_by == "size" and self._open_events == len(self._open)
        self._events_per_message = self._open_events / len(self._open)
        self._open, self._open_events = [], 0
        return batch
