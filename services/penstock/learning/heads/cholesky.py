"""Symmetric positive definite matrices by their Cholesky factors: on the host by LAPACK, on a device by PyTorch."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg.blas import dsyrk, dtrsm
from scipy.linalg.lapack import dpotrf, dpotri
from torch import Tensor

Float64s = npt.NDArray[np.float64]


class Factor(Protocol):
    """L of A = LLᵀ [m, m]. Takes and gives arrays on the host."""

    def half_solved(self, rows: Float64s) -> Float64s:
        """L⁻¹ rowsᵀ [m, n] of `rows` [n, m]: its columns' squares are rᵀA⁻¹r, its products with each other rᵀA⁻¹s."""
        ...

    def solved(self, halfway: Float64s) -> Float64s:
        """A⁻¹ rowsᵀ [m, n] of what `half_solved` gave."""
        ...


def factor_of(matrix: Tensor) -> Factor:
    """Of A float64 [m, m], whose lower triangle counts; it may be overwritten.

    Raises `numpy.linalg.LinAlgError` where A is not positive definite.
    """
    if matrix.device.type != "cpu":
        lower, order = torch.linalg.cholesky_ex(matrix)
        _check_positive(int(order))
        return DeviceFactor(lower)
    # For LAPACK a row-major lower triangle is the upper one of a column-major matrix.
    upper, failed = dpotrf(matrix.numpy().T, lower=False, overwrite_a=True)
    _check_positive(failed)
    return HostFactor(upper)


@dataclass(frozen=True)
class HostFactor:
    """Lᵀ, column-major."""

    upper: Float64s

    def half_solved(self, rows: Float64s) -> Float64s:
        """See `Factor`."""
        found: Float64s = dtrsm(1.0, self.upper, rows.T, trans_a=True)
        return found

    def solved(self, halfway: Float64s) -> Float64s:
        """See `Factor`."""
        found: Float64s = dtrsm(1.0, self.upper, halfway)
        return found


@dataclass(frozen=True)
class DeviceFactor:
    """L on a device."""

    lower: Tensor

    def half_solved(self, rows: Float64s) -> Float64s:
        """See `Factor`."""
        return self._on_host(torch.linalg.solve_triangular(self.lower, self._on_device(rows.T), upper=False))

    def solved(self, halfway: Float64s) -> Float64s:
        """See `Factor`."""
        return self._on_host(torch.linalg.solve_triangular(self.lower.t(), self._on_device(halfway), upper=True))

    def _on_device(self, array: Float64s) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.lower.device)

    @staticmethod
    def _on_host(tensor: Tensor) -> Float64s:
        found: Float64s = tensor.cpu().numpy()
        return found


def _check_positive(failed: int) -> None:
    if failed:
        raise np.linalg.LinAlgError(f"the leading minor of order {failed} is not positive")


def inverse_less(counts: Float64s, columns: Float64s) -> Float64s:
    """(diag(`counts`) − YᵀY)⁻¹ [C, C] for `columns` Y [m, C]; where that is not positive definite, as it comes.

    Raises `numpy.linalg.LinAlgError` where it has no inverse.
    """
    left = np.asfortranarray(np.diag(counts))
    left = dsyrk(-1.0, columns, beta=1.0, c=left, trans=True, overwrite_c=True)
    factor, failed = dpotrf(left, lower=False)
    if failed:
        inverse: Float64s = np.linalg.inv(_mirrored(left)).astype(np.float64, copy=False)
        return inverse
    upper, _ = dpotri(factor, lower=False, overwrite_c=True)
    return _mirrored(upper)


def _mirrored(upper: Float64s) -> Float64s:
    """The symmetric matrix with this upper triangle."""
    square: Float64s = np.triu(upper, 1)
    square += square.T.copy()
    np.fill_diagonal(square, np.diagonal(upper))
    return square
