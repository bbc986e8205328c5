"""When the analytic head is worth solving again: a solve costs more than to learn many rows."""

import numpy as np
import numpy.typing as npt

from penstock.learning.heads.absence import Attendance
from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.slices import BUSY_ROWS

Int64s = npt.NDArray[np.int64]

BUSY_SOLVE_ROWS = 2048
SOLVED_AT_BIRTHS_UP_TO = 256
YOUNG_ROWS = 32
"""A class of fewer does not wait until a solve is worth its cost: the first rows move its mean most."""


class Solving:
    """The last solve: events seen by then, and classes known."""

    def __init__(self, attendance: Attendance) -> None:
        self._attendance = attendance
        self.at = 0
        self.classes = 0

    def is_due(self, classes: Int64s, analytic: AnalyticHead | None) -> bool:
        """After a slice of rows of these classes [n]: at births, after 1/64 of the stream, or an eighth of a class."""
        num_events, num_classes = self._attendance.num_events, len(self._attendance.counts)
        pending = num_events - self.at
        born = num_classes - self.classes
        size = analytic.features.size if analytic is not None else 0
        horizon = analytic.horizon if analytic is not None else float("inf")
        remembered = min(num_events, horizon)
        due = born > 0 and (num_classes <= SOLVED_AT_BIRTHS_UP_TO or born > num_classes // 64 or pending >= num_classes)
        if len(classes) > BUSY_ROWS:
            return due or pending >= max(min(BUSY_SOLVE_ROWS, horizon), remembered / 64)
        due = due or pending >= max(remembered / 64, size / 128)
        if not due and analytic is not None:
            solved = analytic.solved_counts
            labels = np.unique(classes)
            labels = labels[labels < len(solved)]
            if pending < size / 128:
                labels = labels[solved[labels] < YOUNG_ROWS]
            due = bool((analytic.counts[labels] >= 1.125 * solved[labels]).any())
        return due

    def done(self) -> None:
        """It is solved for all there is now."""
        self.at, self.classes = self._attendance.num_events, len(self._attendance.counts)
