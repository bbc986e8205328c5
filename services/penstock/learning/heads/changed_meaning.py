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
from penstock.learning.heads.class_bursts import CLASS_BETTER_BY, MOST_CLASSES, MOST_GOOD, ClassBursts
from penstock.learning.heads.held_rows import HeldRows, LinearOf
from penstock.learning.heads.mixture import Mixture, mixed
from penstock.learning.reservoir import Reservoir

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class ChangedMeaning:
    """Judges what the alarms suspect. Owns nothing: they and all else are the ensemble's."""

    def __init__(
        self, alarm: Alarm, bursts: ClassBursts, attendance: Attendance, held: HeldRows, mixture: Mixture
    ) -> None:
        self._alarm, self._bursts = alarm, bursts
        self._attendance, self._held, self._mixture = attendance, held, mixture

    def watch(
        self,
        answer: Answer,
        classes: Int64s,
        predicted: Int64s,
        events: Int64s,
        reservoir: Reservoir,
        linear_of: LinearOf,
    ) -> tuple[Int64s, int]:
        """Rows of `classes` [n] were answered with `predicted` [n], as the events of these numbers.

        Returns the classes whose meaning has changed, mostly none, and the event at which that began.
        """
        attendance, nothing = self._attendance, classes[:0]
        known = classes < len(attendance.counts)
        classes, predicted, events = classes[known], predicted[known], events[known]
        old = attendance.counts[classes] >= ESTABLISHED_ROWS
        rows = classes[old], predicted[old], events[old]
        of_classes = self._bursts.saw(*rows) if len(attendance.counts) <= MOST_CLASSES else []
        now = attendance.num_events
        if now - attendance.last_birth < QUIET_AFTER_BIRTH:
            # of old classes there come now hardly any rows but those whose labels are wrong, which are errors all
            self._alarm.saw_as_usual(*rows)
            return nothing, 0
        has_burst = self._alarm.saw(*rows)
        if now - self._alarm.last < COOLDOWN:
            return nothing, 0
        found = nothing, 0
        if has_burst:
            found = self._among_all(answer, reservoir, linear_of)
        if of_classes and not len(found[0]):
            found = self._of_some(of_classes, answer, reservoir, linear_of)
        self._bursts.forget(found[0].tolist())
        return found

    def _among_all(self, answer: Answer, reservoir: Reservoir, linear_of: LinearOf) -> tuple[Int64s, int]:
        """Where errors of all classes have burst."""
        suspects, attendance = self._alarm.suspects(), self._attendance
        if attendance.counts[suspects.classes].sum() < SHARE_OF_ROWS * attendance.num_events:
            return suspects.classes[:0], 0
        before = self._held_recall(suspects.classes, answer, reservoir, linear_of)
        conflicting = before >= suspects.recall + BETTER_BY
        changed = suspects.changed(conflicting)
        if 2 * conflicting.sum() < changed.sum():
            return suspects.classes[:0], 0
        return suspects.classes[changed], suspects.began

    def _of_some(
        self, labels: list[int], answer: Answer, reservoir: Reservoir, linear_of: LinearOf
    ) -> tuple[Int64s, int]:
        """Where errors of these classes have burst: those contradicted by held rows, and what was answered instead."""
        bursts = [self._bursts.of(label) for label in labels]
        before = self._held_recall(np.array(labels), answer, reservoir, linear_of)
        confirmed = [
            burst
            for burst, right in zip(bursts, before, strict=True)
            if right >= burst.recall + CLASS_BETTER_BY and burst.of_good_answers < MOST_GOOD
        ]
        changed = {label for burst in confirmed for label in (burst.label, *burst.blamed)}
        counts = self._attendance.counts
        if counts[list(changed)].sum() >= SHARE_OF_ROWS * self._attendance.num_events:
            changed = set()  # so much of the stream is for the watch over all, where labels that last raise no alarm
        self._bursts.forget(set(labels) - changed)
        began = min((burst.began for burst in confirmed), default=0)
        return np.array(sorted(changed), dtype=np.int64), began

    def _held_recall(self, labels: Int64s, answer: Answer, reservoir: Reservoir, linear_of: LinearOf) -> Float64s:
        """[k]: the share of each class's held rows that is answered right, if one more were wrong: few prove little."""
        places = self._held.of_classes(labels, reservoir)
        if not len(places):
            return np.zeros(len(labels))
        scores = self._held.scores(answer, places, reservoir, linear_of)
        found = mixed(answer.opinions(scores, self._mixture.temperatures), self._mixture.weights)
        theirs = self._held.classes[places]
        hits = found.argmax(axis=1) == theirs
        return np.array([hits[theirs == label].sum() / (1 + (theirs == label).sum()) for label in labels])
