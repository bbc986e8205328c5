"""The analytic head: exact sums of fixed features, and the discriminant that they give.

What it has learnt is a set of events: neither their order nor how they came in batches matters, a weight of w is w
repeats, a row can be taken out again, and so can a class, and be put back. Guo et al., "Analytic class-incremental
learning" (NeurIPS 2022); McDonnell et al., "RanPAC" (NeurIPS 2023).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg.blas import dsyrk

from penstock.flow import Array
from penstock.learning.heads.discriminant import (
    MOST_CLASSES_FOR_RESIDUALS,
    Readout,
    Solution,
    leave_out,
    penalty,
    solve,
)
from penstock.learning.heads.features import RandomFeatures, num_random_for

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

FOLDED_ROWS = 256
FEW_CLASSES = 32
"""In rows that are summed at once: a product with zeros and ones is then quicker than sorting them."""
MOST_SUMS = 1 << 20
"""C × m; with more classes random features are given up, half of them at a time, which is exact."""
FEWEST_RANDOM = 64
_NO_WEIGHT = 1e-9
_FADED_AWAY = 1e-6
"""Of a class that has faded to less, nothing is left."""


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """One class's part of the sums: n_c, Σ w² of its rows, and Q_c [m]."""

    count: float
    squares: float
    sums: Float64s


@dataclass(frozen=True, kw_only=True)
class Solved:
    """What a `solve` knew: it does not move on with what is learnt later."""

    features: RandomFeatures
    solution: Solution
    readout: Readout
    counts: Float64s
    is_exact: bool

    def scores_without(self, rows: Float64s, classes: Int64s, weights: Float64s) -> Float64s:
        """[n, C]: what it would say of each learnt row had it not been learnt.

        With more than 256 classes, where too little is known of a row's class, or where rows have faded, its plain
        scores.
        """
        psi = self.features(rows)
        scores = self.readout.scores(psi)
        if self.is_exact:
            learnt = np.flatnonzero(self.counts[classes] > 2 * weights)
            if len(learnt):
                left_out = psi[learnt], classes[learnt], len(self.counts), weights[learnt]
                scores[learnt] = leave_out(self.solution, *left_out)
        return scores


