"""A class's scores fade with its own rows, and what it has lost is measured from its best."""

import numpy as np
import pytest

from penstock.learning.watching.class_scores import ESTABLISHED_ROWS, ClassScores
from penstock.learning.watching.observed import Float64s
from watched_rows import rows_of


def updated(scores: ClassScores, labels: list[int], hits: list[bool], loss: float = 0.0) -> ClassScores:
    predicted = [label if hit else label + 1 for label, hit in zip(labels, hits, strict=True)]
    events = int(scores.rows.sum()) + len(labels)
    scores.update(rows_of(labels, predicted, [loss] * len(labels)), events)
    return scores


def test_the_scores_of_a_class_that_stays_away_are_kept() -> None:
    scores = updated(ClassScores(0.9), [0, 0, 1, 1], [True, False, True, True], loss=3.0)
    for _ in range(500):
        updated(scores, [1, 1], [False, False], loss=1.0)
    assert (scores.recall[0], scores.loss[0]) == (pytest.approx(0.5), pytest.approx(3))
    assert (scores.recall[1], scores.loss[1]) == (pytest.approx(0, abs=1e-6), pytest.approx(1))
    assert scores.rows.tolist() == [2, 1002]
    assert scores.last_event.tolist() == [4, 1004]


def test_recall_fades_with_the_rows_of_its_class() -> None:
    scores, generator = ClassScores(0.95), np.random.default_rng(0)
    hits = recent = count = recent_count = 0.0
    for _ in range(50):
        right = bool(generator.integers(2))
        updated(scores, [2], [right])
        hits, count = right + 0.95 * hits, 1 + 0.95 * count
        recent, recent_count = right + 0.9 * recent, 1 + 0.9 * recent_count
    assert scores.recall.tolist() == [0, 0, pytest.approx(hits / count)]
    assert scores.recent_recall[2] == pytest.approx(recent / recent_count)


def test_what_is_forgotten_is_the_best_recall_minus_the_present_one() -> None:
    scores = ClassScores(0.9)
    for right in [True] * 100 + [False] * 5:
        updated(scores, [0], [right])
    assert scores.best_recall[0] == pytest.approx(1, abs=1e-4)
    assert scores.forgotten[0] == pytest.approx(1 - 0.9**5, abs=1e-3)
    for _ in range(100):
        updated(scores, [0], [True])
    assert scores.forgotten[0] == pytest.approx(0, abs=1e-3)


def test_first_rows_that_happen_to_be_right_are_no_best() -> None:
    scores = ClassScores(0.999)
    for place in range(ESTABLISHED_ROWS):
        updated(scores, [0], [place < 10])
    assert scores.best_recall[0] == pytest.approx(1 / 3, abs=0.01)


def test_a_class_is_established_by_thirty_rows() -> None:
    scores = updated(ClassScores(0.999), [0] * 30 + [1] * 29, [True] * 59)
    assert scores.is_established.tolist() == [True, False]
    assert updated(scores, [1], [False]).is_established.tolist() == [True, True]


def test_classes_may_come_in_any_order_and_number() -> None:
    scores = updated(ClassScores(0.999), [3000, 0], [True, False])
    expected: Float64s = np.zeros(3001)
    expected[3000] = 1
    assert scores.recall == pytest.approx(expected)
