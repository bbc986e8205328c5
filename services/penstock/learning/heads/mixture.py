"""Several heads' opinions as one, weighed by how well each has done.

Exponential weights on the Brier score (Vovk, 1990; Cesa-Bianchi, Lugosi, "Prediction, Learning, and Games", 2006,
ch. 3): the score is exp-concave for η ≤ 1/4, so without fading the mixture's total score is at most ln K/η above that
of its best member. Fading lets the best member change.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

ETA = 0.1
FADING = 0.995
FLOOR = 0.01
TEMPERATURE_RATE = 0.1
LARGEST_TURN = 0.5
LEAST_GRADIENTS = 1e-12
"""Squared: where no more is left of past ones, as with a single class, what comes is rounding and turns nothing."""
COLDEST, HOTTEST = -6.0, 2.0


class Mixture:
    """Temperatures and weights of K members."""

    def __init__(self, num_members: int, *, fading: float = FADING, eta: float = ETA) -> None:
        self._fading, self._eta = fading, eta
        self.log_temperatures: Float64s = np.zeros(num_members)
        self._turns: Float64s = np.full(num_members, 1.0)
        self._losses: Float64s = np.zeros(num_members)
        self.weights: Float64s = np.full(num_members, 1 / num_members)
        self._powers: Float64s = np.ones(1)

    @property
    def temperatures(self) -> Float64s:
        """T of every member, [K]."""
        return np.exp(self.log_temperatures)

    def learn(self, scores: Float64s, probabilities: Float64s, classes: Int64s, absence: float) -> None:
        """Score the members on rows of known classes [n], in order: `scores` and their `opinions` [K, n, C].

        `absence` in [0, 1) is the share of classes that stay away: it flattens the weights.
        """
        rows = np.arange(len(classes))
        of_label = probabilities[:, rows, classes]
        brier = np.einsum("knc,knc->kn", probabilities, probabilities) - 2 * of_label + 1
        powers = self._powers_to(len(classes))
        self._losses *= powers[len(classes)]
        self._losses += brier @ powers[len(classes) - 1 :: -1]
        self._losses -= self._losses.min()
        weights = np.exp(-self._eta / (1 + absence) * self._losses)
        self.weights = weights / weights.sum()
        self._turn(scores, probabilities, classes, rows, powers[len(classes)])

    def forget(self) -> None:
        """All members are equal again."""
        self._losses[:] = 0.0
        self.weights = np.full(len(self.weights), 1 / len(self.weights))

    def keep(self, places: Int64s) -> None:
        """Go on with these members only."""
        self.log_temperatures, self._turns = self.log_temperatures[places], self._turns[places]
        self._losses = self._losses[places]
        self.weights = self.weights[places] / self.weights[places].sum()

    def state(self) -> dict[str, Array]:
        """Copies."""
        return {
            "log_temperatures": self.log_temperatures.copy(),
            "turns": self._turns.copy(),
            "losses": self._losses.copy(),
            "weights": self.weights.copy(),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self.log_temperatures = arrays["log_temperatures"].astype(np.float64)
        self._turns = arrays["turns"].astype(np.float64)
        self._losses = arrays["losses"].astype(np.float64)
        self.weights = arrays["weights"].astype(np.float64)

    def _turn(self, scores: Float64s, probabilities: Float64s, classes: Int64s, rows: Int64s, kept: float) -> None:
        """A step down the gradient of −ln softmax(Tz) in ln T, as long as past gradients were (AdaGrad, faded)."""
        finite, num_known = scores, scores.shape[2]
        if not has_opinions_on_all(scores):
            known = scores > -np.inf
            finite, num_known = np.where(known, scores, 0.0), np.maximum(known.sum(axis=2), 1)
        floored = FLOOR * finite.sum(axis=2) / num_known
        expected = (np.einsum("knc,knc->kn", probabilities, finite) - floored) / (1 - FLOOR)
        gradients = np.exp(self.log_temperatures)[:, None] * (expected - finite[:, rows, classes])
        self._turns = self._turns * kept + np.einsum("kn,kn->k", gradients, gradients)
        turns = TEMPERATURE_RATE * gradients.sum(axis=1) / np.sqrt(np.maximum(self._turns, LEAST_GRADIENTS))
        # Not np.clip, here and wherever few numbers are clipped: its way to the same two operations is the longer part.
        turned = self.log_temperatures - np.minimum(np.maximum(turns, -LARGEST_TURN), LARGEST_TURN)
        self.log_temperatures = np.minimum(np.maximum(turned, COLDEST), HOTTEST)

    def _powers_to(self, exponent: int) -> Float64s:
        if len(self._powers) <= exponent:
            self._powers = self._fading ** np.arange(2 * exponent + 1, dtype=np.float64)
        return self._powers


def opinions(scores: Float64s, temperatures: Float64s, num_live: int) -> Float64s:
    """Probabilities [K, n, C] of scores [K, n, C]; a class at −∞ has none, every other at least .01/live."""
    heated = scores * temperatures[:, None, None]
    heated -= heated.max(axis=2, keepdims=True)
    np.exp(heated, out=heated)
    heated *= (1 - FLOOR) / heated.sum(axis=2, keepdims=True)
    heated += FLOOR / num_live if has_opinions_on_all(scores) else (scores > -np.inf) * (FLOOR / num_live)
    return heated


def has_opinions_on_all(scores: Float64s) -> bool:
    """True where no score is −∞, as mostly: one look costs less than to reckon with every one that is."""
    return bool(scores.min(initial=0.0) > -np.inf)


def mixed(probabilities: Float64s, weights: Float64s) -> Float64s:
    """[n, C], each row summing to 1."""
    together: Float64s = (weights @ probabilities.reshape(len(weights), -1)).reshape(probabilities.shape[1:])
    together /= together.sum(axis=1, keepdims=True)
    return together
