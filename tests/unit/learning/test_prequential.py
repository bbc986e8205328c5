"""Faded scores, batch by batch, are those of the recurrence row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.learning.prequential import PrequentialScore


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.floats(0, 20)), min_size=1, max_size=60),
    batch=st.integers(1, 20),
    fading=st.sampled_from([0.5, 0.9, 0.999, 1.0]),
)
def test_accuracy_and_loss_follow_the_recurrence(
    rows: list[tuple[int, bool, float]], batch: int, fading: float
) -> None:
    score = PrequentialScore(fading)
    hits = losses = count = 0.0
    for start in range(0, len(rows), batch):
        classes, right, loss = zip(*rows[start : start + batch], strict=True)
        score.update(np.array(classes), np.array(right), np.array(loss))
    for _, right_one, loss_one in rows:
        hits, losses, count = right_one + fading * hits, loss_one + fading * losses, 1 + fading * count
    assert score.accuracy == pytest.approx(hits / count, rel=1e-9, abs=1e-12)
    assert score.loss == pytest.approx(losses / count, rel=1e-9, abs=1e-12)


def test_the_recall_of_a_class_that_stays_away_is_kept() -> None:
    score = PrequentialScore(0.9)
    score.update(np.array([0, 0, 1, 1]), np.array([True, False, True, True]), np.zeros(4))
    for _ in range(500):
        score.update(np.array([1, 1]), np.array([False, False]), np.ones(2))
    assert score.recall[0] == pytest.approx(0.5)
    assert score.recall[1] < 1e-6


def test_the_recall_of_a_class_fades_with_its_own_rows() -> None:
    score = PrequentialScore(0.9)
    hits = count = 0.0
    generator = np.random.default_rng(0)
    for _ in range(50):
        right = bool(generator.integers(2))
        score.update(np.array([2]), np.array([right]), np.zeros(1))
        hits, count = right + 0.9 * hits, 1 + 0.9 * count
    assert score.recall.tolist() == [0, 0, pytest.approx(hits / count)]


def test_before_the_first_row_scores_are_zero() -> None:
    score = PrequentialScore(0.999)
    assert (score.accuracy, score.loss, score.recall.tolist()) == (0, 0, [])
