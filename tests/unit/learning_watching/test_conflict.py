"""Old rows expire where they contradict new ones, and not because a class is new, shifted or hard."""

import numpy as np
import pytest

from penstock.learning.watching.conflict import Verdict, verdict

GENERATOR = np.random.default_rng(0)


def judged(old: list[float], new: list[float], rows: int = 50) -> Verdict:
    """Mean losses by class, of remembered and of fresh rows."""
    classes = np.tile(np.arange(len(old)), rows)
    noise = GENERATOR.exponential(1.0, len(classes))
    return verdict(
        remembered_classes=classes,
        remembered_losses=np.array(old)[classes] * noise,
        fresh_classes=classes,
        fresh_losses=np.array(new)[classes] * noise[::-1],
        num_classes=len(old),
    )


def test_a_class_whose_old_rows_are_now_wrong_expires_and_no_other() -> None:
    found = judged(old=[3.0, 0.2, 0.3], new=[0.3, 0.2, 1.5])
    assert found.expired.tolist() == [True, False, False]
    assert found.conflict == pytest.approx([2.7, 0, -1.2], abs=0.8)


def test_a_class_that_is_hard_both_then_and_now_is_kept() -> None:
    assert not judged(old=[2.0, 2.5], new=[2.0, 2.2]).expired.any()


def test_a_few_rows_are_no_evidence() -> None:
    found = judged(old=[5.0], new=[0.1], rows=5)
    assert np.isnan(found.conflict).all()
    assert not found.expired.any()


def test_a_difference_within_chance_is_no_evidence() -> None:
    losses = np.array([0.0] * 9 + [20.0])
    found = verdict(
        remembered_classes=np.zeros(10, dtype=np.int64),
        remembered_losses=losses,
        fresh_classes=np.zeros(10, dtype=np.int64),
        fresh_losses=np.zeros(10),
        num_classes=1,
    )
    assert found.conflict[0] == pytest.approx(2)
    assert not found.expired.any()


def test_a_class_without_rows_on_one_side_is_kept() -> None:
    found = verdict(
        remembered_classes=np.zeros(20, dtype=np.int64),
        remembered_losses=np.full(20, 9.0),
        fresh_classes=np.ones(20, dtype=np.int64),
        fresh_losses=np.zeros(20),
        num_classes=3,
    )
    assert not found.expired.any()
