"""The long-term rows sorted by class, and which of them are held back to ask the heads about the past.

Of a class with n ≥ 4 rows the ⌈n/4⌉ of lowest priority are held, at most 16: a stratified sample, so that no class is
without. Heads trained by gradient do not learn them until they leave.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.replay.class_balanced import largest_quota

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

MOST_SHELVED = 1 << 16
"""Of a larger reservoir the rows of lowest priority, equally many of each class: a sample, and a bounded one."""
MOST_HELD = 16
FEWEST_ROWS = 4
_CLASS_BITS, _DROPPED_BITS = np.uint64(40), np.uint64(24)
"""A class of up to 2^24 before the highest 40 bits of the priority: one number to sort by."""


class Shelves:
    """Slots in use, by class and then by priority."""

    def __init__(self) -> None:
        self.slots: Int64s = np.zeros(0, dtype=np.int64)
        self.starts: Int64s = np.zeros(1, dtype=np.int64)
        self.num_held: Int64s = np.zeros(0, dtype=np.int64)
        self.thresholds: UInt64s = np.zeros(0, dtype=np.uint64)
        """By class: a row of at most this priority is held, if the class has any."""
        self._note_limits()

    @property
    def num_classes(self) -> int:
        return len(self.num_held)

    def sort(self, slot_classes: Int64s, slot_priorities: UInt64s, num_classes: int) -> None:
        """`slot_classes` [slots] are −1 where a slot is empty."""
        used = np.flatnonzero(slot_classes >= 0)
        ranks = slot_classes[used].astype(np.uint64) << _CLASS_BITS | slot_priorities[used] >> _DROPPED_BITS
        self.slots = used[np.argsort(ranks)]
        counts = np.bincount(slot_classes[used], minlength=num_classes)
        self.starts = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts)))
        if len(used) > MOST_SHELVED:
            counts = np.minimum(counts, max(1, largest_quota(counts, MOST_SHELVED, MOST_SHELVED)))
            self.slots = self._first(counts)
            self.starts = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts)))
        held = np.minimum(MOST_HELD, -(-counts // FEWEST_ROWS))
        self.num_held = np.where(counts >= FEWEST_ROWS, held, 0)
        self.thresholds = np.zeros(num_classes, dtype=np.uint64)
        some = np.flatnonzero(self.num_held)
        self.thresholds[some] = slot_priorities[self.slots[self.starts[some] + self.num_held[some] - 1]]
        self._note_limits()

    def is_held(self, classes: Int64s, priorities: UInt64s) -> Bools:
        """[n] for rows of these classes and priorities."""
        held: Bools = priorities < self._limits.take(classes, mode="clip")
        return held

    def held(self, most: int) -> Int64s:
        """Slots of held rows, equally many of each class as far as `most` allows."""
        each = max(1, most // max(1, int((self.num_held > 0).sum())))
        held: Int64s = self._first(np.minimum(self.num_held, each))[:most]
        return held

    def lowest(self, each: Int64s) -> Int64s:
        """Slots of the rows of lowest priority, `each` [C] of every class (or as many as there are)."""
        return self._first(np.minimum(np.diff(self.starts), each))

    def _first(self, counts: Int64s) -> Int64s:
        total = int(counts.sum())
        offsets = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        slots: Int64s = self.slots[np.repeat(self.starts[:-1], counts) + offsets]
        return slots

    def draw(self, shares: npt.NDArray[np.float64], count: int, generator: np.random.Generator) -> Int64s:
        """Slots of rows not held, a class as often as its share of `shares` [C] says, with replacement."""
        num_classes = min(self.num_classes, len(shares))
        free = np.diff(self.starts)[:num_classes] - self.num_held[:num_classes]
        cumulated = np.cumsum(shares[:num_classes] * (free > 0))
        if not num_classes or cumulated[-1] <= 0:
            return self.slots[:0]
        draws = generator.random((2, count))
        classes = np.searchsorted(cumulated, draws[0] * cumulated[-1], side="right").clip(0, num_classes - 1)
        within = self.num_held[classes] + (draws[1] * free[classes]).astype(np.int64)
        slots: Int64s = self.slots[self.starts[classes] + within]
        return slots

    def state(self) -> dict[str, Array]:
        """Copies."""
        return {
            "slots": self.slots.copy(),
            "starts": self.starts.copy(),
            "num_held": self.num_held.copy(),
            "thresholds": self.thresholds.copy(),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self.slots, self.starts = arrays["slots"].astype(np.int64), arrays["starts"].astype(np.int64)
        self.num_held, self.thresholds = arrays["num_held"].astype(np.int64), arrays["thresholds"].astype(np.uint64)
        self._note_limits()

    def _note_limits(self) -> None:
        """By class, and last for all others, what a held row's priority lies below: one look-up decides."""
        above = np.where(self.num_held > 0, self.thresholds + np.uint64(1), np.uint64(0))
        self._limits: UInt64s = np.concatenate((above, np.zeros(1, dtype=np.uint64)))
