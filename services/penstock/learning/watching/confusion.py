"""The confusion matrix: of the rows of each class, how many were predicted as which."""

from collections.abc import Mapping

import numpy as np

from penstock.flow import Array
from penstock.learning.watching.fading import Fading
from penstock.learning.watching.observed import NOTHING, Float64s, ObservedRows

NAMED_CLASSES = 64
"""The first so many classes have a row and a column of their own; all others share the last."""


class Confusion:
    """Faded counts by label (row) and prediction (column).

    A row fades with the rows of its own class, so a class that stays away keeps its own. It grows as classes come, to
    65 × 65 at most.
    """

    def __init__(self, fading: float) -> None:
        self._fading = Fading(fading)
        self.counts: Float64s = np.zeros((0, 0))

    def update(self, rows: ObservedRows) -> None:
        """Count rows; those for which there was nothing to predict are left out."""
        told = rows.predicted != NOTHING
        if not told.all():
            labels, predicted = rows.labels[told], rows.predicted[told]
        else:
            labels, predicted = rows.labels, rows.predicted
        if not len(labels):
            return
        labels, predicted = np.minimum(labels, NAMED_CLASSES), np.minimum(predicted, NAMED_CLASSES)
        size = self._know_classes(max(int(labels.max()), int(predicted.max())) + 1)
        counts = np.bincount(labels * size + predicted, minlength=size * size).reshape(size, size)
        self.counts *= self._fading.powers(len(labels))[counts.sum(axis=1)][:, None]
        self.counts += counts

    def largest(self, most: int) -> list[tuple[int, int, float]]:
        """Label, prediction and share of the label's rows, of the pairs confused most; classes beyond are left out."""
        rows = self.counts.sum(axis=1, keepdims=True)
        shares = np.divide(self.counts, rows, out=np.zeros_like(self.counts), where=rows > 0)
        shares = shares[:NAMED_CLASSES, :NAMED_CLASSES]
        np.fill_diagonal(shares, 0.0)
        worst = np.argsort(-shares, axis=None, kind="stable")[:most]
        pairs = zip(*np.unravel_index(worst, shares.shape), strict=True)
        return [(int(label), int(other), float(shares[label, other])) for label, other in pairs if shares[label, other]]

    def tensors(self) -> dict[str, Array]:
        """A copy, for a checkpoint."""
        return {"counts": self.counts.copy()}

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """Go on from `tensors()`. Raises `KeyError` for what is missing."""
        self.counts = tensors["counts"].astype(np.float64)

    def _know_classes(self, num_classes: int) -> int:
        """Returns the matrix's size."""
        size = len(self.counts)
        if (missing := num_classes - size) > 0:
            self.counts = np.pad(self.counts, ((0, missing), (0, missing)))
        return max(size, num_classes)
