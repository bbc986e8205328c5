"""Powers of a fading factor, made once: the weights with which the rows of a batch enter a faded sum."""

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]


class Fading:
    """A faded sum S ← x + αS over n rows at once is S·α^n + Σ α^(n−1−i)·x_i."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self._powers: Float64s = np.ones(1)

    def powers(self, highest: int) -> Float64s:
        """α^0 … α^highest, at least; not to be written to."""
        if len(self._powers) <= highest:
            self._powers = self.factor ** np.arange(2 * highest + 1, dtype=np.float64)
        return self._powers

    def row_weights(self, num_rows: int) -> Float64s:
        """[n]: what each of `num_rows` ≥ 1 rows, oldest first, weighs once the last one has come."""
        return self.powers(num_rows)[num_rows - 1 :: -1]
