"""What the analytic head knew when it was last solved."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.learning.heads.discriminant import Readout, Solution, leave_out
from penstock.learning.heads.features import RandomFeatures

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


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
