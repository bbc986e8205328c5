"""Rows like those of a class, for heads that learn from rows alone and must know a class again whose rows are gone.

Drawn from a normal distribution in the space of inputs, not of features: a backbone that has moved on reads them as it
reads any row, so no drift needs to be mapped.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.learning.heads.spread import Spread

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]

_NUMBERS = 2048
_MOST_DIRECTIONS, _FEWEST_DIRECTIONS = 16, 2


def likeness(dense: Float32s, weights: npt.NDArray[np.float32]) -> dict[str, Array]:
    """What a packet holds of rows [n ≥ 1, D] with `weights` [n]: a few KB, and 16 bytes a column where D is large."""
    rank = min(max(_NUMBERS // max(dense.shape[1], 1), _FEWEST_DIRECTIONS), _MOST_DIRECTIONS)
    rows, share = dense.astype(np.float64), weights / weights.sum(dtype=np.float64)
    mean = share @ rows
    deviation = np.sqrt(share @ np.square(rows - mean))
    scaled = (rows - mean) / np.where(deviation > 0, deviation, 1.0)
    spread = Spread.of(scaled, share, rank=rank)
    return {"mean": mean.astype(np.float32), "deviation": deviation.astype(np.float32), **spread.state()}


def rows_like(arrays: Mapping[str, Array], count: int, generator: np.random.Generator) -> Float64s:
    """Dense rows [count, D] drawn from what `likeness` kept."""
    spread = Spread(factor=arrays["factor"].astype(np.float16), remainder=arrays["remainder"].astype(np.float32))
    scaled = spread.drawn(count, generator)
    mean, deviation = arrays["mean"].astype(np.float64), arrays["deviation"].astype(np.float64)
    rows: Float64s = mean + scaled * deviation
    return rows
