"""Factors on the host and on a device solve alike, and a matrix that has none is refused."""

import numpy as np
import pytest
import torch

from penstock.learning.heads.cholesky import DeviceFactor, Factor, factor_of, inverse_less

SIZE = 9


def scatter() -> torch.Tensor:
    rows = np.random.default_rng(3).normal(size=(40, SIZE))
    return torch.from_numpy(rows.T @ rows)


def factors() -> dict[str, Factor]:
    lower = torch.tril(scatter())  # what stands above the diagonal does not count
    return {"host": factor_of(lower.clone()), "device": DeviceFactor(torch.linalg.cholesky(lower))}


@pytest.mark.parametrize("where", ["host", "device"])
def test_both_halves_of_a_solve(where: str) -> None:
    factor, rows = factors()[where], np.random.default_rng(4).normal(size=(5, SIZE))
    halfway = factor.half_solved(rows)
    expected = np.linalg.solve(scatter().numpy(), rows.T)
    np.testing.assert_allclose(halfway.T @ halfway, rows @ expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(factor.solved(halfway), expected, rtol=1e-10, atol=1e-12)


def test_rows_and_what_was_halfway_are_left_as_they_were() -> None:
    factor, rows = factors()["host"], np.random.default_rng(4).normal(size=(5, SIZE))
    before = rows.copy()
    halfway = factor.half_solved(rows)
    kept = halfway.copy()
    factor.solved(halfway)
    assert np.array_equal(rows, before)
    assert np.array_equal(halfway, kept)


def test_a_matrix_that_is_not_positive_definite_is_refused() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="minor of order 2"):
        factor_of(torch.diag(torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)))


@pytest.mark.parametrize("scale", [0.1, 3.0], ids=["positive definite", "not"])
def test_the_inverse_of_what_is_left_of_counts(scale: float) -> None:
    counts, columns = np.array([4.0, 9.0, 2.0]), scale * np.random.default_rng(5).normal(size=(SIZE, 3))
    left = np.diag(counts) - columns.T @ columns
    inverse = inverse_less(counts, columns)
    np.testing.assert_allclose(inverse @ left, np.eye(3), atol=1e-10)
    assert np.array_equal(inverse, inverse.T) or scale > 1
