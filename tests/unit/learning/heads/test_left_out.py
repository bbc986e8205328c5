"""What the analytic head says of a row left out is the same to the bit, whatever was asked before."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.left_out import AT_ONCE, LearntRows, LeftOut

NUM_CLASSES, WIDTH = 7, 6


def learnt_rows(num_rows: int, *, also_a_single_one: bool = False) -> LearntRows:
    """Rows that a head has learnt and solved for; the last may be the only one of its class."""
    generator = np.random.default_rng(num_rows)
    classes = generator.integers(0, NUM_CLASSES, num_rows)
    if also_a_single_one:
        classes[-1] = NUM_CLASSES
    rows = generator.normal(size=(num_rows, WIDTH)) + classes[:, None]
    weights = np.ones(num_rows)
    head = AnalyticHead(WIDTH, seed=0)
    head.grow(NUM_CLASSES + 1)
    head.learn(rows, classes, weights)
    head.solve()
    assert head.solved is not None
    return LearntRows(solved=head.solved, rows=rows, classes=classes, weights=weights)


@given(
    asked=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=40), max_size=5),
    num_rows=st.sampled_from((100, 130, 256)),
    also_a_single_one=st.booleans(),
)
def test_scores_do_not_depend_on_who_asked_first(
    asked: list[list[int]], num_rows: int, also_a_single_one: bool
) -> None:
    of = learnt_rows(num_rows, also_a_single_one=also_a_single_one)
    all_at_once, some_first = LeftOut(of).late()(), LeftOut(of)
    for places in asked:
        assert np.array_equal(some_first.at(np.array(places)), all_at_once[places])
    assert np.array_equal(some_first.late()(), all_at_once)


def test_a_row_is_scored_as_by_a_head_that_never_learnt_it() -> None:
    of = learnt_rows(100)
    without = AnalyticHead(WIDTH, seed=0)
    without.grow(NUM_CLASSES + 1)
    without.learn(np.delete(of.rows, 42, axis=0), np.delete(of.classes, 42))
    without.solve()
    assert without.readout is not None
    expected = without.readout.scores(without.features(of.rows[42:43]))[0, :NUM_CLASSES]
    found = LeftOut(of).at(np.array([42]))[0, :NUM_CLASSES]
    assert found.argmax() == expected.argmax()
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), rtol=0.05, atol=0.3)


def test_the_only_row_of_its_class_is_scored_as_it_is_known() -> None:
    of = learnt_rows(100, also_a_single_one=True)
    plain = of.solved.readout.scores(of.solved.features(of.rows[-1:]))[0]
    np.testing.assert_allclose(LeftOut(of).at(np.array([99]))[0], plain, rtol=1e-12)


def test_only_what_is_asked_for_is_worked_out() -> None:
    of = learnt_rows(256)
    found = LeftOut(of)
    found.at(np.array([3, 40, 41]))
    assert int(found._is_known.sum()) == AT_ONCE


def test_fewer_rows_than_are_worked_out_at_once_will_do() -> None:
    of = learnt_rows(20)
    assert LeftOut(of).at(np.array([19, 0, 19])).shape == (3, NUM_CLASSES + 1)
