"""Has the meaning of labels changed? Errors far above their rate, on classes that old rows of theirs still get right.

A sudden burst of errors alone is no alarm: a new task, or a hard one, also brings it. There the classes in question are
young, or few of all, or their old rows are wrong as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ESTABLISHED_ROWS = 30
SHORTEST, LONGEST = 12, 32
FADING = 0.998
DEVIATIONS, EXCESS = 6.0, 0.3
QUIET_AFTER_BIRTH = 64
BETTER_BY = 0.4
SHARE_OF_ROWS = 0.5
MOST_BLAMED = 0.1
"""Of the wrong answers in a burst: a class that is answered more often in place of others is not what it was."""
FEWEST = 2
"""Rows that say anything of a class; one that is wrong may be noise."""
COOLDOWN = 64


@lru_cache(maxsize=64)
def _powers(num_rows: int) -> tuple[Float64s, float, float]:
    """α^(n−1) … α^0, their sum, and α^n: mostly as many rows leave as left before."""
    powers: Float64s = np.power(FADING, np.arange(num_rows - 1, -1, -1), dtype=np.float64)
    return powers, float(powers.sum()), FADING**num_rows


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """Classes [S] that came in a burst of errors, or were answered in it in place of another.

    Of each its own `rows` there and how many were `right`, and how often it was `blamed`: the wrong answer.
    """

    classes: Int64s
    rows: Int64s
    right: Int64s
    blamed: Int64s
    began: int
    """The event with the first error."""

    @property
    def recall(self) -> Float64s:
        """[S]; 1 where there was one row at most, which says nothing yet."""
        recall: Float64s = np.where(self.rows >= FEWEST, self.right / np.maximum(self.rows, 1), 1.0)
        return recall

    def changed(self, conflicting: Bools) -> Bools:
        """[S]: `conflicting` ones and those that are blamed, and the rest where none is known to have stayed right."""
        blamed = (self.blamed >= FEWEST) & (self.blamed > MOST_BLAMED * self.blamed.sum())
        changed: Bools = conflicting | blamed
        if not (~changed & (self.rows >= FEWEST)).any():
            changed |= (self.right < self.rows) | (self.blamed > 0)
        return changed


class Alarm:
    """The newest scored rows of established classes, and the faded rate of errors before them."""

    def __init__(self) -> None:
        self.classes: Int64s = np.zeros(0, dtype=np.int64)
        self.predicted: Int64s = np.zeros(0, dtype=np.int64)
        self.wrong: Bools = np.zeros(0, dtype=np.bool_)
        self.age: Int64s = np.zeros(0, dtype=np.int64)
        self._errors = 0.0
        self._rows = 0.0
        self.last = -COOLDOWN

    def saw(self, classes: Int64s, predicted: Int64s, events: Int64s) -> bool:
        """Scored rows of established classes [n] with the number of each event; True where errors have burst."""
        self.classes = np.concatenate((self.classes, classes))
        self.predicted = np.concatenate((self.predicted, predicted))
        self.wrong = np.concatenate((self.wrong, classes != predicted))
        self.age = np.concatenate((self.age, events))
        self._count(len(self.classes) - LONGEST)
        return self._burst() > 0

    def saw_as_usual(self, classes: Int64s, predicted: Int64s, events: Int64s) -> None:
        """The same of rows that surprise nobody: they are part of the rate that later ones are held against."""
        self.saw(classes, predicted, events)
        self._count(len(self.classes))

    def _count(self, leaving: int) -> None:
        """The oldest so many rows are the newest no more."""
        if leaving <= 0:
            return
        powers, rows, faded = _powers(leaving)
        self._errors = self._errors * faded + float(powers @ self.wrong[:leaving])
        self._rows = self._rows * faded + rows
        self.classes, self.predicted = self.classes[leaving:], self.predicted[leaving:]
        self.wrong, self.age = self.wrong[leaving:], self.age[leaving:]

    def _burst(self) -> int:
        """The number of newest rows over which errors have burst; 0 if they have not."""
        if self._rows < LONGEST or np.count_nonzero(self.wrong) <= EXCESS * SHORTEST:
            return 0
        rate = (self._errors + 1) / (self._rows + 2)
        sums = np.cumsum(self.wrong[::-1])
        sizes = np.arange(1, len(sums) + 1)
        shares = sums / sizes
        far = (shares - rate) / np.sqrt(rate * (1 - rate) / sizes)
        found = np.flatnonzero((far > DEVIATIONS) & (shares - rate > EXCESS) & (sizes >= SHORTEST))
        return int(sizes[found[far[found].argmax()]]) if len(found) else 0

    def suspects(self) -> Suspects:
        """Of the burst that `saw` has just told of."""
        size = self._burst()
        size -= int(self.wrong[-size:].argmax())  # it begins with an error
        classes, wrong = self.classes[-size:], self.wrong[-size:]
        instead = self.predicted[-size:][wrong]
        suspects = np.union1d(classes, instead[instead >= 0])
        is_of = suspects[:, None] == classes
        return Suspects(
            classes=suspects,
            rows=is_of.sum(axis=1),
            right=(is_of & ~wrong).sum(axis=1),
            blamed=(suspects[:, None] == instead).sum(axis=1),
            began=int(self.age[-size]),
        )

    def reset(self, event: int) -> None:
        """Begin anew after an alarm at this event."""
        self.classes, self.predicted = self.classes[:0], self.predicted[:0]
        self.wrong, self.age = self.wrong[:0], self.age[:0]
        self._errors = self._rows = 0.0
        self.last = event

    def state(self) -> dict[str, Array]:
        """Copies."""
        return {
            "classes": self.classes.copy(),
            "predicted": self.predicted.copy(),
            "events": self.age.copy(),
            "totals": np.array([self._errors, self._rows, self.last]),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`; begin anew from those of a version that did not keep what was predicted."""
        if "predicted" not in arrays:
            return
        self.classes, self.predicted = arrays["classes"].astype(np.int64), arrays["predicted"].astype(np.int64)
        self.wrong = self.classes != self.predicted
        self.age = arrays["events"].astype(np.int64)
        totals = arrays["totals"].astype(np.float64)
        self._errors, self._rows, self.last = float(totals[0]), float(totals[1]), int(totals[2])
