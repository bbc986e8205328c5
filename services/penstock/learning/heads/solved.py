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
        psi, num_classes = self.features(rows), len(self.counts)
        is_learnt = self.counts[classes] > 2 * weights
        if not self.is_exact or not is_learnt.any():
            return self.readout.scores(psi)
        if is_learnt.all():
            return leave_out(self.solution, psi, classes, num_classes, weights)
        scores = np.empty((len(psi), num_classes))
        scores[~is_learnt] = self.readout.scores(psi[~is_learnt])
        learnt = psi[is_learnt], classes[is_learnt], num_classes, weights[is_learnt]
        scores[is_learnt] = leave_out(self.solution, *learnt)
        return scores
