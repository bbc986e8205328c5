"""When the meaning of labels has changed: established classes fail, while the past still contradicts the present."""

import numpy as np
import numpy.typing as npt

from penstock.learning.heads.absence import Attendance
from penstock.learning.heads.alarm import (
    BETTER_BY,
    COOLDOWN,
    ESTABLISHED_ROWS,
    QUIET_AFTER_BIRTH,
    SHARE_OF_ROWS,
    Alarm,
)
from penstock.learning.heads.answer import Answer
from penstock.learning.heads.held_rows import HeldRows, LinearOf
from penstock.learning.heads.mixture import Mixture, mixed
from penstock.learning.reservoir import Reservoir

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class ChangedMeaning:
    """Judges what the alarm suspects. Owns nothing: `alarm` and all else is the ensemble's."""

    def __init__(self, alarm: Alarm, attendance: Attendance, held: HeldRows, mixture: Mixture) -> None:
        self._alarm, self._attendance, self._held, self._mixture = alarm, attendance, held, mixture

    def watch(
        self, answer: Answer, classes: Int64s, hits: Bools, events: Int64s, reservoir: Reservoir, linear_of: LinearOf
    ) -> tuple[Int64s, int]:
        """Rows were answered right (`hits` [n]) or not, as the events of these numbers.

        Returns the classes whose meaning has changed, mostly none, and the event at which that began.
        """
        attendance, nothing = self._attendance, classes[:0]
        known = classes < len(attendance.counts)
        classes, hits, events = classes[known], hits[known], events[known]
        old = attendance.counts[classes] >= ESTABLISHED_ROWS
        if not self._alarm.saw(classes[old], ~hits[old], events[old]):
            return nothing, 0
        now = attendance.num_events
        if now - attendance.last_birth < QUIET_AFTER_BIRTH or now - self._alarm.last < COOLDOWN:
            return nothing, 0
        suspects, right, began = self._alarm.suspects()
        conflicting = self._conflicting(answer, suspects, right, reservoir, linear_of)
        if 2 * len(conflicting) < len(suspects):
            return nothing, 0
        if attendance.counts[suspects].sum() < SHARE_OF_ROWS * attendance.num_events:
            return nothing, 0
        return suspects, began

    def _conflicting(
        self, answer: Answer, suspects: Int64s, right: Float64s, reservoir: Reservoir, linear_of: LinearOf
    ) -> Int64s:
        """Suspects whose held rows are right far more often than their fresh ones."""
        places = self._held.of_classes(suspects, reservoir)
        if not len(places):
            return suspects[:0]
        scores = self._held.scores(answer, places, reservoir, linear_of)
        found = mixed(answer.opinions(scores, self._mixture.temperatures), self._mixture.weights)
        labels = self._held.classes[places]
        hits = found.argmax(axis=1) == labels
        before = np.array([hits[labels == label].mean() if (labels == label).any() else 0.0 for label in suspects])
        return suspects[before >= right + BETTER_BY]
