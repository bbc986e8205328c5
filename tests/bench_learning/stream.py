"""The noun of this benchmark: a stream of labelled rows, in the order in which they arrive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]
"""Class names, a numpy array of text [n]."""

LARGE_MEMORY = 10_000
SMALL_MEMORY = 200


@dataclass(frozen=True, kw_only=True)
class Stream:
    """`rows` [n, d] arrive once, in order, with `labels` [n]; `held_rows` [k, d] never arrive and are asked at the end.

    `kind` says how the columns are configured: d `number` features, or one `vector` of width d. `memory` is the
    reservoir's rows.
    """

    rows: Floats
    labels: Labels
    kind: Literal["number", "vector"] = "number"
    memory: int = LARGE_MEMORY
    held_rows: Floats = field(default_factory=lambda: np.empty((0, 0)))
    held_labels: Labels = field(default_factory=lambda: np.empty(0, dtype=str))

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.rows.shape[1])

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, num_rows: int) -> "Stream":
        """The same with only so many rows."""
        return replace(self, rows=self.rows[:num_rows], labels=self.labels[:num_rows])


StreamOf = Callable[[int], Stream]
"""A stream by its seed: the same seed gives the same rows."""


def names_of(labels: Sequence[Any] | npt.NDArray[Any]) -> Labels:
    """Labels of any type as class names."""
    return np.array([str(label) for label in labels])
