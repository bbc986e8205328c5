"""Exact sums of weighted rows ψ: all that a linear discriminant has to know of them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg.blas import dsyr, dsyrk
from torch import Tensor

from penstock.flow import Array
from penstock.learning.device import CPU
from penstock.learning.heads.cholesky import factor_of
from penstock.learning.heads.discriminant import penalty

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

FEW_CLASSES = 32
"""In rows that are summed at once: a product with zeros and ones is then quicker than sorting them."""
_NO_WEIGHT = 1e-9
_FADED_AWAY = 1e-6
"""Of a class that has faded to less, nothing is left."""


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """One class's part of the sums: n_c, Σ w² of its rows, and Q_c [m]."""

    count: float
    squares: float
    sums: Float64s

    def less(self, psi: Float64s, weight: float) -> "ClassSums | None":
        """Without one row ψ [m]; None where n_c says that it was never in them."""
        count = self.count - weight
        if count < -_NO_WEIGHT:
            return None
        if count <= _NO_WEIGHT:
            return ClassSums(count=0.0, squares=0.0, sums=np.zeros_like(psi))
        squares = max(self.squares - weight**2, 0.0)
        return ClassSums(count=count, squares=squares, sums=self.sums[: len(psi)] - weight * psi)


class Sums:
    """G = Σ w ψψᵀ [m, m], Q = [Σ_{i in c} w ψ]_c [C, m], n [C] and Σ w² by class [C], in float64.

    n and Σ w² may run ahead: rows are counted as they come, and added to G and Q many at a time. With forgetting β a
    row's weight is multiplied by it with every later row. G lies on a device, all else on the host.
    """

    def __init__(self, size: int, *, forgetting: float, device: torch.device = CPU) -> None:
        self._forgetting = forgetting
        self.gram = torch.zeros(size, size, dtype=torch.float64, device=device)  # its lower triangle counts
        self.by_class: Float64s = np.zeros((0, size))
        self.counts: Float64s = np.zeros(0)
        self._squares: Float64s = np.zeros(0)
        self._may_lack_rows = False
        """True once a row left that was not known to be in them: one that was may then not be there to leave."""

    @property
    def num_rows(self) -> Float64s:
        """[C]: how many rows a class's mean is as good as; more than n_c where they weigh less than 1."""
        squares = np.where(self._squares > 0, self._squares, np.inf)
        rows: Float64s = np.maximum(self.counts, np.square(self.counts) / squares)
        return rows

    def grow(self, num_classes: int) -> None:
        """Make room for so many classes, no fewer than there are."""
        missing = num_classes - len(self.counts)
        self.counts = np.concatenate((self.counts, np.zeros(missing)))
        self._squares = np.concatenate((self._squares, np.zeros(missing)))
        self.by_class = np.concatenate((self.by_class, np.zeros((missing, self.by_class.shape[1]))))

    def shrink(self, size: int) -> None:
        """Keep the first `size` of the m features."""
        self.gram = self.gram[:size, :size].contiguous()
        self.by_class = np.ascontiguousarray(self.by_class[:, :size])

    def count(self, classes: Int64s, weights: Float64s) -> None:
        """Rows [n] have come; with forgetting, `weights` say how much the last of them has left of each."""
        if self._forgetting < 1:
            self.counts *= self._forgetting ** len(classes)
            self._squares *= self._forgetting ** (2 * len(classes))
        self.counts += np.bincount(classes, weights, len(self.counts))
        self._squares += np.bincount(classes, weights * np.abs(weights), len(self.counts))

    def add(self, psi: Tensor, classes: Int64s, weights: Float64s) -> None:
        """Add rows ψ [n, m], on G's device, that have been counted, and all that have been since the last time."""
        if self._forgetting < 1:
            faded = self._forgetting ** len(psi)
            self.gram *= faded
            self.by_class *= faded
        is_plain = bool((weights == 1).all())
        weighed = psi if is_plain else psi * torch.from_numpy(weights).to(psi.device).unsqueeze(1)
        if is_plain and psi.device.type == "cpu":  # half the sums of a product with itself
            _add_lower_triangle(self.gram.numpy(), psi.numpy())
        else:
            self.gram.addmm_(weighed.t(), psi)
        _add_by_class(self.by_class, weighed, classes)
        if self._forgetting < 1:
            self._clear(self.counts < _FADED_AWAY)

    def of(self, label: int) -> ClassSums:
        """A copy of a class's part."""
        count, squares = float(self.counts[label]), float(self._squares[label])
        return ClassSums(count=count, squares=squares, sums=self.by_class[label].copy())

    def take_out(self, label: int) -> ClassSums:
        """Remove a class's part; G keeps its rows."""
        packet = self.of(label)
        self._clear(label)
        return packet

    def put_back(self, label: int, packet: ClassSums, *, slept_rows: int) -> None:
        """Add what `take_out` gave, that many rows ago."""
        left = self._forgetting**slept_rows
        self.counts[label] += packet.count * left
        self._squares[label] += packet.squares * left**2
        self.by_class[label] += packet.sums[: self.by_class.shape[1]] * left

    def take_out_known(self, psi: Float64s, label: int, weight: float, *, width: int, is_sure: bool) -> bool:
        """Take one row ψ [m] out, unless the sums say that it was never in them; then False, and nothing changes.

        Where it `is_sure` that the row is in them, and it was of all that left before, only n_c is asked, at a cost of
        m²; else it takes m³/3.
        """
        left = self.of(label).less(psi, weight)
        if left is None:
            return False
        may_lack_it = self._may_lack_rows or not is_sure
        if may_lack_it and not self._can_leave(psi, label, weight, left.sums, width=width):
            return False
        self._may_lack_rows = may_lack_it
        _take_row_out(self.gram, psi, weight)
        self.by_class[label], self.counts[label], self._squares[label] = left.sums, left.count, left.squares
        return True

    def _can_leave(self, psi: Float64s, label: int, weight: float, sums: Float64s, *, width: int) -> bool:
        """Whatever was added leaves a positive definite scatter within classes, with the ridge of rows so `width`.

        `sums` [m] are what stays of Q_c; among many rows one that was never added leaves such a scatter too.
        """
        counts = self.counts.copy()
        counts[label] -= weight
        live = np.flatnonzero(counts > _NO_WEIGHT)
        total = float(counts[live].sum()) if len(live) else 0.0
        rows = self.by_class[live]
        rows[live == label] = sums
        within = self.gram.cpu().clone()
        _take_row_out(within, psi, weight)
        ridge = penalty(within, total, width) if total > 0 else 1e-9
        scaled = rows / np.sqrt(counts[live])[:, None]
        dsyrk(-1.0, scaled.T, beta=1.0, c=within.numpy().T, overwrite_c=True)
        within.diagonal().add_(ridge)
        try:
            factor_of(within)
        except np.linalg.LinAlgError:
            return False
        return True

    def add_scatter(self, scatter: Float64s) -> None:
        """Add Σ w ψψᵀ [m, m] of rows that are not rows of these sums."""
        self.gram += torch.from_numpy(scatter).to(self.gram.device)

    def forget_all(self) -> None:
        """Begin anew, for the classes there are."""
        self.gram.zero_()
        self._clear(slice(None))
        self._may_lack_rows = False

    def state(self) -> dict[str, Array]:
        """Copies of the sums; G as its lower triangle, row by row."""
        return {
            "gram": _triangle(self.gram.cpu().numpy()),
            "sums": self.by_class.copy(),
            "counts": self.counts.copy(),
            "squares": self._squares.copy(),
            "may_lack_rows": np.array([self._may_lack_rows]),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`, of the same m."""
        gram = _whole(arrays["gram"].astype(np.float64), len(self.gram))
        self.gram = torch.from_numpy(gram).to(self.gram.device)
        self.by_class = arrays["sums"].astype(np.float64)
        self.counts = arrays["counts"].astype(np.float64)
        self._squares = arrays["squares"].astype(np.float64)
        self._may_lack_rows = bool(arrays["may_lack_rows"][0])

    def _clear(self, labels: int | slice | npt.NDArray[np.bool_]) -> None:
        self.counts[labels], self._squares[labels], self.by_class[labels] = 0.0, 0.0, 0.0


def _add_lower_triangle(gram: Float64s, psi: Float64s) -> None:
    """Add ψᵀψ in place; for BLAS a row-major lower triangle is the upper one of a column-major matrix."""
    dsyrk(1.0, psi.T, beta=1.0, c=gram.T, overwrite_c=True)


def _take_row_out(gram: Tensor, psi: Float64s, weight: float) -> None:
    """Take w ψψᵀ out of a lower triangle, in place."""
    if gram.device.type == "cpu":
        dsyr(-weight, psi, lower=False, a=gram.numpy().T, overwrite_a=True)
    else:
        row = torch.from_numpy(psi).to(gram.device)
        gram.addr_(row, row, alpha=-weight)


def _add_by_class(sums: Float64s, psi: Tensor, classes: Int64s) -> None:
    """Add every row ψ [n, m] to its class's of `sums` [C, m], on the host, at a cost that C has no part in."""
    if psi.device.type != "cpu":
        present = np.flatnonzero(np.bincount(classes, minlength=len(sums)))
        if len(present) <= FEW_CLASSES:  # less to fetch
            is_of = torch.from_numpy((present[:, None] == classes).astype(np.float64)).to(psi.device)
            sums[present] += torch.mm(is_of, psi).cpu().numpy()
            return
    torch.from_numpy(sums).index_add_(0, torch.from_numpy(classes), psi.cpu())


def _triangle(square: Float64s) -> Float64s:
    """The lower triangle [m(m+1)/2], row by row."""
    size = len(square)
    triangle = np.empty(size * (size + 1) // 2)
    for row in range(size):
        triangle[row * (row + 1) // 2 : (row + 1) * (row + 2) // 2] = square[row, : row + 1]
    return triangle


def _whole(triangle: Float64s, size: int) -> Float64s:
    """The symmetric matrix [m, m] with this lower triangle."""
    square = np.empty((size, size))
    for row in range(size):
        values = triangle[row * (row + 1) // 2 : (row + 1) * (row + 2) // 2]
        square[row, : row + 1], square[: row + 1, row] = values, values
    return square
