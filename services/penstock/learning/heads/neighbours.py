"""Nearest stored rows, weighed by a triangle."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

SMOOTHING = 0.3
GROUPED = 8
"""Stored rows that are first looked at together, by the nearest of them."""
FEW_DISTANCES = 4096
"""Of so few it takes longer to look for what must be sorted than to sort all."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Stored rows [r, d] with their classes [r] and ids [r]; `halved` is −2 × rows transposed, `squares` |row|².

    Both are filled up to a multiple of 8 rows by some that are infinitely far from all.
    """

    rows: Float64s
    halved: Float32s
    squares: Float32s
    classes: Int64s
    ids: UInt64s

    @classmethod
    def of(cls, rows: Float64s, classes: Int64s, ids: UInt64s) -> "Neighbours":
        """With what distances need worked out once."""
        num_rows, width = rows.shape
        filled = -(-num_rows // GROUPED) * GROUPED
        halved = np.zeros((filled, width), dtype=np.float32)
        squares = np.full(filled, np.inf, dtype=np.float32)
        single = halved[:num_rows]
        single[:] = rows
        np.einsum("rd,rd->r", single, single, out=squares[:num_rows])
        single *= -2
        return cls(rows=rows, halved=halved.T, squares=squares, classes=classes, ids=ids)

    def scores(self, queries: Float64s, num_classes: int, leave_out: UInt64s | None = None) -> Float64s:
        """Ln p [n, C] from the √r/2 nearest rows; one falls off to weight 0 at the distance of the next.

        `leave_out` [n] is the id of the one stored row that a query must not see, itself. Rows are found in float32,
        and weighed by their distances in float64; which of two equally far ones is found changes nothing, since the
        farthest weighs 0.
        """
        num_queries, num_rows = len(queries), len(self.rows)
        num_near = max(1, round(math.sqrt(num_rows) / 2))
        if num_rows <= num_near or not num_queries:
            return np.full((num_queries, num_classes), -math.log(max(num_classes, 1)))
        distances = queries.astype(np.float32) @ self.halved
        distances += self.squares
        count = num_near + 1
        if leave_out is not None:
            distances[:, :num_rows][leave_out[:, None] == self.ids] = np.inf
            count = min(count, num_rows - 1)
        asking, places = _nearest(distances, count)
        apart = self.rows.take(places, axis=0)
        apart -= queries.take(asking, axis=0)
        near = np.sqrt(np.einsum("kd,kd->k", apart, apart))
        edges = _edges(near, asking, num_queries, count)
        edges[edges == 0] = 1.0
        weights = np.maximum(1 - near / edges.take(asking), 0.0)
        cells = asking * num_classes + self.classes.take(places)
        votes = np.bincount(cells, weights, num_queries * num_classes).reshape(num_queries, num_classes)
        totals = votes.sum(axis=1, keepdims=True) + SMOOTHING
        scores: Float64s = np.log((votes + SMOOTHING / num_classes) / totals)
        return scores


def _nearest(distances: Float32s, count: int) -> tuple[Int64s, Int64s]:
    """Rows and columns [k] of at least the `count` smallest of each row of `distances` [n, 8 g], row by row.

    No more of them are wanted than groups that begin with smaller ones than all others: so whatever is no larger than
    the last of these groups' least holds them, and little else. To look for it takes half as long as to sort places.
    """
    num_queries, num_columns = distances.shape
    if distances.size > FEW_DISTANCES:
        by_group = distances
        if num_columns >= 2 * GROUPED * count:
            by_group = torch.from_numpy(distances).view(num_queries, GROUPED, -1).amin(1).numpy()
        most = np.partition(by_group, count - 1, axis=1)[:, count - 1, None]
        found = np.flatnonzero(distances <= most)
        if len(found) <= 2 * count * num_queries:  # more are equally far
            asking = found // num_columns
            return asking, found - asking * num_columns
    columns = distances.argpartition(count - 1, axis=1)[:, :count].ravel()
    return np.arange(num_queries).repeat(count), columns


def _edges(near: Float64s, asking: Int64s, num_queries: int, count: int) -> Float64s:
    """[n]: of the distances `near` [k] of each query, in the order of queries, the `count`-th smallest."""
    if len(near) == num_queries * count:
        edges: Float64s = near.reshape(num_queries, count).max(axis=1)
        return edges
    counts = np.bincount(asking, minlength=num_queries)
    within = np.arange(len(near)) - (counts.cumsum() - counts).take(asking)
    by_query = np.full((num_queries, int(counts.max())), np.inf)
    by_query[asking, within] = near
    return np.partition(by_query, count - 1, axis=1)[:, count - 1]
