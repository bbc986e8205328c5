"""The forgetting head follows what changes, and keeps what stays away."""

import numpy as np
import pytest

from penstock.learning.heads.forgetting import FADING, ForgettingHead

WIDTH = 4


def by_hand(rows: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means by the class clock, and the scatter of rows about them, one row after the other."""
    means, counts, scatter = np.zeros((3, WIDTH)), np.zeros(3), np.zeros((WIDTH, WIDTH))
    for row, label in zip(rows, classes, strict=True):
        before = FADING * counts[label]
        moved = row - means[label]
        counts[label] = before + 1
        means[label] += moved / counts[label]
        scatter = FADING * scatter + np.outer(moved, moved) * before / counts[label]
    return means, scatter


def taught(rows: np.ndarray, classes: np.ndarray, at_once: int) -> ForgettingHead:
    head = ForgettingHead(WIDTH)
    head.grow(3)
    for start in range(0, len(rows), at_once):
        stop = start + at_once
        head.learn(rows[start:stop], classes[start:stop], np.ones(len(rows[start:stop])))
    return head


def test_row_by_row_it_is_the_formula() -> None:
    generator = np.random.default_rng(0)
    rows, classes = generator.normal(size=(300, WIDTH)), generator.integers(0, 3, 300)
    head = taught(rows, classes, 1)
    means, scatter = by_hand(rows, classes)
    assert head._means == pytest.approx(means, abs=1e-9)
    assert head._scatter == pytest.approx(scatter, abs=1e-9)


@pytest.mark.parametrize("at_once", [8, 32])
def test_means_do_not_depend_on_how_rows_are_cut_into_batches(at_once: int) -> None:
    generator = np.random.default_rng(0)
    rows, classes = generator.normal(size=(320, WIDTH)), generator.integers(0, 3, 320)
    assert taught(rows, classes, at_once)._means == pytest.approx(by_hand(rows, classes)[0], abs=1e-9)
    assert taught(rows, classes, at_once)._scatter == pytest.approx(by_hand(rows, classes)[1], rel=0.05, abs=3)


def test_a_class_that_stays_away_keeps_its_mean_while_others_move() -> None:
    generator = np.random.default_rng(0)
    rows, classes = generator.normal(size=(300, WIDTH)), generator.integers(0, 3, 300)
    head = taught(rows, classes, 16)
    before = head._means.copy()
    for _ in range(50):
        head.learn(generator.normal(size=(16, WIDTH)) + 5, np.zeros(16, dtype=np.int64), np.ones(16))
    assert np.array_equal(head._means[1:], before[1:])
    assert head._means[0] == pytest.approx(np.full(WIDTH, 5), abs=0.5)
    assert np.linalg.eigvalsh(head._scatter).min() > 0


def test_a_restored_head_goes_on_alike() -> None:
    generator = np.random.default_rng(0)
    rows, classes = generator.normal(size=(100, WIDTH)), generator.integers(0, 3, 100)
    head, other = taught(rows, classes, 16), ForgettingHead(WIDTH)
    other.load(head.state())
    for one in (head, other):
        one.learn(rows[:9], classes[:9], np.ones(9))
    for name, array in head.state().items():
        assert array.tobytes() == other.state()[name].tobytes(), name
