"""Which classes stay away, and for how long: the one quantity that decides how much of the past is asked again.

Where labels change their meaning all classes keep coming, so nothing is absent and old rows stay out of the way.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NUM_GAPS = 3.0


NEW_ROWS = 16
"""So many rows after a class woke, every head knows it again."""


class Attendance:
    """Events and last event by class; which classes are asleep, and which are only just awake."""

    def __init__(self) -> None:
        self.num_events = 0
        self.last_birth = 0
        self.counts: Int64s = np.zeros(0, dtype=np.int64)
        self.last: Int64s = np.zeros(0, dtype=np.int64)
        self.asleep: Bools = np.zeros(0, dtype=np.bool_)
        self.rows_since_waking: Int64s = np.zeros(0, dtype=np.int64)
        """By class; `NEW_ROWS` where it is long awake."""
        self.absences: Float64s = np.zeros(0)
        self.absence = 0.0

    def saw(self, classes: Int64s) -> None:
        """Rows [n ≥ 1] in order; classes not seen before are born."""
        num_classes = max(len(self.counts), int(classes.max()) + 1)
        missing = num_classes - len(self.counts)
        self.grow(num_classes)
        counts = np.bincount(classes, minlength=num_classes)
        self.counts += counts
        if self.is_any_drowsy:
            self.rows_since_waking = np.minimum(self.rows_since_waking + counts, NEW_ROWS)
        self.last[classes] = np.arange(self.num_events + 1, self.num_events + 1 + len(classes))  # the last one wins
        self.num_events += len(classes)
        if missing:
            self.last_birth = self.num_events
        self._measure(num_classes)

    def grow(self, num_classes: int) -> None:
        """Make room for classes."""
        missing = num_classes - len(self.counts)
        if missing > 0:
            self.counts = np.concatenate((self.counts, np.zeros(missing, dtype=np.int64)))
            self.last = np.concatenate((self.last, np.zeros(missing, dtype=np.int64)))
            self.asleep = np.concatenate((self.asleep, np.zeros(missing, dtype=np.bool_)))
            self.rows_since_waking = np.concatenate((self.rows_since_waking, np.full(missing, NEW_ROWS)))

    @property
    def is_any_drowsy(self) -> bool:
        """True while a class that woke has few rows yet."""
        return bool((self.rows_since_waking < NEW_ROWS).any())

    def lost(self, label: int) -> None:
        """An event of this class counts as one that never came; when the class last came stays."""
        self.counts[label] = max(self.counts[label] - 1, 0)
        self._measure(len(self.counts))

    def fall_asleep(self, labels: Int64s) -> None:
        """These classes are not absent, they are asleep."""
        self.asleep[labels] = True
        self._measure(len(self.counts))

    def wake(self, label: int, slept_events: int) -> None:
        """For a class the time has stood still; the rows that are kept are not its own yet."""
        self.asleep[label] = False
        self.last[label] = min(self.last[label] + slept_events, self.num_events)
        self.rows_since_waking[label] = 0
        self._measure(len(self.counts))

    def _measure(self, num_classes: int) -> None:
        """Each class's absence in [0, 1/C]: from 0 at three times its usual gap to 1/C at twice that."""
        num_awake = max(num_classes - int(self.asleep.sum()), 1)
        expected = np.minimum(1 / num_awake, self.counts / max(self.num_events, 1))
        gaps = (self.num_events - self.last) * np.sqrt(expected / num_awake)
        self.absences = np.minimum(np.maximum(gaps / NUM_GAPS - 1, 0.0), 1.0) / num_awake
        self.absences[self.asleep] = 0.0
        self.absence = min(float(self.absences.sum()), 1 - 1 / num_awake)

    def state(self) -> dict[str, Array]:
        """Copies."""
        return {
            "counts": self.counts.copy(),
            "last": self.last.copy(),
            "asleep": self.asleep.copy(),
            "rows_since_waking": self.rows_since_waking.copy(),
            "totals": np.array([self.num_events, self.last_birth], dtype=np.int64),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self.counts, self.last = arrays["counts"].astype(np.int64), arrays["last"].astype(np.int64)
        self.asleep = arrays["asleep"].astype(np.bool_)
        self.rows_since_waking = arrays["rows_since_waking"].astype(np.int64)
        totals = arrays["totals"].astype(np.int64)
        self.num_events, self.last_birth = int(totals[0]), int(totals[1])
        if len(self.counts):
            self._measure(len(self.counts))
