"""Running moments are those of all rows at once, and apply to the number columns alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from penstock.learning.standardiser import CLIPPED_AT, Moments, Standardiser

CPU = torch.device("cpu")


def moments_of(*parts: np.ndarray) -> Moments:
    moments = Moments(parts[0].shape[1])
    for part in parts:
        moments.merge(part)
    return moments


@given(st.integers(0, 1000), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_merged_moments_are_those_of_all_rows(seed: int, sizes: list[int]) -> None:
    generator = np.random.default_rng(seed)
    rows = (1000 + generator.normal(size=(sum(sizes), 3)) * [1, 100, 1e-3]).astype(np.float32)
    moments = moments_of(*np.split(rows, np.cumsum(sizes)[:-1]))
    exact = rows.astype(np.float64)
    assert moments.mean == pytest.approx(exact.mean(axis=0), rel=1e-12)
    deviation = exact.std(axis=0)
    assert 1 / moments.inverse_deviation == pytest.approx(np.where(deviation > 0, deviation, 1), rel=1e-6)


@pytest.mark.parametrize("absurd", [1e4, 1e12, -1e37])
def test_one_absurd_number_leaves_the_others_apart(absurd: float) -> None:
    moments, rng = Moments(2), np.random.default_rng(0)
    for size in (300, 40):
        rows = rng.normal(size=(size, 2)).astype(np.float32)
        if size == 40:
            rows[7, 0] = absurd
        moments.merge(rows)
    assert abs(moments.mean[0]) < 0.5
    assert 1 / moments.inverse_deviation[0] < 7
    assert moments.inverse_deviation[1] == pytest.approx(1, abs=0.1)
    for _ in range(100):
        moments.merge(rng.normal(size=(40, 2)).astype(np.float32))
    assert 1 / moments.inverse_deviation[0] < 2.2


def test_numbers_that_have_moved_far_for_good_are_followed() -> None:
    moments, rng = Moments(1), np.random.default_rng(0)
    moments.merge(rng.normal(size=(1000, 1)).astype(np.float32))
    for _ in range(30):
        moments.merge((1e6 + rng.normal(size=(100, 1))).astype(np.float32))
    assert moments.mean[0] == pytest.approx(0.75e6, rel=0.1)
    assert (1e6 - moments.mean[0]) * moments.inverse_deviation[0] < 1


def test_a_column_that_does_not_vary_has_scale_one() -> None:
    assert moments_of(np.full((5, 1), 3, dtype=np.float32)).inverse_deviation.tolist() == [1]


def test_the_largest_float32_values_leave_moments_finite() -> None:
    largest = np.finfo(np.float32).max
    moments = moments_of(np.array([[largest], [-largest]], dtype=np.float32))
    standardiser = Standardiser(1, CPU)
    standardiser.follow(moments)
    assert torch.isfinite(standardiser(torch.tensor([[largest], [1.0]]))).all()


def test_numbers_are_standardised_and_clipped_and_the_rest_passes_through() -> None:
    rows = np.random.default_rng(0).normal(5, 2, size=(2000, 2)).astype(np.float32)
    standardiser = Standardiser(2, CPU)
    standardiser.follow(moments_of(rows))
    dense = torch.cat((torch.from_numpy(rows), torch.full((2000, 1), 77.0)), dim=1)
    kept = dense.clone()
    out = standardiser(dense)
    assert out[:, :2].mean(dim=0).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert out[:, :2].std(dim=0).tolist() == pytest.approx([1, 1], abs=1e-2)
    assert (out[:, 2] == 77).all()
    assert standardiser(torch.tensor([[1e9, -1e9, 1e9]])).tolist() == [[CLIPPED_AT, -CLIPPED_AT, 1e9]]
    assert torch.equal(dense, kept)
