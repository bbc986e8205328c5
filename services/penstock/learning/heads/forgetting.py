"""A small discriminant that forgets: for what changes.

The scatter within classes fades with every row; a class's mean fades with rows of its own class only, so that a class
that stays away keeps its place.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from penstock.flow import Array
from penstock.learning.heads.discriminant import Readout

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

FADING = 0.995
PENALTY_ROWS = 4.0
MOST_CLASSES = 256
WIDEST = 128
ROWS_PER_SOLVE = 16
"""One solve for every d/16 rows: on wide rows it would cost more than all else."""


class ForgettingHead:
    """Means [C, d], their faded counts [C], and the faded scatter [d, d] about them."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._scatter: Float64s = np.zeros((width, width))
        self._total = 0.0
        self._means: Float64s = np.zeros((0, width))
        self.counts: Float64s = np.zeros(0)
        self._since_solve = 0
        self._powers: Float64s = np.ones(1)
        self.readout: Readout | None = None

    def grow(self, num_classes: int) -> None:
        """Make room for classes."""
        missing = num_classes - len(self.counts)
        if missing > 0:
            self.counts = np.concatenate((self.counts, np.zeros(missing)))
            self._means = np.concatenate((self._means, np.zeros((missing, self.width))))

    def learn(self, rows: Float64s, classes: Int64s, weights: Float64s) -> None:
        """Rows [n, d] in order, n ≥ 1."""
        num_rows = len(rows)
        counts = np.bincount(classes)
        present = counts.nonzero()[0]
        places = classes if len(present) == len(counts) else present.searchsorted(classes)
        counts = counts[present]
        order = places.astype(np.int16).argsort(kind="stable")  # of short integers NumPy counts rather than compares
        later = np.empty(num_rows, dtype=np.int64)  # rows of the same class still to come
        later[order] = counts.cumsum().repeat(counts) - 1 - np.arange(num_rows)
        powers = self._powers_to(num_rows)
        own = powers[later] * weights
        sizes = np.bincount(places, own)
        means = np.zeros((len(present), self.width))
        torch.from_numpy(means).index_add_(0, torch.from_numpy(places), torch.from_numpy(rows * own[:, None]))
        means /= sizes[:, None]
        before = powers[counts] * self.counts[present]
        after = before + sizes
        moved = means - self._means[present]
        ages = weights * powers[:num_rows][::-1]
        about = rows - means[places]
        self._scatter *= powers[num_rows]
        self._scatter += (about * ages[:, None]).T @ about
        self._scatter += (moved * (before * sizes / after)[:, None]).T @ moved
        self._total = self._total * powers[num_rows] + float(ages.sum())
        self._means[present] += moved * (sizes / after)[:, None]
        self.counts[present] = after
        self._since_solve += num_rows
        if self.readout is None or len(self.readout.biases) < len(self.counts):
            self._since_solve = self.width
        if self._since_solve * ROWS_PER_SOLVE >= self.width:
            self.solve()

    def mean_of(self, label: int) -> tuple[float, Float64s]:
        """A class's faded count and a copy of its mean [d]."""
        return float(self.counts[label]), self._means[label].copy()

    def put_back(self, label: int, count: float, mean: Float64s) -> None:
        """Know a class again that was dropped: its mean has kept its place, as that of any class that stays away."""
        self.counts[label], self._means[label] = count, mean
        self.solve()

    def drop(self, labels: Int64s) -> None:
        """Forget these classes."""
        self.counts[labels], self._means[labels] = 0.0, 0.0
        self.solve()

    def forget_all(self) -> None:
        """Begin anew, for the classes there are."""
        self._scatter[:], self._means[:], self.counts[:] = 0.0, 0.0, 0.0
        self._total, self.readout = 0.0, None

    def solve(self) -> None:
        """Make the read-out that of all rows learnt."""
        self._since_solve = 0
        regular, total = self._scatter.copy(), max(self._total, 1.0)
        diagonal = regular.ravel()[:: self.width + 1]
        diagonal += PENALTY_ROWS / total * max(float(diagonal.sum()) / self.width, 1e-3)
        means = self._means.T
        weights = np.linalg.solve(regular, total * means).astype(np.float64)
        biases = (means * weights).sum(axis=0)
        biases *= -0.5
        biases[self.counts <= 0] = -np.inf
        self.readout = Readout(weights=weights, biases=biases).rounded()

    def _powers_to(self, exponent: int) -> Float64s:
        if len(self._powers) <= exponent:
            self._powers = FADING ** np.arange(2 * exponent + 1, dtype=np.float64)
        return self._powers

    def state(self) -> dict[str, Array]:
        """Copies of all that decides what it learns and says."""
        state: dict[str, Array] = {
            "scatter": self._scatter.copy(),
            "means": self._means.copy(),
            "counts": self.counts.copy(),
            "totals": np.array([self._total, self._since_solve], dtype=np.float64),
        }
        if self.readout is not None:
            state["readout.weights"] = self.readout.weights.astype(np.float32)
            state["readout.biases"] = self.readout.biases.astype(np.float32)
        return state

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self._scatter = arrays["scatter"].astype(np.float64)
        self._means = arrays["means"].astype(np.float64)
        self.counts = arrays["counts"].astype(np.float64)
        totals = arrays["totals"].astype(np.float64)
        self._total, self._since_solve = float(totals[0]), int(totals[1])
        if "readout.weights" in arrays:
            self.readout = Readout(
                weights=arrays["readout.weights"].astype(np.float64),
                biases=arrays["readout.biases"].astype(np.float64),
            )
