"""How a class's rows lie about their mean, in a few numbers: some leading directions, and the variances left over.

Of ψ it is what another model needs beside the class's sums, since G_c = n_c (μμᵀ + S). Of the inputs it is what rows
like the class's are drawn from, for heads that learn from rows alone.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Float64s = npt.NDArray[np.float64]

RANK = 8


@dataclass(frozen=True, kw_only=True)
class Spread:
    """S ≈ FᵀF + diag(r): F [rank or fewer, m] in half precision, r [m]."""

    factor: npt.NDArray[np.float16]
    remainder: npt.NDArray[np.float32]

    @classmethod
    def of(cls, psi: Float64s, weights: Float64s, *, rank: int = RANK) -> "Spread":
        """Of a sample of the class's rows ψ [n, m], n ≥ 1."""
        share = weights / weights.sum()
        about = (psi - share @ psi) * np.sqrt(share)[:, None]
        _, values, directions = np.linalg.svd(about, full_matrices=False)
        factor = (values[:rank, None] * directions[:rank]).astype(np.float16)
        left = np.einsum("nm,nm->m", about, about) - np.einsum("km,km->m", factor, factor, dtype=np.float64)
        return cls(factor=factor, remainder=np.maximum(left, 0.0).astype(np.float32))

    def scatter(self, count: float, sums: Float64s) -> Float64s:
        """G_c [m, m] of `count` rows with these `sums` [m]; m may be less than it was (a prefix of ψ)."""
        size = len(sums)
        factor = self.factor[:, :size].astype(np.float64)
        scatter: Float64s = count * (factor.T @ factor) + np.outer(sums, sums) / count
        scatter[np.diag_indices(size)] += count * self.remainder[:size].astype(np.float64)
        return scatter

    def drawn(self, count: int, generator: np.random.Generator) -> Float64s:
        """[count, m] of a normal distribution about 0 that is spread so."""
        along = generator.normal(size=(count, len(self.factor))) @ self.factor.astype(np.float64)
        deviations = np.sqrt(self.remainder.astype(np.float64))
        drawn: Float64s = along + generator.normal(size=(count, len(deviations))) * deviations
        return drawn

    def state(self) -> dict[str, Array]:
        """By name."""
        return {"factor": self.factor, "remainder": self.remainder}
