"""Has the meaning of labels changed? Errors far above their rate, on classes that old rows of theirs still get right.

A sudden burst of errors alone is no alarm: a new task, or a hard one, also brings it. There the classes in question are
young, or few of all, or their old rows are wrong as well.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ESTABLISHED_ROWS = 30
FEWEST, MOST = 12, 32
FADING = 0.998
DEVIATIONS, EXCESS = 6.0, 0.3
QUIET_AFTER_BIRTH = 64
BETTER_BY = 0.4
SHARE_OF_ROWS = 0.5
COOLDOWN = 64


@lru_cache(maxsize=64)
def _powers(num_rows: int) -> tuple[Float64s, float, float]:
    """α^(n−1) … α^0, their sum, and α^n: mostly as many rows leave as left before."""
    powers: Float64s = np.power(FADING, np.arange(num_rows - 1, -1, -1), dtype=np.float64)
    return powers, float(powers.sum()), FADING**num_rows


class Alarm:
    """The newest scored rows of established classes, and the faded rate of errors before them."""

    def __init__(self) -> None:
        self.classes: Int64s = np.zeros(0, dtype=np.int64)
        self.wrong: Bools = np.zeros(0, dtype=np.bool_)
        self.age: Int64s = np.zeros(0, dtype=np.int64)
        self._errors = 0.0
        self._rows = 0.0
        self.last = -COOLDOWN

    def saw(self, classes: Int64s, wrong: Bools, events: Int64s) -> bool:
        """Scored rows of established classes [n] with the number of each event; True where errors have burst."""
        self.classes = np.concatenate((self.classes, classes))
        self.wrong = np.concatenate((self.wrong, wrong))
        self.age = np.concatenate((self.age, events))
        leaving = len(self.classes) - MOST
        if leaving > 0:
            powers, rows, faded = _powers(leaving)
            self._errors = self._errors * faded + float(powers @ self.wrong[:leaving])
            self._rows = self._rows * faded + rows
            self.classes, self.wrong = self.classes[leaving:], self.wrong[leaving:]
            self.age = self.age[leaving:]
        return self._burst() > 0

    def _burst(self) -> int:
        """The number of newest rows over which errors have burst; 0 if they have not."""
        if self._rows < MOST or np.count_nonzero(self.wrong) <= EXCESS * FEWEST:
            return 0
        rate = (self._errors + 1) / (self._rows + 2)
        sums = np.cumsum(self.wrong[::-1])
        sizes = np.arange(1, len(sums) + 1)
        shares = sums / sizes
        far = (shares - rate) / np.sqrt(rate * (1 - rate) / sizes)
        found = np.flatnonzero((far > DEVIATIONS) & (shares - rate > EXCESS) & (sizes >= FEWEST))
        return int(sizes[found[far[found].argmax()]]) if len(found) else 0

    def suspects(self) -> tuple[Int64s, Float64s, int]:
        """Classes of the burst, the share of each that was right there, and the event at which it began."""
        size = self._burst()
        size -= int(self.wrong[-size:].argmax())  # it begins with an error
        classes, wrong = self.classes[-size:], self.wrong[-size:]
        suspects = np.unique(classes)
        right = np.array([1 - wrong[classes == label].mean() for label in suspects])
        return suspects, right, int(self.age[-size])

    def reset(self, event: int) -> None:
        """Begin anew after an alarm at this event."""
        self.classes, self.wrong, self.age = self.classes[:0], self.wrong[:0], self.age[:0]
        self._errors = self._rows = 0.0
        self.last = event

    def state(self) -> dict[str, Array]:
        """Copies."""
        return {
            "classes": self.classes.copy(),
            "wrong": self.wrong.copy(),
            "events": self.age.copy(),
            "totals": np.array([self._errors, self._rows, self.last]),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self.classes, self.wrong = arrays["classes"].astype(np.int64), arrays["wrong"].astype(np.bool_)
        self.age = arrays["events"].astype(np.int64)
        totals = arrays["totals"].astype(np.float64)
        self._errors, self._rows, self.last = float(totals[0]), float(totals[1]), int(totals[2])
