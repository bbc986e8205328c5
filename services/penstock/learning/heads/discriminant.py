"""Linear discriminants from exact sums, and what they would say of a row had they never seen it.

With G = Σ w ψψᵀ, Q = [Σ_{i in c} w ψ]_c and N = diag(n_c), A = G + λI, the ridge weights are W_r = A⁻¹Q. The pooled
within-class scatter A − Q N⁻¹ Qᵀ has the inverse A⁻¹ + W_r R⁻¹ W_rᵀ with R = N − QᵀW_r (Woodbury), so the equal-prior
discriminant of Fisher is W = n W_r R⁻¹, with μ_cᵀW_c = n ((R⁻¹)_cc − 1/n_c): a solve with A and a matrix of the size of
the classes are all it takes.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penstock.learning.heads.cholesky import Factor, factor_of, inverse_less

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

PENALTY_ROWS = 32
LEAST_PENALTY = 1e-12
"""Of the trace: what has been summed is not more exact than that, however large its weights."""
NUM_PROBES = 8
MAX_SHARE_OF_FREEDOM = 0.95
MOST_CLASSES_FOR_RESIDUALS = 256
"""With more classes the m × m scatter itself is inverted, which is the same discriminant."""


@dataclass(frozen=True, kw_only=True)
class Readout:
    """Scores ψᵀ`weights` [m, C] + `biases` [C]; a class that is not known has the bias −∞."""

    weights: Float64s
    biases: Float64s

    def scores(self, psi: Float64s) -> Float64s:
        """[n, C]."""
        return psi @ self.weights + self.biases

    def rounded(self) -> "Readout":
        """With the values that a float32 file can hold."""
        return Readout(
            weights=self.weights.astype(np.float32).astype(np.float64),
            biases=self.biases.astype(np.float32).astype(np.float64),
        )


@dataclass(frozen=True, kw_only=True)
class Solution:
    """A discriminant over the classes `live` [K], and what leaving a row out of it needs."""

    live: Int64s
    counts: Float64s
    rows: Float64s
    freedom: float
    weights: Float64s
    biases: Float64s
    factor: Factor
    ridge: Float64s | None = None
    residuals_inverse: Float64s | None = None

    def readout(self, num_classes: int) -> Readout:
        """Over all classes; those not live are out of the question."""
        weights = np.zeros((len(self.weights), num_classes))
        biases = np.full(num_classes, -np.inf)
        weights[:, self.live], biases[self.live] = self.weights, self.biases
        return Readout(weights=weights, biases=biases)


def penalty(gram: Tensor, total: float, width: int) -> float:
    """λ: as much as min(2 × width, 32) mean rows add to the diagonal."""
    rows = min(2 * max(width, 1), PENALTY_ROWS)
    return float(gram.trace()) * max(rows / len(gram) / max(total, 1.0), LEAST_PENALTY)


def solve(gram: Tensor, sums: Float64s, counts: Float64s, rows: Float64s, ridge_penalty: float) -> Solution:
    """The discriminant of G [m, m], on any device, Q [C, m] and n [C]; classes of count 0 or less are left out.

    `rows` [C] says how many rows of equal weight each class's mean is as good as; n where none weighs less than 1.
    """
    live = np.flatnonzero(counts > 0)
    counts, rows, sums = counts[live], rows[live], sums[live]
    total, size = float(counts.sum()), len(gram)
    regular = gram.clone()
    regular.diagonal().add_(ridge_penalty)
    if len(live) > MOST_CLASSES_FOR_RESIDUALS:
        return _solve_directly(regular, sums, counts, rows, live, ridge_penalty)
    probes = _probes(size)
    factor = factor_of(regular)
    halfway = factor.half_solved(np.concatenate((sums, probes)))
    of_sums, of_probes = halfway[:, : len(live)], halfway[:, len(live) :]
    freedom = size - ridge_penalty * float(np.square(of_probes).sum()) / NUM_PROBES
    ridge, inverse = factor.solved(of_sums), inverse_less(counts, of_sums)
    return Solution(
        live=live,
        counts=counts,
        rows=rows,
        freedom=freedom,
        weights=total * (ridge @ inverse),
        biases=_biases(np.diagonal(inverse), counts, total) + _correction(rows, float(rows.sum()), freedom),
        factor=factor,
        ridge=ridge,
        residuals_inverse=inverse,
    )


def leave_out(
    solution: Solution,
    psi: Float64s,
    places: Int64s,
    num_classes: int,
    weights: Float64s,
    asked: Float64s | None = None,
) -> Float64s:
    """Scores [n, C] of learnt rows ψ [n, m], each by the discriminant of all rows but itself.

    `places` [n] are the rows' classes. Where the ridge regression gives f, without a row it would give
    (f − hy)/(1 − h) with h = w ψᵀA⁻¹ψ, and R loses w e eᵀ/(1 − h) with e = y − f. Rows that are read otherwise now than
    when they were learnt are left out as ψ and scored as `asked` [n, m]: for χ, W_rᵀχ − w χᵀA⁻¹ψ e/(1 − h).
    """
    assert solution.ridge is not None
    assert solution.residuals_inverse is not None
    inverse, total = solution.residuals_inverse, float(solution.counts.sum())
    halfway = solution.factor.half_solved(psi)
    leverage = np.minimum(weights * np.square(halfway).sum(axis=0), 1 - 1e-9)[:, None]
    fitted = psi @ solution.ridge
    labels = np.zeros_like(fitted)
    labels[np.arange(len(psi)), np.searchsorted(solution.live, places)] = 1.0
    errors = labels - fitted
    if asked is None:
        without = (fitted - leverage * labels) / (1 - leverage)
    else:
        across = weights * np.einsum("mn,mn->n", halfway, solution.factor.half_solved(asked))
        without = asked @ solution.ridge - across[:, None] * errors / (1 - leverage)
    turned = errors @ inverse
    slack = (1 - leverage) / weights[:, None] - np.einsum("nc,nc->n", errors, turned)[:, None]
    scores = without @ inverse + np.einsum("nc,nc->n", without, turned)[:, None] * turned / slack
    counts = solution.counts - weights[:, None] * labels
    totals = total - weights[:, None]
    diagonals = np.diagonal(inverse) + np.square(turned) / slack
    all_scores = np.full((len(psi), num_classes), -np.inf)
    rows = solution.rows - weights[:, None] * (solution.rows / solution.counts) * labels
    biases = _biases(diagonals, counts, totals) + _correction(rows, rows.sum(axis=1, keepdims=True), solution.freedom)
    all_scores[:, solution.live] = totals * scores + biases
    return all_scores


def _solve_directly(
    regular: Tensor, sums: Float64s, counts: Float64s, rows: Float64s, live: Int64s, ridge_penalty: float
) -> Solution:
    total, size = float(counts.sum()), len(regular)
    means = sums / counts[:, None]
    between = torch.mm(_on(regular.device, sums.T), _on(regular.device, means))
    factor = factor_of(regular - between)
    probes = _probes(size)
    halfway = factor.half_solved(np.concatenate((means, probes)))
    freedom = size - ridge_penalty * float(np.square(halfway[:, len(live) :]).sum()) / NUM_PROBES
    weights = total * factor.solved(halfway[:, : len(live)])
    products = np.einsum("cm,mc->c", means, weights)
    return Solution(
        live=live,
        counts=counts,
        rows=rows,
        freedom=freedom,
        weights=weights,
        biases=-products / 2 + _correction(rows, float(rows.sum()), freedom),
        factor=factor,
    )


def _on(device: torch.device, array: Float64s) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _biases(diagonal: Float64s, counts: Float64s, total: Float64s | float) -> Float64s:
    return -total / 2 * (diagonal - 1 / np.maximum(counts, 1e-9))


def _correction(rows: Float64s, total: Float64s | float, freedom: float) -> Float64s:
    """A mean of n_c rows is off by about df/n_c in the metric of the scatter; rare classes would pay for it.

    Rows that weigh little are rows all the same: without that, a class of them would be answered everywhere.
    """
    share = np.minimum(freedom / np.maximum(total, 1e-9), MAX_SHARE_OF_FREEDOM)
    corrected: Float64s = freedom / (2 * np.maximum(rows, 1e-9)) / (1 - share)
    return corrected


@lru_cache(maxsize=4)
def _probes(size: int) -> Float64s:
    """Random signs [8, m], the same at every call: Hutchinson's estimate of a trace. Not to be written to."""
    generator = np.random.Generator(np.random.PCG64(size))
    signs = generator.integers(0, 2, (NUM_PROBES, size)).astype(np.float64)
    return signs * 2 - 1
