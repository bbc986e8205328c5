"""Running means and deviations of the number columns, applied where the network reads a row."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.far_numbers import NEAR, Reach, within_reach_of_most

CLIPPED_AT = 6.0
SETTLED_ROWS = 32
"""So many say how far numbers lie apart."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]


class Moments:
    """Count, mean and sum of squared deviations per column, float64, merged batch by batch.

    Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979), eq. 2.1.
    Numbers far from all others count as nearer ones (`far_numbers`).
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.count = 0
        self.mean: Float64s = np.zeros(width)
        self.squares: Float64s = np.zeros(width)
        self._reach = Reach(width)
        self._first: Float32s = np.zeros((0, width), dtype=np.float32)
        """All rows, while they are fewer than `SETTLED_ROWS`."""

    def begin(self, mean: Float64s, inverse_deviation: Float64s, count: int) -> None:
        """As if `count` rows, at least `SETTLED_ROWS`, of this mean and 1/σ, each [width], had been taken in."""
        self.count = count
        self.mean = mean
        self.squares = count / np.square(inverse_deviation)

    def merge(self, rows: Float32s) -> None:
        """Take in `rows` [n, width], n ≥ 1."""
        if self.count < SETTLED_ROWS:
            self._take_first(rows)
        else:
            self._merge_settled(rows)

    def state(self) -> dict[str, Array]:
        """Copies; beside them goes the count."""
        return {
            "mean": self.mean.copy(),
            "squares": self.squares.copy(),
            "far_share": self._reach.far_share.copy(),
            "first": self._first.copy(),
        }

    def load(self, arrays: Mapping[str, Array], count: int) -> None:
        """Take up the values of `state()`."""
        self.count = count
        self.mean = arrays["mean"].astype(np.float64)
        self.squares = arrays["squares"].astype(np.float64)
        self._reach.far_share = arrays["far_share"].astype(np.float64)
        self._first = arrays["first"].astype(np.float32)

    def _take_first(self, rows: Float32s) -> None:
        """Anew from all rows so far: what is far out shows only when they are enough."""
        self._first = np.concatenate((self._first, rows))
        self.count = len(self._first)
        values = self._first.astype(np.float64)
        if self.count >= SETTLED_ROWS:
            values, self._first = within_reach_of_most(values), self._first[:0].copy()
        self.mean, self.squares = _mean_and_squares(values)

    def _merge_settled(self, rows: Float32s) -> None:
        count, (mean, squares) = len(rows), _mean_and_squares(rows.astype(np.float64))
        delta = mean - self.mean
        if (squares + count * delta**2 > NEAR**2 / self.count * self.squares).any():  # else no number is far out
            clipped = self._reach.clipped(rows, self.mean, self._clipping_deviation)
            if clipped is not None:
                mean, squares = _mean_and_squares(clipped)
                delta = mean - self.mean
        else:
            self._reach.pass_by(count)
        total = self.count + count
        self.mean = self.mean + delta * (count / total)
        delta *= delta
        delta *= self.count * count / total
        squares += self.squares
        self.squares = squares + delta
        self.count = total

    @property
    def _clipping_deviation(self) -> Float64s:
        """σ; infinite for a column that has not varied, of which no number is too far."""
        deviation = np.sqrt(self.squares / self.count)
        return np.where(deviation > 0, deviation, np.inf)

    @property
    def inverse_deviation(self) -> Float64s:
        """1/σ (of the population), and 1 where a column has not varied."""
        deviation = np.sqrt(self.squares / max(self.count, 1))
        return 1 / np.where(deviation > 0, deviation, 1.0)


def _mean_and_squares(values: Float64s) -> tuple[Float64s, Float64s]:
    """Of the columns of `values` [n, width], which are overwritten: mean, and sum of squared deviations from it."""
    mean = np.add.reduce(values)
    mean /= len(values)
    values -= mean
    return mean, np.einsum("nk,nk->k", values, values)


class Standardiser:
    """Float32 tensors of the moments: (x − mean)/σ, clipped to ±6, in the first `width` dense columns."""

    def __init__(self, width: int, device: torch.device) -> None:
        self.width = width
        self._both = torch.zeros(2, width, device=device)
        self.mean, self.inverse_deviation = self._both
        self.inverse_deviation.fill_(1)

    def follow(self, moments: Moments) -> None:
        """Take over the moments as they stand."""
        both = np.array((moments.mean, np.minimum(moments.inverse_deviation, _FLOAT32_MAX)), dtype=np.float32)
        self._both.copy_(torch.from_numpy(both))

    def __call__(self, dense: Tensor) -> Tensor:
        """`dense` [n, D] standardised; the same tensor where there is nothing to do."""
        if self.width == 0:
            return dense
        numbers = (dense[:, : self.width] - self.mean).mul_(self.inverse_deviation).clamp_(-CLIPPED_AT, CLIPPED_AT)
        return numbers if self.width == dense.shape[1] else torch.cat((numbers, dense[:, self.width :]), dim=1)
