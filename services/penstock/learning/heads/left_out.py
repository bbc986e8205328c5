"""What the analytic head says of held rows, each left out: worked out when asked for, the same whoever asks first."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.learning.device import denormals_flushed
from penstock.learning.heads.solved import Solved

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

AT_ONCE = 32
_ASKED = 2
"""Goes before what is only not known yet."""


@dataclass(frozen=True, kw_only=True)
class LearntRows:
    """`rows` [n, d] of these `classes` [n] and `weights` [n], which the head had learnt when it was `solved`."""

    solved: Solved
    rows: Float64s
    classes: Int64s
    weights: Float64s
    asked: Float64s | None = None
    """[n, d], the same rows as they are read now, where some of them were learnt otherwise."""

    def scores_without(self, places: Int64s) -> Float64s:
        """[k, C] of the rows at `places` [k], each left out."""
        asked = None if self.asked is None else self.asked[places]
        return self.solved.scores_without(self.rows[places], self.classes[places], self.weights[places], asked)


class LeftOut:
    """Scores [n, C] of n rows.

    How matrix products round a row depends on how many there are and on its place among them, not on the others. So a
    row always stands at the same place among as many.
    """

    def __init__(self, of: LearntRows) -> None:
        self._of: LearntRows | None = of
        num_rows = len(of.rows)
        self._scores: Float64s = np.empty((num_rows, len(of.solved.counts)))
        self._is_known: Bools = np.zeros(num_rows, dtype=np.bool_)

    @classmethod
    def known(cls, scores: Float64s) -> "LeftOut":
        """These, which were worked out before."""
        found = object.__new__(cls)
        found._of, found._scores, found._is_known = None, scores, np.ones(len(scores), dtype=np.bool_)
        return found

    @property
    def num_classes(self) -> int:
        count: int = self._scores.shape[1]
        return count

    def at(self, places: Int64s) -> Float64s:
        """[k, C] of the rows at `places` [k]."""
        if self._of is not None and not self._is_known[places].all():
            self._work_out(self._of, places)
        found: Float64s = self._scores[places]
        return found

    def late(self) -> Callable[[], Float64s]:
        """Works out all of them, [n, C], in any thread."""
        frozen = copy(self)
        frozen._scores, frozen._is_known = self._scores.copy(), self._is_known.copy()
        return frozen._all

    @denormals_flushed()
    def _all(self) -> Float64s:
        return self.at(np.arange(len(self._scores)))

    def _work_out(self, of: LearntRows, places: Int64s) -> None:
        num_rows = len(of.rows)
        width = min(AT_ONCE, num_rows)
        wanted = np.zeros((-(-num_rows // width), width), dtype=np.int8)
        flat = wanted.reshape(-1)
        flat[:num_rows] = ~self._is_known
        flat[places] *= _ASKED
        while (wanted == _ASKED).any():
            some = wanted.argmax(axis=0) * width + np.arange(width)
            self._scores[some] = of.scores_without(some)
            self._is_known[some], flat[some] = True, 0
