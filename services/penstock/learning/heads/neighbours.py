"""Nearest stored rows, weighed by a triangle."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

SMOOTHING = 0.3


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Stored rows [r, d] with their classes [r] and ids [r]; `halved` is −2 × rows transposed, `squares` |row|²."""

    rows: Float64s
    halved: Float32s
    squares: Float32s
    classes: Int64s
    ids: UInt64s

    @classmethod
    def of(cls, rows: Float64s, classes: Int64s, ids: UInt64s) -> "Neighbours":
        """With what distances need worked out once."""
        single = rows.astype(np.float32)
        squares = np.einsum("rd,rd->r", single, single)
        return cls(rows=rows, halved=-2 * single.T, squares=squares, classes=classes, ids=ids)

    def scores(self, queries: Float64s, num_classes: int, leave_out: UInt64s | None = None) -> Float64s:
        """Ln p [n, C] from the √r/2 nearest rows; one falls off to weight 0 at the distance of the next.

        `leave_out` [n] is the id of the one stored row that a query must not see, itself. Rows are found in float32,
        and weighed by their distances in float64; which of two equally far ones is found changes nothing, since the
        farthest weighs 0.
        """
        num_near = max(1, round(math.sqrt(len(self.rows)) / 2))
        if len(self.rows) <= num_near:
            return np.full((len(queries), num_classes), -math.log(max(num_classes, 1)))
        distances = queries.astype(np.float32) @ self.halved
        distances += self.squares
        if leave_out is not None:
            distances[leave_out[:, None] == self.ids] = np.inf
        places = distances.argpartition(num_near, axis=1)[:, : num_near + 1]
        apart = self.rows[places]
        apart -= queries[:, None, :]
        near = np.sqrt(np.einsum("nkd,nkd->nk", apart, apart))
        is_left_out = None if leave_out is None else leave_out[:, None] == self.ids[places]
        if is_left_out is not None:
            near[is_left_out] = 0.0
        edge = near.max(axis=1, keepdims=True)
        edge[edge == 0] = 1.0
        weights = 1 - near / edge
        if is_left_out is not None:
            weights[is_left_out] = 0.0
        cells = np.arange(len(queries))[:, None] * num_classes + self.classes[places]
        votes = np.bincount(cells.ravel(), weights.ravel(), len(queries) * num_classes).reshape(-1, num_classes)
        scores: Float64s = np.log((votes + SMOOTHING / num_classes) / (votes.sum(axis=1, keepdims=True) + SMOOTHING))
        return scores
