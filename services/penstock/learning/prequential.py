"""Test-then-train scores: every row is predicted before it is learnt, and old rows fade."""

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


class PrequentialScore:
    """Faded means P = S/N with S ← L + αS and N ← 1 + αN at each row (Gama, Sebastião, Rodrigues, 2013, eq. 3).

    The recall of a class fades with the rows of that class only, so a class that stays away keeps its score; rows of
    one update count alike there.
    """

    def __init__(self, fading: float) -> None:
        self._fading = fading
        self._powers: Float64s = np.ones(1)
        self.totals: Float64s = np.zeros(3)
        """Faded sums of hits, of losses, of ones."""
        self.class_hits: Float64s = np.zeros(0)
        self.class_rows: Float64s = np.zeros(0)

    @property
    def accuracy(self) -> float:
        """Faded share of rows predicted right; 0 before the first."""
        return float(self.totals[0] / self.totals[2]) if self.totals[2] else 0.0

    @property
    def loss(self) -> float:
        """Faded mean of −ln p(label) in nats; 0 before the first row."""
        return float(self.totals[1] / self.totals[2]) if self.totals[2] else 0.0

    @property
    def recall(self) -> Float64s:
        """Faded share predicted right by class [C]; 0 for a class without rows."""
        return np.divide(
            self.class_hits, self.class_rows, out=np.zeros_like(self.class_hits), where=self.class_rows > 0
        )

    def update(self, classes: Int64s, hits: npt.NDArray[np.bool_], losses: Float64s) -> None:
        """Score rows in order; all arrays are [n], n ≥ 1."""
        num_rows = len(classes)
        powers = self._powers_to(num_rows)
        weights = powers[num_rows - 1 :: -1]
        self.totals *= powers[num_rows]
        self.totals += (weights @ hits, weights @ losses, weights.sum())
        rows = np.bincount(classes, minlength=len(self.class_rows))
        self.know(len(rows))
        kept = powers[rows]
        self.class_hits = self.class_hits * kept + np.bincount(classes, hits, len(rows))
        self.class_rows = self.class_rows * kept + rows

    def know(self, num_classes: int) -> None:
        """Make room for classes, of which no row may have been scored yet."""
        if (missing := num_classes - len(self.class_rows)) > 0:
            self.class_hits = np.concatenate((self.class_hits, np.zeros(missing)))
            self.class_rows = np.concatenate((self.class_rows, np.zeros(missing)))

    def _powers_to(self, exponent: int) -> Float64s:
        """α^0 … α^exponent at least."""
        if len(self._powers) <= exponent:
            self._powers = self._fading ** np.arange(2 * exponent + 1, dtype=np.float64)
        return self._powers
