"""The analytic head: exact sums of fixed features, and the discriminant that they give.

What it has learnt is a set of events: neither their order nor how they came in batches matters, a weight of w is w
repeats, a row can be taken out again, and so can a class, and be put back. Guo et al., "Analytic class-incremental
learning" (NeurIPS 2022); McDonnell et al., "RanPAC" (NeurIPS 2023).
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import structlog
import torch

from penstock.flow import Array
from penstock.learning.device import CPU
from penstock.learning.heads.discriminant import MOST_CLASSES_FOR_RESIDUALS, Readout, Solution, penalty, solve
from penstock.learning.heads.features import RandomFeatures, num_random_for
from penstock.learning.heads.solved import Solved
from penstock.learning.heads.sums import ClassSums, Sums
from penstock.learning.heads.waiting_rows import MOST_ROWS, WaitingRows

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

MOST_SUMS = 1 << 20
"""C × m; with more classes random features are given up, half of them at a time, which is exact."""
FEWEST_RANDOM = 64
LARGER_RIDGE, MOST_LARGER_RIDGES = 4.0, 32

log = structlog.get_logger(__name__)


class AnalyticHead:
    """Counts rows at once, sums them later, and answers with the read-out of the last `solve`."""

    def __init__(self, width: int, *, seed: int, forgetting: float = 1.0, device: torch.device = CPU) -> None:
        """`forgetting` is β: a row's weight is multiplied by it with every later row. `device` bears what is m × m."""
        self.features = RandomFeatures(width, num_random_for(width), seed=seed, device=device)
        self.forgetting = forgetting
        self._sums = Sums(self.features.size, forgetting=forgetting, device=device)
        self._waiting = WaitingRows(width, forgetting=forgetting)
        self._exact: Solution | None = None
        self.readout: Readout | None = None
        self.solved_counts: Float64s = np.zeros(0)
        self._larger = 0

    @property
    def counts(self) -> Float64s:
        """[C]: n_c of all rows learnt."""
        return self._sums.counts

    @property
    def num_classes(self) -> int:
        return len(self.counts)

    @property
    def horizon(self) -> float:
        """As many rows as what it remembers amounts to at most; infinite where nothing fades."""
        return 1 / (1 - self.forgetting) if self.forgetting < 1 else float("inf")

    def grow(self, num_classes: int) -> None:
        """Make room for classes; where C × m grows too large, ψ gives up random features."""
        if num_classes <= self.num_classes:
            return
        self._fold()
        num_random = self.features.num_random
        while num_random > FEWEST_RANDOM and num_classes * (1 + self.features.width + num_random) > MOST_SUMS:
            num_random //= 2
        if num_random < self.features.num_random:
            self._shrink(num_random)
        self._sums.grow(num_classes)

    def learn(self, rows: Float64s, classes: Int64s, weights: Float64s | None = None) -> None:
        """Add rows [n, width]; a negative weight takes out what was added with its opposite."""
        if weights is None:
            weights = np.ones(len(rows))
        for start in range(0, len(rows), MOST_ROWS):
            some = slice(start, start + MOST_ROWS)
            self._wait(rows[some], classes[some], weights[some])

    def retract(self, rows: Float64s, classes: Int64s, weights: Float64s | None = None) -> None:
        """Take rows out: the sums are those of a head that has never seen them (without forgetting)."""
        self.learn(rows, classes, -np.ones(len(rows)) if weights is None else -weights)

    def retract_known(self, row: Float64s, label: int, weight: float, *, is_sure: bool) -> bool:
        """Take one row [width] out, unless the sums say that it was never in them; then False, and nothing changes.

        Where it `is_sure` that it is in them, they are asked only once another left of which that was not sure.
        """
        self._fold()
        psi = self.features(row[None])[0]
        return self._sums.take_out_known(psi, label, weight, width=self.features.width, is_sure=is_sure)

    def sums_of(self, label: int) -> ClassSums:
        """A copy of a class's part of the sums."""
        self._fold()
        return self._sums.of(label)

    def take_out(self, label: int) -> ClassSums:
        """Remove a class from the read-out; G keeps its rows. The next `solve` knows nothing of it."""
        self._fold()
        return self._sums.take_out(label)

    def put_back(self, label: int, packet: ClassSums, *, slept_rows: int = 0) -> None:
        """Add what `take_out` gave, that many rows ago: the read-out is the joint one over everything ever seen."""
        self._fold()
        self._sums.put_back(label, packet, slept_rows=slept_rows)

    def add_scatter(self, scatter: Float64s) -> None:
        """Add G_c [m, m] of a class whose rows this G has never held, or holds no longer."""
        self._fold()
        self._sums.add_scatter(scatter)

    def know_from(self, label: int, rows: Float64s, count: float) -> None:
        """Know a class from rows [n, width] that stand for `count` of its own, and as well as by those.

        They are none of the stream's, so nothing fades by them.
        """
        self._fold()
        psi, weight = self.features(rows), count / len(rows)
        self._sums.add_scatter(weight * (psi.T @ psi))
        known = ClassSums(count=count, squares=count, sums=weight * psi.sum(axis=0))
        self._sums.put_back(label, known, slept_rows=0)

    def forget_all(self) -> None:
        """Begin anew, for the classes there are."""
        self._waiting.clear()
        self._sums.forget_all()

    def solve(self) -> None:
        """Make the read-out that of all rows learnt."""
        self._fold()
        counts = self.counts
        self.solved_counts = counts.copy()
        if not (counts > 0).any():
            self._exact, self.readout = None, None
            return
        self._exact = self._solution()
        self.readout = self._exact.readout(self.num_classes).rounded()

    def _solution(self) -> Solution:
        """With a larger ridge where rows left that were never in the sums, so that what they left is no scatter."""
        sums, counts = self._sums, self.counts
        ridge_penalty = penalty(sums.gram, float(counts.sum()), self.features.width)
        for larger in range(MOST_LARGER_RIDGES):
            try:
                solution = solve(sums.gram, sums.by_class, counts, sums.num_rows, ridge_penalty)
            except np.linalg.LinAlgError:
                ridge_penalty *= LARGER_RIDGE
            else:
                self._say_larger(larger)
                return solution
        return solve(sums.gram, sums.by_class, counts, sums.num_rows, ridge_penalty)

    def _say_larger(self, larger: int) -> None:
        """How often the ridge had to be made larger, where that is news."""
        if larger > self._larger:
            log.warning("rows were retracted that had never been learnt; a larger ridge keeps the sums solvable")
        self._larger = larger

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
        """Copies of all that decides what it learns and says."""
        state = {**self._sums.state(), **self._waiting.state(), "solved_counts": self.solved_counts.copy()}
        if self.readout is not None:
            state["readout.weights"] = self.readout.weights.astype(np.float32)
            state["readout.biases"] = self.readout.biases.astype(np.float32)
        return state

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self._shrink(arrays["sums"].shape[1] - 1 - self.features.width)
        self._sums.load(arrays)
        self._waiting.load(arrays)
        self.solved_counts = arrays["solved_counts"].astype(np.float64)
        if "readout.weights" in arrays:
            self.readout = Readout(
                weights=arrays["readout.weights"].astype(np.float64),
                biases=arrays["readout.biases"].astype(np.float64),
            )

    def _wait(self, rows: Float64s, classes: Int64s, weights: Float64s) -> None:
        if not self._waiting.has_room_for(len(rows)):
            self._fold()
        self._sums.count(classes, self._waiting.put(rows, classes, weights))

    def _fold(self) -> None:
        """Take the waiting rows into the sums."""
        if waiting := self._waiting:
            self._sums.add(self.features.on_device(waiting.rows), waiting.classes, waiting.weights)
            waiting.clear()

    def _shrink(self, num_random: int) -> None:
        self.features = self.features.with_fewer(num_random)
        self._sums.shrink(self.features.size)
        self.readout = None
