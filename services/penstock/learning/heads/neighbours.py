"""Nearest stored rows, weighed by a triangle."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

SMOOTHING = 0.3


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Stored rows [r, d] with their classes [r] and ids [r]."""

    rows: Float64s
    squares: Float64s
    classes: Int64s
    ids: UInt64s

    @classmethod
    def of(cls, rows: Float64s, classes: Int64s, ids: UInt64s) -> "Neighbours":
        """With what distances need worked out once."""
        return cls(rows=rows, squares=np.einsum("rd,rd->r", rows, rows), classes=classes, ids=ids)

    def scores(self, queries: Float64s, num_classes: int, leave_out: UInt64s | None = None) -> Float64s:
        """Ln p [n, C] from the √r/2 nearest rows; one falls off to weight 0 at the distance of the next.

        `leave_out` [n] is the id of the one stored row that a query must not see, itself.
        """
        num_near = max(1, round(math.sqrt(len(self.rows)) / 2))
        if len(self.rows) <= num_near:
            return np.full((len(queries), num_classes), -math.log(max(num_classes, 1)))
        distances = queries @ (-2.0 * self.rows.T)
        distances += self.squares
        if leave_out is not None:
            distances[leave_out[:, None] == self.ids] = np.inf
        places = np.argpartition(distances, num_near, axis=1)[:, : num_near + 1]
        near = np.take_along_axis(distances, places, axis=1)
        near += np.einsum("nd,nd->n", queries, queries)[:, None]
        near = np.sqrt(np.maximum(near, 0.0))
        edge = near.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            weights = np.where((edge > 0) & np.isfinite(near), 1 - near / np.where(edge > 0, edge, 1.0), 1.0)
        weights = np.where(np.isfinite(edge), weights, 1.0 * np.isfinite(near))
        cells = np.arange(len(queries))[:, None] * num_classes + self.classes[places]
        votes = np.bincount(cells.ravel(), weights.ravel(), len(queries) * num_classes).reshape(-1, num_classes)
        scores: Float64s = np.log((votes + SMOOTHING / num_classes) / (votes.sum(axis=1, keepdims=True) + SMOOTHING))
        return scores
