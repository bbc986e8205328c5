"""Which classes stay away, and for how long: the one quantity that decides how much of the past is asked again.

Where labels change their meaning all classes keep coming, so nothing is absent and old rows stay out of the way.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

NUM_GAPS = 3.0


class Attendance:
    """Events and last event by class."""

    def __init__(self) -> None:
        self.num_events = 0
        self.last_birth = 0
        self.counts: Int64s = np.zeros(0, dtype=np.int64)
        self.last: Int64s = np.zeros(0, dtype=np.int64)
        self.absences: Float64s = np.zeros(0)
        self.absence = 0.0

    def saw(self, classes: Int64s) -> None:
        """Rows [n ≥ 1] in order; classes not seen before are born."""
        num_classes = max(len(self.counts), int(classes.max()) + 1)
        missing = num_classes - len(self.counts)
        if missing:
            self.counts = np.concatenate((self.counts, np.zeros(missing, dtype=np.int64)))
            self.last = np.concatenate((self.last, np.zeros(missing, dtype=np.int64)))
        self.counts += np.bincount(classes, minlength=num_classes)
        self.last[classes] = np.arange(self.num_events + 1, self.num_events + 1 + len(classes))  # the last one wins
        self.num_events += len(classes)
        if missing:
            self.last_birth = self.num_events
        self._measure(num_classes)

    def _measure(self, num_classes: int) -> None:
        """Each class's absence in [0, 1/C]: from 0 at three times its usual gap to 1/C at twice that."""
        expected = np.minimum(1 / num_classes, self.counts / self.num_events)
        gaps = (self.num_events - self.last) * np.sqrt(expected / num_classes)
        self.absences = np.clip(gaps / NUM_GAPS - 1, 0.0, 1.0) / num_classes
        self.absence = min(float(self.absences.sum()), 1 - 1 / num_classes)

    def state(self) -> dict[str, Array]:
        """Copies."""
        return {
            "counts": self.counts.copy(),
            "last": self.last.copy(),
            "totals": np.array([self.num_events, self.last_birth], dtype=np.int64),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self.counts, self.last = arrays["counts"].astype(np.int64), arrays["last"].astype(np.int64)
        totals = arrays["totals"].astype(np.int64)
        self.num_events, self.last_birth = int(totals[0]), int(totals[1])
        if len(self.counts):
            self._measure(len(self.counts))
