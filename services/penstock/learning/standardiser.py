"""Running means and deviations of the number columns, applied where the network reads a row."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

CLIPPED_AT = 6.0
FAR_OUT = 100.0
"""Deviations. A number farther out counts as one so far: a single absurd one would make all others look the same."""
SETTLED_ROWS = 32
"""So many say how far numbers lie apart."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)

Float64s = npt.NDArray[np.float64]


class Moments:
    """Count, mean and sum of squared deviations per column, float64, merged batch by batch.

    Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979), eq. 2.1.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.count = 0
        self.mean: Float64s = np.zeros(width)
        self.squares: Float64s = np.zeros(width)

    def begin(self, mean: Float64s, inverse_deviation: Float64s, count: int) -> None:
        """As if `count` rows of this mean and 1/σ, each [width], had been taken in."""
        self.count = count
        self.mean = mean
        self.squares = count / np.square(inverse_deviation)

    def merge(self, rows: npt.NDArray[np.float32]) -> None:
        """Take in `rows` [n, width], n ≥ 1."""
        count, (mean, squares) = len(rows), _mean_and_squares(rows.astype(np.float64))
        delta = mean - self.mean
        if self.count >= SETTLED_ROWS and (squares + count * delta**2 > self._farthest).any():
            mean, squares = _mean_and_squares(self._within_reach(rows))
            delta = mean - self.mean
        total = self.count + count
        self.mean = self.mean + delta * (count / total)
        delta *= delta
        delta *= self.count * count / total
        squares += self.squares
        self.squares = squares + delta
        self.count = total

    @property
    def _farthest(self) -> Float64s:
        """The squared distance to the mean at which a number is far out; for a column that has not varied, none is."""
        farthest: Float64s = FAR_OUT**2 / self.count * self.squares
        return np.where(farthest > 0, farthest, np.inf)

    def _within_reach(self, rows: npt.NDArray[np.float32]) -> Float64s:
        reach = np.sqrt(self._farthest)
        return np.clip(rows.astype(np.float64), self.mean - reach, self.mean + reach)

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
