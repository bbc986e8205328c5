"""What the gate holds against a version."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.learning.champion import LEAST_ROWS, Bounds, Verdict, compare

BOUNDS = Bounds(margin=0.05, class_margin=0.2, confidence=0.95)


def verdict(*, better: int, worse: int, both: int, neither: int = 0, num_classes: int = 1) -> Verdict:
    champion = np.repeat([False, True, True, False], [better, worse, both, neither])
    challenger = np.repeat([True, False, True, False], [better, worse, both, neither])
    return compare(champion, challenger, np.arange(len(champion)) % num_classes, BOUNDS)


@given(st.integers(0, 300), st.integers(0, 300))
def test_versions_that_agree_pass(both: int, neither: int) -> None:
    assert verdict(better=0, worse=0, both=both, neither=neither).passed


def test_a_version_that_is_worse_by_more_than_the_margin_is_refused() -> None:
    assert verdict(better=0, worse=15, both=485).passed
    found = verdict(better=0, worse=60, both=440)
    assert not found.passed
    assert found.difference == -0.12
    assert found.least < found.difference


def test_what_is_not_certain_counts_against_it() -> None:
    """The same difference of two points: of many rows it is within the margin for certain, of few it is not."""
    assert verdict(better=50, worse=90, both=1860).passed
    assert not verdict(better=5, worse=9, both=186, num_classes=200).passed


@given(st.integers(0, LEAST_ROWS - 1))
def test_few_rows_refuse_nothing(worse: int) -> None:
    assert verdict(better=0, worse=worse, both=0).passed


def test_a_class_may_not_lose_what_others_gain() -> None:
    classes = np.repeat([0, 1], [200, 20])
    champion = np.ones(220, dtype=np.bool_)
    champion[:30] = False
    challenger = np.ones(220, dtype=np.bool_)
    challenger[200:208] = False
    found = compare(champion, challenger, classes, BOUNDS)
    assert found.difference > 0
    assert found.lost == {1: 0.4}
    assert not found.passed


def test_a_class_of_a_handful_of_rows_is_not_held_against_it() -> None:
    classes = np.repeat([0, 1], [200, 5])
    challenger = np.repeat([True, False], [200, 5])
    assert compare(np.ones(205, dtype=np.bool_), challenger, classes, BOUNDS).passed
