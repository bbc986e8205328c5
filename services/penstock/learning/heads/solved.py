"""What the analytic head knew when it was last solved."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.learning.heads.discriminant import Readout, Solution, leave_out
from penstock.learning.heads.features import RandomFeatures

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

NO_WEIGHT = 1e-300
"""Less than any row's, and not 0, by which it could not be divided."""


@dataclass(frozen=True, kw_only=True)
class Solved:
    """What a `solve` knew: it does not move on with what is learnt later."""

    features: RandomFeatures
    solution: Solution
    readout: Readout
    counts: Float64s
    is_exact: bool

    def scores_without(
        self, rows: Float64s, classes: Int64s, weights: Float64s, asked: Float64s | None = None
    ) -> Float64s:
        """[n, C]: what it would say of each learnt row had it not been learnt; `asked` [n, d] as it is read now.

        With more than 256 classes, where too little is known of a row's class, or where rows have faded, its plain
        scores.
        """
        psi, is_learnt = self.features(rows), self.counts[classes] > 2 * weights
        psi_now = None if asked is None else self.features(asked)
        plainly = psi if psi_now is None else psi_now
        if not self.is_exact or not is_learnt.any():
            return self.readout.scores(plainly)
        if is_learnt.all():
            return leave_out(self.solution, psi, classes, len(self.counts), weights, psi_now)
        # The others go along as rows of no weight, so that as many rows are multiplied, which rounds them alike.
        classes, weights = np.where(is_learnt, classes, self.solution.live[0]), np.where(is_learnt, weights, NO_WEIGHT)
        scores = leave_out(self.solution, psi, classes, len(self.counts), weights, psi_now)
        scores[~is_learnt] = self.readout.scores(plainly)[~is_learnt]
        return scores
