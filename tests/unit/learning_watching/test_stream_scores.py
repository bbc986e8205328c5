"""Faded scores of the stream, batch by batch, are those of the recurrence row by row, and kappas have their zeros."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from penstock.learning.watching.observed import NOTHING, Int64s, ObservedRows
from penstock.learning.watching.scores import Kappas, StreamScores
from watched_rows import in_batches, rows_of

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 4), st.floats(0, 20)), min_size=1, max_size=80)
FADINGS = st.sampled_from([0.5, 0.9, 0.999, 1.0])


@given(rows=ROWS, batch=st.integers(1, 20), fading=FADINGS)
def test_accuracy_and_loss_follow_the_recurrence(rows: list[tuple[int, int, float]], batch: int, fading: float) -> None:
    scores, last = StreamScores(fading), NOTHING
    hits = losses = repeats = count = 0.0
    for part in in_batches(rows_of(*zip(*rows, strict=True)), batch):
        scores.update(part)
    for label, predicted, loss in rows:
        hits, losses, count = (label == predicted) + fading * hits, loss + fading * losses, 1 + fading * count
        repeats, last = (label == last) + fading * repeats, label
    assert scores.accuracy == pytest.approx(hits / count, rel=1e-9, abs=1e-12)
    assert scores.loss == pytest.approx(losses / count, rel=1e-9, abs=1e-12)
    assert scores.no_change_accuracy == pytest.approx(repeats / count, rel=1e-9, abs=1e-12)


@given(rows=ROWS, fading=FADINGS)
def test_kappa_follows_from_faded_shares_of_labels_and_predictions(
    rows: list[tuple[int, int, float]], fading: float
) -> None:
    kappas = Kappas(fading)
    for part in in_batches(rows_of(*zip(*rows, strict=True)), 7):
        kappas.update(part)
    weights = fading ** np.arange(len(rows))[::-1]
    weights /= weights.sum()
    labels, predicted = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    chance = sum(weights[labels == c].sum() * weights[predicted == c].sum() for c in range(5))
    accuracy = weights[labels == predicted].sum()
    assert kappas.kappa * (1 - chance) == pytest.approx(accuracy - chance if chance < 1 else 0, abs=1e-9)


@pytest.mark.parametrize("batch", [1, 10, 500])
def test_unfaded_kappa_is_that_of_scikit_learn_for_the_stream_and_for_each_class(batch: int) -> None:
    labels, predicted = some_stream()
    kappas = Kappas(1.0)
    for part in in_batches(rows_of(labels, predicted), batch):
        kappas.update(part)
    assert kappas.kappa == pytest.approx(cohen_kappa_score(labels, predicted))
    of_classes = [cohen_kappa_score(labels == c, predicted == c) for c in range(4)]
    assert kappas.kappa_by_class() == pytest.approx(of_classes)


@pytest.mark.parametrize("fading", [0.99, 1.0])
def test_kappa_temporal_of_a_last_class_predictor_is_zero_for_the_stream_and_for_each_class(fading: float) -> None:
    labels, _ = some_stream()
    scores, kappas = StreamScores(fading), Kappas(fading)
    for part in in_batches(rows_of(labels, np.concatenate(([NOTHING], labels[:-1]))), 13):
        scores.update(part)
        kappas.update(part)
        assert scores.kappa_temporal == pytest.approx(0, abs=1e-12)
    assert kappas.kappa_temporal_by_class() == pytest.approx(np.zeros(4), abs=1e-12)
    assert scores.accuracy > 0.3  # it is not for want of hits


def test_both_kappas_of_perfect_predictions_are_one() -> None:
    labels, _ = some_stream()
    scores, kappas = StreamScores(0.99), Kappas(0.99)
    scores.update(rows_of(labels, labels))
    kappas.update(rows_of(labels, labels))
    assert [scores.kappa_temporal, kappas.kappa] == pytest.approx([1, 1])
    assert kappas.kappa_by_class() == pytest.approx(np.ones(4))
    assert kappas.kappa_temporal_by_class() == pytest.approx(np.ones(4))


def test_kappa_of_always_the_same_answer_is_zero_however_high_its_accuracy() -> None:
    labels = (np.random.default_rng(0).random(2000) < 0.1).astype(np.int64)
    kappas = Kappas(1.0)
    kappas.update(rows_of(labels, np.zeros_like(labels)))
    assert kappas.kappa == pytest.approx(0)


def test_before_the_first_row_all_scores_are_zero() -> None:
    scores, kappas = StreamScores(0.999), Kappas(0.999)
    assert (scores.accuracy, scores.loss, scores.no_change_accuracy, scores.kappa_temporal) == (0, 0, 0, 0)
    assert (kappas.kappa, kappas.kappa_by_class().tolist()) == (0, [])


def some_stream() -> tuple[Int64s, Int64s]:
    """Labels that come in runs, and predictions that are right more often than not."""
    generator = np.random.default_rng(3)
    labels = np.repeat(generator.integers(0, 4, 250), 2)
    predicted = np.where(generator.random(500) < 0.6, labels, generator.integers(0, 4, 500))
    return labels, predicted


def test_rows_joined_are_the_rows_in_order() -> None:
    rows = rows_of(*some_stream())
    joined = ObservedRows.joined(list(in_batches(rows, 7)))
    for name, column in rows.tensors().items():
        assert (joined.tensors()[name] == column).all()
