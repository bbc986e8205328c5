"""What is summed in the beginning is summed as if the moments had been good ones from the first event on."""

import numpy as np
import numpy.typing as npt
import pytest

from controlled_streams import Told, every
from penstock.flow import ImportRequest
from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.ensemble import Ensemble
from penstock.learning.heads.forgetting import ForgettingHead
from penstock.learning.heads.reading_again import holds_all, learn_again
from penstock.learning.shelves import Shelves
from penstock.learning.window import Window
from taught_clouds import Floats, Labels, Taught, clouds

NUM_ROWS = 150


def far_out(count: int) -> tuple[Floats, Labels]:
    """Columns of other origins and other widths, so that moments matter."""
    rows, labels = clouds(count, range(3), seed=0)
    return 1000.0 + rows * np.array([1.0, 10.0, 0.1, 5.0, 0.5, 100.0]), labels


def summed(head: AnalyticHead) -> dict[str, npt.NDArray[np.float64]]:
    head.solve()
    return {name: head.state()[name].astype(np.float64) for name in ("gram", "sums", "counts")}


def assert_sums_are_of_rows_as_read_now(ensemble: Ensemble, window: Window) -> None:
    assert ensemble.analytic is not None
    rows = window.rows.at(window.newest(len(window)))
    fresh = AnalyticHead(ensemble.inputs.width, seed=0)
    fresh.grow(ensemble.analytic.num_classes)
    fresh.learn(ensemble.inputs(rows.encoded), rows.classes, rows.weights.astype(np.float64))
    mine = summed(ensemble.analytic)
    for name, values in summed(fresh).items():
        assert np.abs(mine[name] - values).max() <= 1e-9 * np.abs(values).max(), name


@pytest.mark.parametrize("batch_rows", [1, 7, 32])
def test_while_the_window_holds_all_the_sums_are_of_all_rows_by_the_moments_of_now(batch_rows: int) -> None:
    taught = Taught(capacity=4 * NUM_ROWS).learn(*far_out(NUM_ROWS), batch_rows=batch_rows)
    parts = taught.learner._parts
    assert len(parts.window) == NUM_ROWS
    assert len(parts.history._scales) > 2, "the moments have been taken anew"
    assert parts.history.has_one_scale
    assert not parts.history.was_rebuilt
    assert_sums_are_of_rows_as_read_now(taught.ensemble, parts.window)


def test_once_the_window_is_full_sums_stay_as_they_were_put_in() -> None:
    taught = Taught(capacity=NUM_ROWS).learn(*far_out(4 * NUM_ROWS), batch_rows=32)
    parts = taught.learner._parts
    assert not parts.history.has_one_scale
    assert taught.ensemble.analytic is not None
    assert taught.ensemble.analytic.counts.sum() == 4 * NUM_ROWS
    assert not holds_all(parts.window, taught.ensemble.analytic)


def test_the_forgetting_head_learns_the_rows_again_in_their_order() -> None:
    taught = Taught(capacity=4 * NUM_ROWS).learn(*far_out(NUM_ROWS), batch_rows=1)
    ensemble, window = taught.ensemble, taught.learner._parts.window
    assert ensemble.analytic is not None
    assert ensemble.forgetting is not None
    learn_again(window, ensemble.inputs, Shelves(), ensemble.analytic, ensemble.forgetting)
    rows = window.rows.at(window.newest(len(window)))
    fresh = ForgettingHead(ensemble.inputs.width)
    fresh.grow(len(ensemble.forgetting.counts))
    fresh.learn(ensemble.inputs(rows.encoded), rows.classes, np.ones(NUM_ROWS))
    for name, values in fresh.state().items():
        assert ensemble.forgetting.state()[name] == pytest.approx(values, abs=1e-12), name


def test_the_forgetting_head_does_not_learn_held_rows() -> None:
    taught = Taught(capacity=4 * NUM_ROWS).learn(*far_out(NUM_ROWS), batch_rows=1)
    ensemble, parts = taught.ensemble, taught.learner._parts
    assert ensemble.analytic is not None
    assert ensemble.forgetting is not None
    learn_again(parts.window, ensemble.inputs, Shelves(), ensemble.analytic, ensemble.forgetting)
    of_all = ensemble.forgetting.counts.sum()
    learn_again(parts.window, ensemble.inputs, ensemble.shelves, ensemble.analytic, ensemble.forgetting)
    assert len(ensemble.held.slots) > 20
    assert ensemble.forgetting.counts.sum() < of_all - 10


def analytic_of(told: Told) -> AnalyticHead:
    ensemble = told.learner._parts.ensemble
    assert ensemble is not None
    assert ensemble.analytic is not None
    return ensemble.analytic


def test_a_class_that_sleeps_stays_in_the_sums_and_so_it_does_once_awake() -> None:
    told = Told(heads=("analytic",), capacity=1024)
    told.events(every(range(4), 10), seed=1, batch=1)
    told.classes("hibernate", "c3")
    asleep = told.events(every(range(3), 20), seed=2, batch=1, drift=3.0)
    assert len(asleep) == 60
    assert float(analytic_of(told)._sums.gram[0, 0]) >= 40, "a row adds 1, asleep or awake"
    told.classes("wake", "c3")
    told.events(every(range(3), 20), seed=3, batch=1, drift=3.0)
    assert sorted(analytic_of(told).counts.tolist()) == [10, 50, 50, 50]
    assert not told.learner._parts.history.has_one_scale


def test_a_class_from_another_model_stays_in_the_sums() -> None:
    giver, taker = Told(heads=("analytic",), name="giver"), Told(heads=("analytic",), capacity=1024)
    giver.events(every(range(4), 10), seed=1)
    taker.events(every(range(3), 10), seed=1, batch=1)
    before = taker.learner._parts.history.scale_number
    assert taker.told(ImportRequest(packet=giver.learner.packet_of("c3"))).result == "applied"
    taken_in = taker.learner.class_names.index("c3")
    taker.events(every(range(3), 20), seed=2, batch=1, drift=3.0)
    assert taker.learner._parts.history.scale_number > before
    assert analytic_of(taker).counts[taken_in] == 10
