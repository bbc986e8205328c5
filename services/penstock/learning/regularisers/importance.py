"""A row's weight as an amount of learning: as far as the weight says and confusion asks, and never past the label.

Karampatziakis, Langford, "Online importance weight aware updates" (UAI 2011), eq. 5, for softmax and cross-entropy. A
weight of w is a flow along the gradient for a time of w: so w and then v is w + v at once, a row that is known already
moves little, and no weight carries the label's logit further than its probability asks.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penstock.learning.head import LinearHead

Float64s = npt.NDArray[np.float64]

_TOLERANCE = 1e-13
_MOST_ROUNDS = 100
_LARGEST = 700.0  # of ln τ: float64 ends soon after
_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES, _LOG_NODE_WEIGHTS = (_NODES[:, None] + 1) / 2, np.log(_NODE_WEIGHTS / 2)  # on [0, 1]


def flowed(logits: Float64s, label: int, amount: float) -> Float64s:
    """Where `logits` [C] are after dz/dt = y − softmax(z) for a time of `amount` ≥ 0, y one-hot at `label`.

    All others follow one clock: e^(−z_c) grows at the same rate for every c ≠ label, so with τ on that clock
    z_c(τ) = z_c − ln(1 + τ·e^(z_c)), the sum of all logits stays, and the time is
    Σ_c ln(1 + τ·e^(z_c)) + ∫₀^τ e^(z_label(s)) ds, the integrand a polynomial of degree C − 1.
    """
    if len(logits) < 2 or amount == 0:
        return logits
    is_other = np.arange(len(logits)) != label
    others = logits[is_other]
    height = float(others.max())
    odds = np.exp(others - height)
    fallen = np.log1p(_clock(odds, float(logits[label]) - height, math.log(amount)) * odds)
    moved = np.empty_like(logits)
    moved[is_other] = others - fallen
    moved[label] = logits[label] + fallen.sum()
    return moved


def _clock(odds: Float64s, label_logit: float, log_amount: float) -> float:
    """τ at a time: Newton's method on ln time by ln τ, between bounds that close in."""
    low, high = -math.inf, _LARGEST
    guess = log_amount - float(np.logaddexp(math.log(odds.sum()), label_logit))  # by the speed at τ = 0
    for _ in range(_MOST_ROUNDS):
        clock = math.exp(guess)
        fallen = float(np.log1p(clock * odds).sum())
        risen = label_logit + np.log1p(clock * _NODES * odds).sum(axis=1)
        log_time = np.logaddexp(math.log(fallen), guess + np.logaddexp.reduce(risen + _LOG_NODE_WEIGHTS))
        missing = log_amount - float(log_time)
        if abs(missing) <= _TOLERANCE:
            break
        low, high = (guess, high) if missing > 0 else (low, guess)
        log_speed = np.logaddexp(math.log(float((odds / (1 + clock * odds)).sum())), label_logit + fallen)
        guess += missing * math.exp(float(log_time - log_speed) - guess)
        if not low < guess < high:
            guess = (low + high) / 2
    return math.exp(guess)


class ImportanceAwareStep:
    """Moves the head's rows once for every row of a micro-batch, in order, by rate × weight."""

    def __init__(self, rate: float, head: LinearHead) -> None:
        self._rate = rate
        self._head = head

    def apply(self, features: Tensor, classes: npt.NDArray[np.int64], weights: npt.NDArray[np.float32]) -> None:
        """`features` [n, H], `classes` and `weights` [n]; with the bias as one more feature of 1.

        A row's own logits flow for rate × weight, whatever the length of its features: the step is divided by its
        square. One row sees what those before it have moved, through the inner products of their features.
        """
        inputs = torch.cat((features, features.new_ones(len(features), 1)), dim=1).double()
        awake = self._head.awake
        places = np.arange(self._head.num_live)[awake if isinstance(awake, slice) else awake.cpu().numpy()]
        classes = np.searchsorted(places, classes)  # those of rows to learn are awake
        live = self._head.live_rows[awake].double()
        logits = (inputs @ live.t()).cpu().numpy()
        if not np.isfinite(logits).all():
            return  # the loss tells of it
        products = (inputs @ inputs.t()).cpu().numpy()
        moves = np.zeros_like(logits)  # of the head, in units of the row's own inputs
        for row, (label, weight) in enumerate(zip(classes.tolist(), weights.tolist(), strict=True)):
            now = logits[row] + products[row, :row] @ moves[:row]
            moves[row] = (flowed(now, label, self._rate * weight) - now) / products[row, row]
        live += torch.from_numpy(moves).to(live.device).t() @ inputs
        self._head.live_rows[awake] = live.float()
