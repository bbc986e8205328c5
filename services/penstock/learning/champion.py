"""Is a version fit to take the place of the one before? Both are asked about rows that neither has learnt."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

LEAST_ROWS = 50
"""With fewer there is no telling, and every version passes."""
LEAST_CLASS_ROWS = 10
"""Of a class, before its recall is held against a version."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much worse a version may be: share of all rows, and of a class's; `confidence` that it is not more."""

    margin: float
    class_margin: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Of `rows`, `better` were right by the challenger alone and `worse` by the champion alone.

    `least` is the lower confidence bound of (better - worse) / rows; `lost` the recall that classes have lost beyond
    the bound, by index.
    """

    rows: int
    better: int = 0
    worse: int = 0
    least: float = 0.0
    passed: bool = True
    lost: Mapping[int, float] = field(default_factory=dict)

    @property
    def difference(self) -> float:
        """Accuracy of the challenger less that of the champion."""
        return (self.better - self.worse) / self.rows if self.rows else 0.0


def compare(champion: Bools, challenger: Bools, classes: npt.NDArray[np.int64], bounds: Bounds) -> Verdict:
    """From what each has right of the same rows, bool [n], and the rows' classes [n].

    The standard error of a difference of paired shares: sqrt(b + c - (b - c)^2 / n) / n (McNemar's setting).
    """
    num_rows = len(classes)
    if num_rows < LEAST_ROWS:
        return Verdict(rows=num_rows)
    better, worse = int((challenger & ~champion).sum()), int((champion & ~challenger).sum())
    least = _least(better, worse, num_rows, bounds.confidence)
    counts = np.bincount(classes)
    gained = np.bincount(classes, challenger & ~champion, len(counts)).astype(np.int64)
    missed = np.bincount(classes, champion & ~challenger, len(counts)).astype(np.int64)
    asked = np.flatnonzero(counts >= LEAST_CLASS_ROWS)
    losses = {label: float((missed[label] - gained[label]) / counts[label]) for label in asked.tolist()}
    lost = {label: loss for label, loss in losses.items() if loss > bounds.class_margin}
    passed = least >= -bounds.margin and not lost
    return Verdict(rows=num_rows, better=better, worse=worse, least=least, passed=passed, lost=lost)


def _least(better: int, worse: int, num_rows: int, confidence: float) -> float:
    difference = (better - worse) / num_rows
    error = math.sqrt(max(better + worse - (better - worse) ** 2 / num_rows, 0.0)) / num_rows
    return difference - NormalDist().inv_cdf(confidence) * error
