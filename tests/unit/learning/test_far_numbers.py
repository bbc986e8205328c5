"""Absurd numbers leave mean and deviation of their column where they are; what has really moved is followed."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from penstock.learning.far_numbers import within_reach_of_most
from penstock.learning.standardiser import SETTLED_ROWS, Moments
from same_learners import assert_same, capture, through_json
from taught_clouds import Floats, Taught, clouds

LARGEST = 1e37
"""Farther the encoder lets none go."""

Change = Callable[[Floats], Floats]


def moments_of(column: npt.ArrayLike, batch_rows: int) -> Moments:
    rows = np.asarray(column, dtype=np.float32).reshape(len(np.asarray(column)), -1)
    moments = Moments(rows.shape[1])
    for start in range(0, len(rows), batch_rows):
        moments.merge(rows[start : start + batch_rows])
    return moments


def deviation_of(column: npt.ArrayLike, batch_rows: int) -> float:
    return float(1 / moments_of(column, batch_rows).inverse_deviation[0])


def usual(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=count)


def with_absurd(column: Floats, share: float, absurd: float, seed: int) -> Floats:
    """So large a share of the numbers, at random places, is absurd."""
    generator, changed = np.random.default_rng(seed), column.copy()
    places = generator.permutation(len(column))[: int(share * len(column))]
    changed[places] = absurd * generator.choice([-1, 1], len(places))
    return changed


def one_early(column: Floats) -> Floats:
    changed = column.copy()
    changed[3] = 1e6
    return changed


@pytest.mark.parametrize("batch_rows", [32, 256])
@pytest.mark.parametrize(
    "spoilt",
    [lambda column: with_absurd(column, 0.005, 1e6, 1), lambda column: with_absurd(column, 0.001, 1e12, 1), one_early],
    ids=["half a per cent", "few but larger", "one of the first"],
)
def test_absurd_numbers_cost_hardly_any_accuracy(spoilt: Change, batch_rows: int) -> None:
    """Rows with one in them count, too."""
    rows, labels = clouds(2000, range(4), seed=5)
    clean = np.concatenate(Taught(capacity=2000).learn(rows, labels, batch_rows).hits)
    changed = np.stack([spoilt(column) for column in rows.T], axis=1)
    taught = Taught(capacity=2000).learn(changed, labels, batch_rows)
    assert np.concatenate(taught.hits).mean() > clean.mean() - 0.03
    asked, theirs = clouds(500, range(4), seed=6)
    assert taught.accuracy(asked, theirs) > clean.mean() - 0.02


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0, 0.01),
    absurd=st.floats(1, 37).map(lambda exponent: 10.0**exponent),
    batch_rows=st.sampled_from([1, 7, 32, 256]),
)
def test_up_to_one_per_cent_of_absurd_numbers_leave_a_deviation_of_the_same_size(
    seed: int, share: float, absurd: float, batch_rows: int
) -> None:
    column = with_absurd(usual(1500, seed), share, absurd, seed)
    assert 0.8 < deviation_of(column, batch_rows) < 4
    assert abs(moments_of(column, batch_rows).mean[0]) < 1


@settings(deadline=None)
@given(
    rows=arrays(np.float64, st.tuples(st.integers(1, 150), st.just(2)), elements=st.floats(-LARGEST, LARGEST)),
    batch_rows=st.sampled_from([1, 7, 32, 200]),
)
def test_whatever_comes_moments_are_finite(rows: Floats, batch_rows: int) -> None:
    moments = moments_of(rows, batch_rows)
    for values in moments.state().values():
        assert np.isfinite(values).all()
    assert (moments.squares >= 0).all()
    assert np.isfinite(moments.inverse_deviation).all()
    assert moments.count == len(rows)


@settings(deadline=None)
@given(seed=st.integers(0, 1000), sizes=st.lists(st.integers(1, SETTLED_ROWS), min_size=1, max_size=40))
def test_however_the_first_rows_come_their_moments_are_the_same_to_the_bit(seed: int, sizes: list[int]) -> None:
    column = one_early(usual(SETTLED_ROWS, seed))
    cuts = [cut for cut in np.cumsum(sizes) if cut < SETTLED_ROWS]
    in_parts, at_once = Moments(1), moments_of(column, SETTLED_ROWS)
    for part in np.split(column.astype(np.float32)[:, None], cuts):
        in_parts.merge(part)
    assert in_parts.mean.tolist() == at_once.mean.tolist()
    assert in_parts.squares.tolist() == at_once.squares.tolist()


@pytest.mark.parametrize("batch_rows", [1, 32, 256])
@pytest.mark.parametrize("factor", [20.0, 1000.0, 1e6])
def test_another_unit_is_followed(factor: float, batch_rows: int) -> None:
    """The deviation is near that of all rows once a thousand have come in the new unit."""
    column = np.concatenate((usual(2000), factor * usual(1024, seed=1)))
    assert deviation_of(column, batch_rows) == pytest.approx(column.std(), rel=0.5)


@pytest.mark.parametrize("batch_rows", [1, 32, 256])
@pytest.mark.parametrize("step", [5.0, 50.0, 1e6])
def test_another_level_is_followed(step: float, batch_rows: int) -> None:
    column = np.concatenate((usual(2000), step + usual(1024, seed=1)))
    moments = moments_of(column, batch_rows)
    assert (step - moments.mean[0]) * moments.inverse_deviation[0] < 2.5
    assert 1 / moments.inverse_deviation[0] == pytest.approx(column.std(), rel=0.5)


@pytest.mark.parametrize("batch_rows", [1, 32, 256])
def test_a_column_that_begins_to_vary_is_followed(batch_rows: int) -> None:
    column = np.concatenate((np.full(1000, 7.0), 7.0 + 3 * usual(512)))
    assert deviation_of(column, batch_rows) == pytest.approx(column.std(), rel=0.3)


@pytest.mark.parametrize("batch_rows", [1, 32, 256])
def test_a_rare_indicator_stands_out_as_far_as_any_number_can(batch_rows: int) -> None:
    column = np.zeros(20_000)
    column[500::1000] = 1.0
    moments = moments_of(column, batch_rows)
    zero, one = (np.array([0.0, 1.0]) - moments.mean[0]) * moments.inverse_deviation[0]
    assert one > 6
    assert abs(zero) < 0.2


def test_a_burst_of_absurd_numbers_is_not_taken_for_another_unit() -> None:
    column = usual(2000)
    column[1000:1010] = 1e6
    assert deviation_of(column, 1) < 2


def test_among_the_first_rows_one_of_a_column_that_is_mostly_zero_is_found_out() -> None:
    rows = np.zeros((SETTLED_ROWS, 1))
    rows[::4, 0] = [1.0, 2.0, 1.5, 1e6, 0.5, 1.0, 2.5, 1.0]
    assert within_reach_of_most(rows).max() < 50


@pytest.mark.parametrize(
    "column", [[7.0] * 40, [0.0] * 39 + [1.0], [0.0] * 20 + [1.0] * 20], ids=["constant", "rare", "even"]
)
def test_among_the_first_rows_indicators_stay_as_they_are(column: list[float]) -> None:
    rows = np.array(column)[:, None]
    assert within_reach_of_most(rows).tolist() == rows.tolist()


def test_among_the_first_rows_what_lies_apart_often_stays_where_it_is() -> None:
    rows = np.concatenate((0.01 * usual(22), 5 + 0.01 * usual(10)))[:, None]
    assert within_reach_of_most(rows).tolist() == rows.tolist()


@pytest.mark.parametrize("num_rows", [20, 31, 40, 400])
def test_killed_among_the_first_rows_or_while_numbers_are_far_out_it_goes_on_to_the_bit(num_rows: int) -> None:
    rows, labels = clouds(600, range(3), seed=1)
    rows[10, 0], rows[num_rows - 5 : num_rows + 20, 1] = 1e6, 1e4
    whole, killed = (Taught().learn(rows[:num_rows], labels[:num_rows], 9) for _ in range(2))
    restored = Taught()
    restored.learner.restore(through_json(capture(killed.learner)))
    restored._offset = num_rows
    for taught in (whole, restored):
        taught.learn(rows[num_rows:], labels[num_rows:], 9)
    assert_same(whole.learner, restored.learner)
