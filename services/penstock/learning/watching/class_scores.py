"""Scores of each class by its own clock: they fade with the rows of the class, so one that stays away keeps its own."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.learning.watching.fading import Fading
from penstock.learning.watching.observed import Float64s, Int64s, ObservedRows

RECENT_FADING = 0.9
"""Of the recent recall: some ten rows of the class."""
ESTABLISHED_ROWS = 30
"""From so many rows on, a class is known: its recall may count as its best, its errors as drift."""

_HITS, _LOSSES, _ROWS, _RECENT_HITS, _RECENT_ROWS = range(5)


class ClassScores:
    """All arrays are [C] and grow as classes come. Rows of one class in one update count alike."""

    def __init__(self, fading: float) -> None:
        self._fading, self._recent_fading = Fading(fading), Fading(RECENT_FADING)
        self._faded: Float64s = np.zeros((5, 0))
        self.rows: Int64s = np.zeros(0, dtype=np.int64)
        """Rows seen, ever."""
        self.best_recall: Float64s = np.zeros(0)
        """The highest recall since the class had `ESTABLISHED_ROWS` rows."""
        self.last_event: Int64s = np.zeros(0, dtype=np.int64)
        """How many events, of all classes, had come with its last rows."""
        self.is_established: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        """Known by `ESTABLISHED_ROWS` rows or more."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def recall(self) -> Float64s:
        """Faded share predicted right; 0 for a class without rows."""
        return _ratio(self._faded[_HITS], self._faded[_ROWS])

    @property
    def loss(self) -> Float64s:
        """Faded mean of −ln p(label) in nats; 0 for a class without rows."""
        return _ratio(self._faded[_LOSSES], self._faded[_ROWS])

    @property
    def recent_recall(self) -> Float64s:
        """Of the last ten rows or so."""
        return _ratio(self._faded[_RECENT_HITS], self._faded[_RECENT_ROWS])

    @property
    def forgotten(self) -> Float64s:
        """Best recall ever minus recall now; 0 or more."""
        return np.maximum(self.best_recall - self.recall, 0)

    def update(self, rows: ObservedRows, events_seen: int) -> None:
        """Score rows; `events_seen` are all events up to and with them."""
        self._know_classes(int(rows.labels.max()) + 1)
        known = len(self)
        counts = np.bincount(rows.labels, minlength=known)
        hits = np.bincount(rows.labels, rows.hits, known)
        self._faded[:_RECENT_HITS] *= self._fading.powers(len(rows))[counts]
        self._faded[_RECENT_HITS:] *= self._recent_fading.powers(len(rows))[counts]
        self._faded += (hits, np.bincount(rows.labels, rows.losses, known), counts, hits, counts)
        self.rows += counts
        self.last_event[counts > 0] = events_seen
        self.is_established = self.rows >= ESTABLISHED_ROWS
        np.maximum(self.best_recall, self.recall, out=self.best_recall, where=self.is_established)

    def tensors(self) -> dict[str, Array]:
        """Copies, for a checkpoint."""
        return {
            "faded": self._faded.copy(),
            "rows": self.rows.copy(),
            "best_recall": self.best_recall.copy(),
            "last_event": self.last_event.copy(),
        }

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """Go on from `tensors()`. Raises `KeyError` for what is missing."""
        self._faded = tensors["faded"].astype(np.float64)
        self.rows = tensors["rows"].astype(np.int64)
        self.best_recall = tensors["best_recall"].astype(np.float64)
        self.last_event = tensors["last_event"].astype(np.int64)
        self.is_established = self.rows >= ESTABLISHED_ROWS

    def _know_classes(self, num_classes: int) -> None:
        if (missing := num_classes - len(self)) > 0:
            self._faded = np.concatenate((self._faded, np.zeros((5, missing))), axis=1)
            self.rows = np.concatenate((self.rows, np.zeros(missing, dtype=np.int64)))
            self.best_recall = np.concatenate((self.best_recall, np.zeros(missing)))
            self.last_event = np.concatenate((self.last_event, np.zeros(missing, dtype=np.int64)))


def _ratio(sums: Float64s, counts: Float64s) -> Float64s:
    return np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
