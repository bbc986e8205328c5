"""Learning a run of events, slice by slice: predict, make room for new classes, step, remember."""

from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.errors import DivergedError
from penstock.learning.config import TrainingConfig
from penstock.learning.event_rows import places_of, weights_of
from penstock.learning.heads.slices import slices
from penstock.learning.lesson import Scored, Slice
from penstock.learning.linear_alone import learn_linear
from penstock.learning.mixed_heads import MixedHeads
from penstock.learning.parts import LearnerParts
from penstock.learning.train_rows import TrainRows
from penstock.replay.config import ReplayConfig
from penstock.replay.priority import EventPriorities
from penstock.wire import columns as column

Int64s = npt.NDArray[np.int64]


class Lessons:
    """Those of the micro-batch `step`. Works on `parts`, which it does not own."""

    def __init__(
        self,
        parts: LearnerParts,
        priorities: EventPriorities,
        training: TrainingConfig,
        replay: ReplayConfig,
        *,
        step: int,
    ) -> None:
        self._parts, self._priorities = parts, priorities
        self._training, self._replay = training, replay
        self._step = step

    def learn(self, events: Any) -> list[Scored]:
        """At most `max_events` rows, at least one, cut where a class is born.

        Raises:
            DivergedError: the loss is no longer finite.
        """
        parts, known = self._parts, len(self._parts.ledger)
        places = places_of(events)
        fresh = self._rows(events, places)
        priorities = self._priorities.at(*places)
        found = []
        for start, stop in self._cuts(fresh.classes, known):
            is_all = stop - start == len(fresh.classes)
            slice_ = Slice(
                fresh=fresh if is_all else fresh.between(start, stop),
                priorities=priorities[start:stop],
                num_known=known,
                num_in_batch=len(fresh.classes),
                step=self._step,
            )
            found.append(self._learn_slice(slice_).moved_by(start))
            parts.history.learnt(*(values[start:stop] for values in places))
            known = max(known, int(fresh.classes[start:stop].max()) + 1)
        parts.know_classes(known)
        parts.class_events += np.bincount(fresh.classes, minlength=known)
        return found

    def _rows(self, events: Any, places: tuple[npt.NDArray[Any], ...]) -> TrainRows:
        """As the network reads them; new classes enter the ledger."""
        parts = self._parts
        rows = parts.encoded(events)
        dense, tokens = parts.network.to_tensors(rows)
        if parts.moments.width:  # of the inputs alone, so they may move before the labels are looked at
            parts.moments.merge(rows.dense[:, : parts.moments.width])
            parts.network.standardiser.follow(parts.moments)
        tenants = events.column(column.TENANT) if events.schema.get_field_index(column.TENANT) >= 0 else None
        partitions, offsets, _ = places
        classes, _ = parts.ledger.look_up(events.column(column.LABEL), partitions, offsets, tenants)
        return TrainRows(dense=dense, tokens=tokens, classes=classes, weights=weights_of(events))

    def _cuts(self, classes: Int64s, known: int) -> list[tuple[int, int]]:
        ensemble = self._parts.ensemble
        if ensemble is None:
            return [(0, len(classes))]
        attendance = ensemble.attendance
        return list(slices(classes, known, attendance.num_events, attendance.last_birth))

    def _learn_slice(self, rows: Slice) -> Scored:
        parts = self._parts
        try:
            if parts.ensemble is None:
                return learn_linear(parts, rows, self._training, self._replay)
            return MixedHeads(parts, self._training, self._replay).learn(rows)
        except DivergedError as error:
            raise DivergedError(
                f"{error} at step {self._step}; training.learning_rate is {self._training.learning_rate}: lower it"
                " and start again from the last checkpoint."
            ) from None