class AnalyticHead:
    """G, Q and n in float64. Rows wait in a short queue, since G takes 256 rows at once as quickly as 40 one by one."""

    def __init__(self, width: int, *, seed: int, forgetting: float = 1.0) -> None:
        """`forgetting` is β: a row's weight is multiplied by it with every later row."""
        self.features = RandomFeatures(width, num_random_for(width), seed=seed)
        self.forgetting = forgetting
        self._gram: Float64s = np.zeros((self.features.size, self.features.size))  # its lower triangle counts
        self._sums: Float64s = np.zeros((0, self.features.size))
        self.counts: Float64s = np.zeros(0)
        self._squares: Float64s = np.zeros(0)
        self._rows: Float64s = np.empty((FOLDED_ROWS, width))
        self._classes: Int64s = np.empty(FOLDED_ROWS, dtype=np.int64)
        self._weights: Float64s = np.empty(FOLDED_ROWS)
        self._num_waiting = 0
        self._exact: Solution | None = None
        self.readout: Readout | None = None
        self.solved_counts: Float64s = np.zeros(0)

    @property
    def num_classes(self) -> int:
        return len(self.counts)

    @property
    def horizon(self) -> float:
        """As many rows as what it remembers amounts to at most; infinite where nothing fades."""
        return 1 / (1 - self.forgetting) if self.forgetting < 1 else float("inf")

    @property
    def _num_rows(self) -> Float64s:
        """[C]: how many rows a class's mean is as good as; more than n_c where they weigh less than 1."""
        squares = np.where(self._squares > 0, self._squares, np.inf)
        rows: Float64s = np.maximum(self.counts, np.square(self.counts) / squares)
        return rows

    def grow(self, num_classes: int) -> None:
        """Make room for classes; where C × m grows too large, ψ gives up random features."""
        missing = num_classes - self.num_classes
        if missing <= 0:
            return
        self._fold()
        num_random = self.features.num_random
        while num_random > FEWEST_RANDOM and num_classes * (1 + self.features.width + num_random) > MOST_SUMS:
            num_random //= 2
        if num_random < self.features.num_random:
            self._shrink(num_random)
        self.counts = np.concatenate((self.counts, np.zeros(missing)))
        self._squares = np.concatenate((self._squares, np.zeros(missing)))
        self._sums = np.concatenate((self._sums, np.zeros((missing, self.features.size))))

    def learn(self, rows: Float64s, classes: Int64s, weights: Float64s | None = None) -> None:
        """Add rows [n, width]; a negative weight takes out what was added with its opposite."""
        if weights is None:
            weights = np.ones(len(rows))
        for start in range(0, len(rows), FOLDED_ROWS):
            stop = min(start + FOLDED_ROWS, len(rows))
            self._wait(rows[start:stop], classes[start:stop], weights[start:stop])

    def retract(self, rows: Float64s, classes: Int64s, weights: Float64s | None = None) -> None:
        """Take rows out: the sums are those of a head that has never seen them (without forgetting)."""
        self.learn(rows, classes, -np.ones(len(rows)) if weights is None else -weights)

    def sums_of(self, label: int) -> ClassSums:
        """A copy of a class's part of the sums."""
        self._fold()
        count, squares = float(self.counts[label]), float(self._squares[label])
        return ClassSums(count=count, squares=squares, sums=self._sums[label].copy())

    def take_out(self, label: int) -> ClassSums:
        """Remove a class from the read-out; G keeps its rows. The next `solve` knows nothing of it."""
        packet = self.sums_of(label)
        self.counts[label], self._squares[label], self._sums[label] = 0.0, 0.0, 0.0
        return packet

    def put_back(self, label: int, packet: ClassSums, *, slept_rows: int = 0) -> None:
        """Add what `take_out` gave, that many rows ago: the read-out is the joint one over everything ever seen."""
        self._fold()
        left = self.forgetting**slept_rows
        self.counts[label] += packet.count * left
        self._squares[label] += packet.squares * left**2
        self._sums[label] += packet.sums[: self.features.size] * left

    def add_scatter(self, scatter: Float64s) -> None:
        """Add G_c [m, m] of a class whose rows this G has never held, or holds no longer."""
        self._fold()
        self._gram += scatter

    def retract_known(self, row: Float64s, label: int, weight: float) -> bool:
        """Take one row [width] out, unless the sums say that it was never in them; then False, and nothing changes.

        Whatever was added leaves a scatter within classes that is positive definite when it is taken out.
        """
        self._fold()
        count = float(self.counts[label]) - weight
        if count < -_NO_WEIGHT:
            return False
        psi = self.features(row[None])[0]
        sums = self._sums[label] - weight * psi if count > _NO_WEIGHT else np.zeros_like(psi)
        gram = self._gram - weight * np.outer(psi, psi)
        others = np.flatnonzero(self.counts > _NO_WEIGHT)
        others = others[others != label]
        within = gram - self._sums[others].T @ (self._sums[others] / self.counts[others, None])
        if count > _NO_WEIGHT:
            within -= np.outer(sums, sums) / count
        total = float(self.counts[others].sum()) + max(count, 0.0)
        within[np.diag_indices(len(within))] += penalty(gram, total, self.features.width) if total > 0 else 1e-9
        if torch.linalg.cholesky_ex(torch.from_numpy(within)).info.item():
            return False
        self._gram, self._sums[label] = gram, sums
        self.counts[label] = count if count > _NO_WEIGHT else 0.0
        self._squares[label] = max(float(self._squares[label]) - weight**2, 0.0) if count > _NO_WEIGHT else 0.0
        return True

    def count_as_rows(self, label: int) -> None:
        """A class known from rows that stand for others is known as well as by n_c rows, however many stood."""
        self._squares[label] = self.counts[label]

    def forget_all(self) -> None:
        """Begin anew, for the classes there are."""
        self._num_waiting = 0
        self._gram[:], self._sums[:], self.counts[:], self._squares[:] = 0.0, 0.0, 0.0, 0.0

    def solve(self) -> None:
        """Make the read-out that of all rows learnt."""
        self._fold()
        self.solved_counts = self.counts.copy()
        if not (self.counts > 0).any():
            self._exact, self.readout = None, None
            return
        total = float(self.counts.sum())
        lam = penalty(self._gram, total, self.features.width)
        self._exact = solve(self._gram, self._sums, self.counts, self._num_rows, lam)
        self.readout = self._exact.readout(self.num_classes).rounded()

    def exact_scores(self, rows: Float64s) -> Float64s:
        """[n, C] by the read-out of the last `solve`, not rounded."""
        assert self._exact is not None
        return self._exact.readout(self.num_classes).scores(self.features(rows))

    @property
    def solved(self) -> Solved | None:
        """What the last `solve` knew; None where it knew nothing, or was made before a restart."""
        if self._exact is None or self.readout is None:
            return None
        is_exact = len(self._exact.live) <= MOST_CLASSES_FOR_RESIDUALS and self.forgetting == 1
        return Solved(
            features=self.features,
            solution=self._exact,
            readout=self.readout,
            counts=self.solved_counts,
            is_exact=is_exact,
        )

    def state(self) -> dict[str, Array]:
        """Copies of all that decides what it learns and says; G as its lower triangle, row by row."""
        size = self.features.size
        triangle = np.empty(size * (size + 1) // 2)
        for row in range(size):
            triangle[row * (row + 1) // 2 : (row + 1) * (row + 2) // 2] = self._gram[row, : row + 1]
        waiting = slice(0, self._num_waiting)
        state: dict[str, Array] = {
            "gram": triangle,
            "sums": self._sums.copy(),
            "counts": self.counts.copy(),
            "squares": self._squares.copy(),
            "rows": self._rows[waiting].copy(),
            "classes": self._classes[waiting].copy(),
            "weights": self._weights[waiting].copy(),
            "solved_counts": self.solved_counts.copy(),
        }
        if self.readout is not None:
            state["readout.weights"] = self.readout.weights.astype(np.float32)
            state["readout.biases"] = self.readout.biases.astype(np.float32)
        return state

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        sums = arrays["sums"].astype(np.float64)
        self._shrink(sums.shape[1] - 1 - self.features.width)
        size = self.features.size
        triangle = arrays["gram"].astype(np.float64)
        for row in range(size):
            values = triangle[row * (row + 1) // 2 : (row + 1) * (row + 2) // 2]
            self._gram[row, : row + 1], self._gram[: row + 1, row] = values, values
        self._sums, self.counts = sums, arrays["counts"].astype(np.float64)
        self._squares = arrays["squares"].astype(np.float64)
        self._num_waiting = len(arrays["rows"])
        self._rows[: self._num_waiting] = arrays["rows"]
        self._classes[: self._num_waiting] = arrays["classes"]
        self._weights[: self._num_waiting] = arrays["weights"]
        self.solved_counts = arrays["solved_counts"].astype(np.float64)
        if "readout.weights" in arrays:
            self.readout = Readout(
                weights=arrays["readout.weights"].astype(np.float64),
                biases=arrays["readout.biases"].astype(np.float64),
            )

    def _wait(self, rows: Float64s, classes: Int64s, weights: Float64s) -> None:
        if self._num_waiting + len(rows) > FOLDED_ROWS:
            self._fold()
        place = slice(self._num_waiting, self._num_waiting + len(rows))
        self._rows[place], self._classes[place], self._weights[place] = rows, classes, weights
        self._num_waiting += len(rows)
        if self.forgetting < 1:
            self._weights[: place.start] *= self.forgetting ** len(rows)
            self._weights[place] *= self.forgetting ** np.arange(len(rows) - 1, -1, -1)
            self.counts *= self.forgetting ** len(rows)
            self._squares *= self.forgetting ** (2 * len(rows))
            weights = self._weights[place]
        self.counts += np.bincount(classes, weights, self.num_classes)
        self._squares += np.bincount(classes, weights * np.abs(weights), self.num_classes)

    def _fold(self) -> None:
        """Take the waiting rows into the sums."""
        waiting = slice(0, self._num_waiting)
        if not self._num_waiting:
            return
        weights, classes = self._weights[waiting], self._classes[waiting]
        psi = self.features(self._rows[waiting])
        if self.forgetting < 1:
            faded = self.forgetting**self._num_waiting
            self._gram *= faded
            self._sums *= faded
        if (weights == 1).all():  # for BLAS a row-major lower triangle is the upper one of a column-major matrix
            dsyrk(1.0, psi.T, beta=1.0, c=self._gram.T, overwrite_c=True)
            weighed = psi
        else:
            weighed = psi * weights[:, None]
            self._gram += weighed.T @ psi
        _add_by_class(self._sums, weighed, classes)
        self._num_waiting = 0
        if self.forgetting < 1:
            gone = self.counts < _FADED_AWAY
            self.counts[gone], self._squares[gone], self._sums[gone] = 0.0, 0.0, 0.0

    def _shrink(self, num_random: int) -> None:
        self.features = self.features.with_fewer(num_random)
        size = self.features.size
        self._gram = np.ascontiguousarray(self._gram[:size, :size])
        self._sums = np.ascontiguousarray(self._sums[:, :size])
        if self.readout is not None:
            self.readout = None


def _add_by_class(sums: Float64s, psi: Float64s, classes: Int64s) -> None:
    """Add every row ψ [n, m] to its class's of `sums` [C, m]."""
    present = np.flatnonzero(np.bincount(classes, minlength=len(sums)))
    if len(present) <= FEW_CLASSES:
        sums[present] += (present[:, None] == classes).astype(np.float64) @ psi
        return
    order = np.argsort(classes, kind="stable")
    starts = np.flatnonzero(np.diff(classes[order], prepend=-1))
    sums[present] += np.add.reduceat(psi[order], starts)
