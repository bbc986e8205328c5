"""Micro-batches by count alone, in a fixed rotation of partitions: the policy that depends on the log alone.

Batch number s takes one message from each partition in turn, beginning with partition s mod P, passing over one that
has reached its end and waiting for one that has not. On a log that no longer grows, the batches are the same however
the messages arrive and wherever a run is taken up again between two batches. Partitions that are added join between two
batches as well: see `Growth`.
"""

import math
from collections import deque
from collections.abc import Collection, Sequence
from typing import Final

from penstock.flow import ClosedBy
from penstock.intake.batching import EVENTS_TOGETHER, AtEnd, ClosedBatch, CountEvents
from penstock.wire.message import Message

MESSAGES_AHEAD: Final = 16_384
"""A partition is full when it holds this many messages; holding one back early costs a fetch when it goes on …"""
BATCHES_AHEAD: Final = 4
"""… or as many as make this many batches of it alone, if that is more …"""
BYTES_AHEAD: Final = 67_108_864
"""… or when it holds its share of this many bytes."""


class RotationBatcher:
    """Closes at `max_events` events, or when the whole log has stood still for `idle_seconds` (0: never)."""

    def __init__(
        self,
        partitions: Sequence[int],
        *,
        step: int,
        max_events: int,
        idle_seconds: float,
        count_events: CountEvents,
    ) -> None:
        self._partitions = tuple(sorted(partitions))
        self._queues = {partition: _Queue() for partition in self._partitions}
        self._step = step
        self._max_events = max_events
        self._idle_seconds = idle_seconds or math.inf
        self._count_events = count_events
        self._turn = step % len(self._partitions)
        self._open: list[Message] = []
        self._open_events = 0
        self._opened_at = 0.0
        self._still_since: float | None = None
        self._full: frozenset[int] = frozenset()

    def add(self, messages: Sequence[Message], now_seconds: float) -> None:
        """Queue each message behind those of its partition."""
        for message in messages:
            self._queues[message.partition()].append(message)
        if messages:
            self._still_since = None

    def join(self, partitions: Collection[int]) -> None:
        """Let these take their turns from the batch on that is open now; what it holds already is taken anew."""
        for message in reversed(self._open):
            self._queues[message.partition()].put_back(message)
        self._open, self._open_events, self._still_since = [], 0, None
        self._queues |= {partition: _Queue() for partition in partitions if partition not in self._queues}
        self._partitions = tuple(sorted(self._queues))
        self._turn = self._step % len(self._partitions)

    def close(self, now_seconds: float, at_end: AtEnd) -> ClosedBatch | None:
        """The next batch, if it is full, or if there is nothing left that could fill it."""
        stands_still = self._take_turns(now_seconds, at_end)
        if self._open_events >= self._max_events:
            return self._closed("size", now_seconds)
        if not stands_still:
            self._still_since = None
        elif self._still_since is None:
            self._still_since = now_seconds
        if self._open and self.seconds_until_due(now_seconds) <= 0:
            return self._closed("end", now_seconds)
        return None

    def seconds_until_due(self, now_seconds: float) -> float:
        """Until the log has stood still for long enough."""
        if self._still_since is None or not self._open:
            return math.inf
        return self._still_since + self._idle_seconds - now_seconds

    def wanted_messages(self) -> int:
        """One batch's worth, or those that are decoded at once, of whichever partitions."""
        return max(self._max_events, EVENTS_TOGETHER)

    def full_partitions(self) -> frozenset[int]:
        """Full ones, and those that were full and are not yet half empty, so that fetching does not flutter."""
        limit_messages = max(MESSAGES_AHEAD, BATCHES_AHEAD * self._max_events)
        limit_bytes = BYTES_AHEAD // len(self._partitions)
        self._full = frozenset(
            partition
            for partition, queue in self._queues.items()
            if queue.exceeds(limit_messages, limit_bytes)
            or (partition in self._full and queue.exceeds(limit_messages // 2, limit_bytes // 2))
        )
        return self._full

    def _take_turns(self, now_seconds: float, at_end: AtEnd) -> bool:
        """Fill the open batch as far as it goes; True if every partition is empty and at its end."""
        ended: frozenset[int] | None = None
        passed_over = 0
        while self._open_events < self._max_events:
            partition = self._partitions[self._turn]
            queue = self._queues[partition]
            if queue:
                self._take(queue.popleft(), now_seconds)
                passed_over = 0
            else:
                ended = at_end() if ended is None else ended
                passed_over += 1
                if partition not in ended:
                    return False
                if passed_over > len(self._partitions):
                    return True
            self._turn = (self._turn + 1) % len(self._partitions)
        return False

    def _take(self, message: Message, now_seconds: float) -> None:
        if not self._open:
            self._opened_at = now_seconds
        self._open.append(message)
        self._open_events += self._count_events(message)

    def _closed(self, closed_by: ClosedBy, now_seconds: float) -> ClosedBatch:
        batch = ClosedBatch(
            messages=self._open,
            num_events=self._open_events,
            closed_by=closed_by,
            age_seconds=now_seconds - self._opened_at,
        )
        self._step += 1
        self._turn = self._step % len(self._partitions)
        self._open, self._open_events, self._still_since = [], 0, None
        return batch


class _Queue:
    """Messages of one partition that wait, and their bytes."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._num_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._messages)

    def append(self, message: Message) -> None:
        self._messages.append(message)
        self._num_bytes += len(message.value() or b"")

    def put_back(self, message: Message) -> None:
        self._messages.appendleft(message)
        self._num_bytes += len(message.value() or b"")

    def popleft(self) -> Message:
        message = self._messages.popleft()
        self._num_bytes -= len(message.value() or b"")
        return message

    def exceeds(self, num_messages: int, num_bytes: int) -> bool:
        return len(self._messages) >= max(num_messages, 1) or (self._num_bytes >= num_bytes and bool(self._messages))
