"""The nearest rows vote by a triangle, and a row never votes for itself."""

import numpy as np
import pytest

from penstock.learning.heads.neighbours import SMOOTHING, Neighbours


def stored(count: int, seed: int = 0) -> tuple[Neighbours, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    rows, classes = (
        generator.normal(size=(count, 3)).astype(np.float32).astype(np.float64),
        generator.integers(0, 4, count),
    )
    return Neighbours.of(rows, classes, np.arange(count).astype(np.uint64)), rows, classes


@pytest.mark.parametrize("count", [4, 10, 100, 400, 1501])
def test_votes_are_those_of_the_formula(count: int) -> None:
    neighbours, rows, classes = stored(count)
    queries = np.random.default_rng(1).normal(size=(20, 3))
    num_near = max(1, round(np.sqrt(count) / 2))
    found = np.exp(neighbours.scores(queries, 4))
    for query, said in zip(queries, found, strict=True):
        distances = np.linalg.norm(rows - query, axis=1)
        nearest = np.argsort(distances)[: num_near + 1]
        weights = 1 - distances[nearest] / distances[nearest[-1]]
        votes = np.bincount(classes[nearest], weights, 4)
        assert said == pytest.approx((votes + SMOOTHING / 4) / (votes.sum() + SMOOTHING), abs=1e-6)
        assert said.sum() == pytest.approx(1)


def test_a_row_left_out_by_its_id_does_not_see_itself_but_sees_its_twins() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(100, 3))
    rows[1] = rows[0]
    classes = np.full(100, 3)
    classes[:2] = 0, 1
    ids = np.arange(100).astype(np.uint64)
    neighbours = Neighbours.of(rows, classes, ids)
    alone = np.exp(neighbours.scores(rows[:1], 4))
    without = np.exp(neighbours.scores(rows[:1], 4, leave_out=ids[:1]))
    assert alone[0, 0] > 0.1
    assert without[0, 0] < SMOOTHING / 4
    assert without[0, 1] > 0.1


@pytest.mark.parametrize("count", [2, 3, 9, 17, 1501])
def test_few_queries_are_answered_as_many_and_none_sees_itself(count: int) -> None:
    neighbours, rows, _ = stored(count)
    ids = np.arange(count).astype(np.uint64)
    together = neighbours.scores(rows, 4, leave_out=ids)
    alone = np.concatenate([neighbours.scores(rows[i : i + 1], 4, leave_out=ids[i : i + 1]) for i in range(count)])
    assert together == pytest.approx(alone, abs=1e-5)


def test_identical_rows_vote_alike() -> None:
    neighbours = Neighbours.of(np.ones((50, 2)), np.arange(50) % 2, np.arange(50).astype(np.uint64))
    found = np.exp(neighbours.scores(np.ones((1, 2)), 2))
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1)


def test_too_few_rows_say_nothing() -> None:
    neighbours = Neighbours.of(np.ones((1, 2)), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.uint64))
    assert np.exp(neighbours.scores(np.ones((3, 2)), 5)) == pytest.approx(np.full((3, 5), 0.2))
