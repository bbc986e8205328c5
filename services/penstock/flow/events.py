"""What the decoder hands to the learner: a micro-batch of events, and what comes with it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.flow.controls import Control
from penstock.flow.label_log import Offsets

ClosedBy = Literal["size", "age", "end"]


def _no_keys() -> npt.NDArray[np.uint64]:
    return np.empty(0, dtype=np.uint64)


@dataclass(frozen=True, kw_only=True)
class JudgedAnswers:
    """Answers of one version that late labels have judged: `right` of `events` were the label."""

    version: int
    events: int
    right: int


@dataclass(frozen=True, kw_only=True)
class EventBatch:
    """A closed micro-batch of valid events, columnar.

    `events` has one column per feature (see `wire.columns`) and `label` string, `weight` float64, `partition` int32,
    `offset` int64, `row` int32 (position within its message), `timestamp_ms` int64 (Kafka's). It may have no rows
    when all its messages were invalid; `offsets` moves on all the same. `age_seconds` is how long it was open. Where
    any of its events has a tenant there is one more column, `tenant` string, null for those that have none.

    `controls` stand in the order of the log, each at its place among the events. `read_until_ms` is the horizon up to
    which predictions are joined to labels, 0 where none are; `judged` says, by version, how good those joined were.
    `seen` uint64 are what `intake.repeats` is to be given again after a restart, in order; empty where it is off.
    Where the batch `awaits_word` the intake is to hear what was refused of it, even if that is nothing.
    """

    events: pa.RecordBatch
    offsets: Offsets
    closed_by: ClosedBy
    age_seconds: float
    controls: tuple[Control, ...] = ()
    read_until_ms: int = 0
    judged: tuple[JudgedAnswers, ...] = ()
    seen: npt.NDArray[np.uint64] = field(default_factory=_no_keys, compare=False, repr=False)
    awaits_word: bool = False

    def slices(self, max_events: int) -> Iterator[pa.RecordBatch]:
        """The events in order, at most `max_events` at a time (one Arrow message may hold many more)."""
        for start in range(0, self.events.num_rows, max_events):
            yield self.events.slice(start, max_events)

    def pieces(self, max_events: int) -> Iterator["pa.RecordBatch | Control"]:
        """Events and controls in their one order, at most `max_events` of the events at a time, and at least one."""
        start = 0
        for control in self.controls:
            yield from self._between(start, control.at, max_events)
            yield control
            start = control.at
        yield from self._between(start, self.events.num_rows, max_events)

    def _between(self, start: int, stop: int, max_events: int) -> Iterator[pa.RecordBatch]:
        if start == 0 and stop == self.events.num_rows and 0 < stop <= max_events:
            yield self.events
            return
        for first in range(start, stop, max_events):
            yield self.events.slice(first, min(max_events, stop - first))


@dataclass(frozen=True, kw_only=True)
class RefusedEvent:
    """An event that decodes and that the learner does not take: its place, and why in a sentence for a person."""

    partition: int
    offset: int
    row: int
    sentence: str
