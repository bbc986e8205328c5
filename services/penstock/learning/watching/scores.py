"""Test-then-train scores of the whole stream: accuracy, log-loss, and the two kappas that say what they are worth.

Accuracy alone is no headline: where labels come in runs, "the same as the last label" may reach .85 of it.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np

from penstock.flow import Array, Json
from penstock.learning.watching.fading import Fading
from penstock.learning.watching.observed import NOTHING, Float64s, Int64s, ObservedRows

_HITS, _LOSSES, _ROWS, _REPEATS = range(4)
_LABELLED, _PREDICTED, _RIGHT, _LAST, _REPEATED = range(5)


class StreamScores:
    """Faded means P = S/N with S ← L + αS and N ← 1 + αN at each row (Gama, Sebastião, Rodrigues, 2013, eq. 3)."""

    def __init__(self, fading: float) -> None:
        self._fading = Fading(fading)
        self._totals: Float64s = np.zeros(4)
        """Faded sums of hits, losses, ones, and rows whose label was that of the row before."""
        self._last_label = NOTHING

    @property
    def accuracy(self) -> float:
        """Faded share of rows predicted right; 0 before the first."""
        return self._share(_HITS)

    @property
    def loss(self) -> float:
        """Faded mean of −ln p(label) in nats; 0 before the first row."""
        return self._share(_LOSSES)

    @property
    def no_change_accuracy(self) -> float:
        """What "the same as the last label" would have reached."""
        return self._share(_REPEATS)

    @property
    def kappa_temporal(self) -> float:
        """Accuracy above `no_change_accuracy`: κ_per of Žliobaitė, Bifet, Read, Pfahringer, Holmes (2015), eq. 7."""
        return _above(self.accuracy, self.no_change_accuracy)

    def update(self, rows: ObservedRows) -> None:
        """Score rows in order."""
        num_rows = len(rows)
        weights = self._fading.row_weights(num_rows)
        repeats = _after(self._last_label, rows.labels) == rows.labels
        self._totals *= self._fading.powers(num_rows)[num_rows]
        self._totals += (weights @ rows.hits, weights @ rows.losses, weights.sum(), weights @ repeats)
        self._last_label = int(rows.labels[-1])

    def tensors(self) -> dict[str, Array]:
        """A copy of what is an array, for a checkpoint."""
        return {"totals": self._totals.copy()}

    def state(self) -> dict[str, Json]:
        """What is not an array."""
        return {"last_label": self._last_label}

    def restore(self, tensors: Mapping[str, Array], state: Mapping[str, Json]) -> None:
        """Go on from `tensors()` and `state()`. Raises `KeyError` for what is missing."""
        self._totals = tensors["totals"].astype(np.float64)
        self._last_label = cast(int, state["last_label"])

    def _share(self, which: int) -> float:
        return float(self._totals[which] / self._totals[_ROWS]) if self._totals[_ROWS] else 0.0


class Kappas:
    """Cohen's kappa of the stream, and both kappas of every class, from faded counts by class."""

    def __init__(self, fading: float) -> None:
        self._fading = Fading(fading)
        self._counts: Float64s = np.zeros((5, 0))
        """Faded [5, C]: labelled c, predicted c, both, last label c, last label and label c."""
        self._rows = 0.0
        self._last_label = NOTHING

    @property
    def kappa(self) -> float:
        """Accuracy above that of guesses with the same shares of labels and predictions (Cohen, 1960)."""
        labelled, predicted, right = self._shares()[[_LABELLED, _PREDICTED, _RIGHT]]
        return _above(float(right.sum()), float(labelled @ predicted))

    def kappa_by_class(self) -> Float64s:
        """[C]: Cohen's kappa of "it is c" against "it is not"."""
        labelled, predicted, right = self._shares()[[_LABELLED, _PREDICTED, _RIGHT]]
        return _all_above(1 - labelled - predicted + 2 * right, labelled * predicted + (1 - labelled) * (1 - predicted))

    def kappa_temporal_by_class(self) -> Float64s:
        """[C]: kappa-temporal of "it is c" against "it is not"."""
        labelled, predicted, right, last, repeated = self._shares()
        return _all_above(1 - labelled - predicted + 2 * right, 1 - labelled - last + 2 * repeated)

    def update(self, rows: ObservedRows) -> None:
        """Count rows in order."""
        num_rows, known = len(rows), self._know_classes(max(int(rows.labels.max()), int(rows.predicted.max())) + 1)
        weights, kept = self._fading.row_weights(num_rows), self._fading.powers(num_rows)[num_rows]
        last = _after(self._last_label, rows.labels)
        told, hits, repeats = rows.predicted != NOTHING, rows.hits, last == rows.labels
        counted = {  # only the oldest rows of all have no label before them
            _LABELLED: (rows.labels, weights),
            _PREDICTED: (rows.predicted[told], weights[told]),
            _RIGHT: (rows.labels[hits], weights[hits]),
            _LAST: (last, weights) if last[0] != NOTHING else (last[1:], weights[1:]),
            _REPEATED: (rows.labels[repeats], weights[repeats]),
        }
        places = np.concatenate([which * known + classes for which, (classes, _) in counted.items()])
        shares = np.concatenate([weights for _, weights in counted.values()])
        self._counts *= kept
        self._counts += np.bincount(places, shares, 5 * known).reshape(5, known)
        self._rows = self._rows * float(kept) + float(weights.sum())
        self._last_label = int(rows.labels[-1])

    def tensors(self) -> dict[str, Array]:
        """A copy of what is an array, for a checkpoint."""
        return {"counts": self._counts.copy()}

    def state(self) -> dict[str, Json]:
        """What is not an array."""
        return {"rows": self._rows, "last_label": self._last_label}

    def restore(self, tensors: Mapping[str, Array], state: Mapping[str, Json]) -> None:
        """Go on from `tensors()` and `state()`. Raises `KeyError` for what is missing."""
        self._counts = tensors["counts"].astype(np.float64)
        self._rows = cast(float, state["rows"])
        self._last_label = cast(int, state["last_label"])

    def _shares(self) -> Float64s:
        return self._counts / (self._rows or 1.0)

    def _know_classes(self, num_classes: int) -> int:
        """Returns how many there are."""
        known = len(self._counts[_LABELLED])
        if num_classes > known:
            self._counts = np.concatenate((self._counts, np.zeros((5, num_classes - known))), axis=1)
        return max(known, num_classes)


def _after(last_label: int, labels: Int64s) -> Int64s:
    """[n]: the label before each row."""
    before = np.empty_like(labels)
    before[0] = last_label
    before[1:] = labels[:-1]
    return before


def _above(accuracy: float, baseline: float) -> float:
    """1 for perfect predictions, 0 for the baseline's; 0 where the baseline leaves nothing to gain."""
    return (accuracy - baseline) / (1 - baseline) if baseline < 1 else 0.0


def _all_above(accuracy: Float64s, baseline: Float64s) -> Float64s:
    gain = 1 - baseline
    return np.divide(accuracy - baseline, gain, out=np.zeros_like(gain), where=gain > 1e-12)
