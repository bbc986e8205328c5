"""The confusion matrix: its diagonal is the recall, classes that stay away keep their row, and it stays small."""

import numpy as np
import pytest

from penstock.learning.watching.class_scores import ClassScores
from penstock.learning.watching.confusion import NAMED_CLASSES, Confusion
from penstock.learning.watching.observed import NOTHING, ObservedRows
from watched_rows import in_batches, rows_of, stream


def test_the_share_on_the_diagonal_is_the_recall() -> None:
    confusion, classes = Confusion(0.98), ClassScores(0.98)
    for part in in_batches(stream(3000, [0.1, 0.5, 0.3], np.random.default_rng(0)), 32):
        confusion.update(part)
        classes.update(part, 0)
    shares = confusion.counts / confusion.counts.sum(axis=1, keepdims=True)
    assert np.diag(shares) == pytest.approx(classes.recall)
    assert shares[0, 2] == shares[1, 0] == shares[2, 1] == 0  # a miss is told as the class after
    assert shares.sum(axis=1) == pytest.approx(np.ones(3))


def test_the_row_of_a_class_that_stays_away_is_kept() -> None:
    confusion = Confusion(0.9)
    confusion.update(rows_of([0, 0, 0, 1], [0, 1, 1, 1]))
    kept = confusion.counts[0].tolist()
    for _ in range(200):
        confusion.update(rows_of([1, 1], [0, 1]))
    assert confusion.counts[0].tolist() == kept == [1, 2]
    assert confusion.counts[1] == pytest.approx([1 / (1 - 0.81), 1 / (1 - 0.81)], rel=1e-3)


def test_many_classes_share_the_last_row_and_column() -> None:
    confusion = Confusion(1.0)
    confusion.update(rows_of([0, 63, 64, 9000], [5000, 63, 70, 1]))
    assert confusion.counts.shape == (NAMED_CLASSES + 1, NAMED_CLASSES + 1)
    assert confusion.counts[0, NAMED_CLASSES] == 1
    assert confusion.counts[63, 63] == 1
    assert confusion.counts[NAMED_CLASSES, NAMED_CLASSES] == 1
    assert confusion.counts[NAMED_CLASSES, 1] == 1
    assert confusion.counts.sum() == 4


def test_rows_for_which_nothing_could_be_predicted_are_left_out() -> None:
    confusion = Confusion(0.9)
    confusion.update(rows_of([0, 1], [NOTHING, NOTHING]))
    assert confusion.counts.size == 0
    confusion.update(rows_of([0, 1], [NOTHING, 0]))
    assert confusion.counts.tolist() == [[0, 0], [1, 0]]


def test_the_largest_confusions_come_first_and_no_class_is_confused_with_itself() -> None:
    confusion = Confusion(1.0)
    assert confusion.largest(3) == []
    labels = np.array([0] * 4 + [1] * 10 + [2] * 5)
    predicted = np.array([0, 0, 1, 1] + [1] * 9 + [2] + [2] * 5)
    confusion.update(ObservedRows(labels=labels, predicted=predicted, losses=np.zeros(len(labels))))
    assert confusion.largest(3) == [(0, 1, 0.5), (1, 2, 0.1)]
    assert confusion.largest(1) == [(0, 1, 0.5)]
