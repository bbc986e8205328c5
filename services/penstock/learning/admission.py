"""Which events of a micro-batch are learnt.

Not those of retired classes, nor of one class too many, nor those held out to compare versions on.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.flow import RefusedEvent
from penstock.learning.class_changes import ClassChanges
from penstock.learning.event_rows import places_of, values_of
from penstock.learning.ledger import HIBERNATED, RETIRED
from penstock.learning.parts import LearnerParts
from penstock.learning.rows import columns_of
from penstock.learning.step_reports import Learnt
from penstock.replay.priority import EventPriorities
from penstock.wire import columns as column
from penstock.wire.invalid import shown

Int64s = npt.NDArray[np.int64]


class Admission:
    """Works on `parts`, which it does not own."""

    def __init__(
        self, parts: LearnerParts, changes: ClassChanges, priorities: EventPriorities, *, max_classes: int
    ) -> None:
        self._parts, self._changes, self._priorities = parts, changes, priorities
        self._max_classes = max_classes

    def admitted(self, events: Any, learnt: Learnt, events_learnt: int) -> Iterator[tuple[Any, Int64s]]:
        """Runs of events to learn, at least one each, with their places; what is not to be learnt is noted.

        `events_learnt` counts those before this micro-batch.
        """
        for run, places in self._awake(events, learnt):
            held_out = self._set_aside(run, learnt, events_learnt)
            if not len(held_out):
                yield run, places
                continue
            kept = np.setdiff1d(np.arange(run.num_rows), held_out)
            if len(kept):
                yield run.take(pa.array(kept)), places[kept]
            # Only now: moments taken anew within the run are in force from the run's first event on, not the last's.
            self._parts.history.learnt(*(values[held_out] for values in places_of(run)))

    def _awake(self, events: Any, learnt: Learnt) -> Iterator[tuple[Any, Int64s]]:
        """Runs of events with their places: classes asleep wake before the first of them, a retired one has none."""
        events, places = self._within_limit(events, learnt)
        ledger = self._parts.ledger
        if ledger.live.all():
            if len(places):
                yield events, places
            return
        states = ledger.states_of(events.column(column.LABEL))
        kept = np.flatnonzero(states != RETIRED)
        if len(kept) < events.num_rows:
            learnt.passed_over += events.num_rows - len(kept)
            events, states, places = events.take(pa.array(kept)), states[kept], places[kept]
        asleep = np.flatnonzero(states == HIBERNATED)
        start = int(asleep[0]) if len(asleep) else 0
        if start:
            yield events.slice(0, start), places[:start]
        if len(asleep):
            self._wake(events.column(column.LABEL).take(pa.array(asleep)).to_pylist(), learnt)
        if events.num_rows > start:
            yield events.slice(start), places[start:]

    def _wake(self, names: list[str], learnt: Learnt) -> None:
        """All at once: to read and to solve again what is kept costs as much for one class as for many."""
        woken = list(dict.fromkeys(names))
        indices = [self._parts.ledger.index_of(name) for name in woken]
        self._changes.wake([index for index in indices if index is not None])
        learnt.woken += woken

    def _within_limit(self, events: Any, learnt: Learnt) -> tuple[Any, Int64s]:
        """The events with their places, without those of new classes for which there is no room left."""
        ledger, places = self._parts.ledger, np.arange(events.num_rows)
        room = self._max_classes - len(ledger)
        if room >= events.num_rows:
            return events, places
        entering: set[str] = set()
        kept = np.ones(events.num_rows, dtype=np.bool_)
        for row, name in enumerate(events.column(column.LABEL).to_pylist()):
            if name in entering or ledger.index_of(name) is not None:
                continue
            if len(entering) < room:
                entering.add(name)
            else:
                kept[row] = False
        if kept.all():
            return events, places
        learnt.refused += self._refused(events, np.flatnonzero(~kept).tolist())
        return events.filter(pa.array(kept)), places[kept]

    def _refused(self, events: Any, rows: list[int]) -> Iterator[RefusedEvent]:
        names = events.column(column.LABEL)
        partitions, offsets, positions = places_of(events)
        for row in rows:
            yield RefusedEvent(
                partition=int(partitions[row]),
                offset=int(offsets[row]),
                row=int(positions[row]),
                sentence=f"label is {shown(names[row].as_py())}, a new class; there are {self._max_classes} already, "
                "as many as model.max_classes allows.",
            )

    def _set_aside(self, events: Any, learnt: Learnt, events_learnt: int) -> Int64s:
        """Hold out the share that is not learnt, of known classes and of the usual weight. Which of the events [k]."""
        held_out, parts = self._parts.held_out, self._parts
        nothing = np.empty(0, dtype=np.int64)
        if not held_out.is_on or not parts.encoder.is_fitted:
            return nothing
        priorities = self._priorities.at(*places_of(events))
        chosen = np.flatnonzero(held_out.chosen(priorities) & (values_of(events, column.WEIGHT) == 1.0))
        names = events.column(column.LABEL).take(pa.array(chosen)).to_pylist() if len(chosen) else []
        found = [(place, parts.ledger.index_of(name)) for place, name in zip(chosen.tolist(), names, strict=True)]
        known = [(place, index) for place, index in found if index is not None]
        if not known:
            return nothing
        held: Int64s
        held, classes = np.array(known, dtype=np.int64).T
        rows = parts.encoder.encode(columns_of(events.take(pa.array(held)), parts.encoder.schema))
        held_out.add(rows, classes, priorities[held], event=events_learnt)
        learnt.held_out += len(held)
        return held
