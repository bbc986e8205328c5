"""When a micro-batch closes: what the two policies have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.flow import ClosedBy
from penstock.wire.message import Message

CountEvents = Callable[[Message], int]
"""Number of events that a message holds, at least 1."""
EVENTS_TOGETHER = 512
"""Events of micro-batches that are decoded at once, where so many wait: a small one costs mostly by being one."""
AtEnd = Callable[[], frozenset[int]]
"""Partitions of which every message up to the end has been added."""


@dataclass(frozen=True, kw_only=True)
class ClosedBatch:
    """The messages of one micro-batch, in the order in which their events are learnt; at least one."""

    messages: Sequence[Message]
    num_events: int
    closed_by: ClosedBy
    age_seconds: float


class Batcher(Protocol):
    """Collects messages into micro-batches. Messages are atomic: a batch may exceed its size by the last one's events.

    Owns nothing but memory; time and the ends of partitions are arguments.
    """

    def add(self, messages: Sequence[Message], now_seconds: float) -> None:
        """Take messages that have just arrived, each partition's in order."""
        ...

    def close(self, now_seconds: float, at_end: AtEnd) -> ClosedBatch | None:
        """The next micro-batch if it is complete by now."""
        ...

    def seconds_until_due(self, now_seconds: float) -> float:
        """After which the open batch closes though nothing arrives; infinity if it does not."""
        ...

    def wanted_messages(self) -> int:
        """How many messages to poll for, at least 1; asked when no batch is complete."""
        ...

    def full_partitions(self) -> frozenset[int]:
        """Partitions of which enough messages wait, so that no more should be fetched for now."""
        ...
