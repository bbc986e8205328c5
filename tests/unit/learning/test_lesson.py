"""What is scored of a slice."""

import numpy as np
import pytest

from penstock.learning.lesson import BUSY_SCORED, asked_of


@pytest.mark.parametrize("num_rows", [65, 95, 100, 255, 256, 1000])
def test_of_many_rows_each_is_scored_as_often_as_any_other(num_rows: int) -> None:
    asked = [asked_of(num_rows, step) for step in range(7, 7 + num_rows)]
    assert all(len(np.unique(rows)) == BUSY_SCORED for rows in asked)
    assert (np.bincount(np.concatenate(asked)) == BUSY_SCORED).all()
    assert len(np.concatenate(asked)) == num_rows * BUSY_SCORED


@pytest.mark.parametrize("num_rows", [1, 32, 64])
def test_of_few_rows_all_are_scored(num_rows: int) -> None:
    assert asked_of(num_rows, 5).tolist() == list(range(num_rows))
