"""A held row is left out of sums as it was put into them, however numbers have been standardised since."""

import numpy as np
import numpy.typing as npt
import pytest

from controlled_streams import Told, every, state_of
from penstock.learning.heads import analytic, discriminant
from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.ensemble import Ensemble
from penstock.learning.heads.fresh import FreshRows
from penstock.learning.parts import LearnerParts
from penstock.learning.reservoir import Reservoir
from penstock.learning.window import Window
from taught_clouds import WIDTH, Floats, Labels, Taught, clouds


class PutIn:
    """How each row was put into the sums, by priority, seen from outside."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: dict[int, Floats] = {}
        self.times_built_anew = 0
        learn, rescaled, begin_anew = Ensemble.learn, Ensemble.rescaled, Ensemble.begin_anew

        def learn_and_note(ensemble: Ensemble, rows: FreshRows, is_held: npt.NDArray[np.bool_]) -> None:
            self.rows |= dict(zip(rows.priorities.tolist(), rows.inputs, strict=True))
            learn(ensemble, rows, is_held)

        def rescaled_and_note(ensemble: Ensemble, reservoir: Reservoir, window: Window) -> bool:
            is_learnt_again = rescaled(ensemble, reservoir, window)
            if is_learnt_again:
                self._note_all(ensemble, reservoir)
            return is_learnt_again

        def begin_anew_and_note(ensemble: Ensemble, reservoir: Reservoir, window: Window) -> None:
            begin_anew(ensemble, reservoir, window)
            self.times_built_anew += 1
            self._note_all(ensemble, reservoir)
            held = ensemble.held._left_out._of
            assert held is None or held.asked is None, "all that is in the sums was put in as it is read now"

        monkeypatch.setattr(Ensemble, "learn", learn_and_note)
        monkeypatch.setattr(Ensemble, "rescaled", rescaled_and_note)
        monkeypatch.setattr(Ensemble, "begin_anew", begin_anew_and_note)

    def _note_all(self, ensemble: Ensemble, reservoir: Reservoir) -> None:
        slots = np.flatnonzero(reservoir.slot_classes >= 0)
        rows = ensemble.inputs(reservoir.encoded_at(slots))
        self.rows |= dict(zip(reservoir.priorities[slots].tolist(), rows, strict=True))


@pytest.fixture
def put_in(monkeypatch: pytest.MonkeyPatch) -> PutIn:
    """With a ridge and a freedom that do not depend on the rows, so that leaving out is exact."""
    monkeypatch.setattr(analytic, "penalty", lambda *_: 3.7)
    monkeypatch.setattr(discriminant, "_correction", lambda counts, total, freedom: 0.7 / np.maximum(counts, 1e-9))
    return PutIn(monkeypatch)


def moving_tasks(taught: Taught, rows_each: int = 120) -> Taught:
    """Three tasks of two classes; each task's columns lie farther out than those before, so that moments follow."""
    for task in range(3):
        rows, labels = clouds(rows_each, [2 * task, 2 * task + 1], seed=task)
        taught.learn(rows * 2**task + 3 * task, labels)
    return taught


def assert_left_out_as_put_in(parts: LearnerParts, put_in: PutIn) -> None:
    """Against a head that the row was taken out of, and that is solved anew."""
    ensemble, reservoir = parts.ensemble, parts.reservoir
    assert ensemble is not None
    assert ensemble.analytic is not None
    ensemble.settle(reservoir)
    held, now = ensemble.held, ensemble.inputs(reservoir.encoded_at(ensemble.held.slots))
    found = held.late_scores()()
    assert len(held.slots) >= 8
    for place in range(0, len(held.slots), 5):
        without = AnalyticHead(ensemble.inputs.width, seed=ensemble.seed)
        without.grow(ensemble.analytic.num_classes)
        without.load(ensemble.analytic.state())
        without.retract(put_in.rows[int(held.priorities[place])][None], held.classes[[place]])
        without.solve()
        expected = without.exact_scores(now[[place]])[0]
        assert found[place] == pytest.approx(expected, abs=1e-7 * np.abs(expected).max())


def test_a_held_row_is_left_out_as_it_was_learnt(put_in: PutIn) -> None:
    parts = moving_tasks(Taught(capacity=120)).learner._parts
    assert not parts.history.has_one_scale
    assert_left_out_as_put_in(parts, put_in)


def test_so_it_is_after_sums_were_built_anew(put_in: PutIn) -> None:
    """Four classes, of which two change places: the others' rows survive from before."""
    taught = Taught(capacity=200)
    rows, labels = clouds(900, range(4), seed=0, spread=0.3)
    swapped = np.array([1, 0, 2, 3])[labels]
    taught.learn(rows[:500], labels[:500]).learn(rows[500:], swapped[500:])
    assert put_in.times_built_anew
    taught.learn(2 * rows[:600] + 1, swapped[:600])
    assert not taught.learner._parts.history.has_one_scale
    assert_left_out_as_put_in(taught.learner._parts, put_in)


def test_as_long_as_all_rows_are_learnt_again_they_are_read_as_they_were_learnt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Right after it too, when the moments have only just moved."""
    asked: list[Floats | None] = []
    left = Ensemble.rows_left

    def left_and_note(ensemble: Ensemble, *kept: object) -> None:
        left(ensemble, *kept)  # type: ignore[arg-type]
        asked.extend([] if ensemble.held._left_out._of is None else [ensemble.held._left_out._of.asked])

    monkeypatch.setattr(Ensemble, "rows_left", left_and_note)
    Taught(capacity=600).learn(*clouds(150, range(3), seed=0), batch_rows=7)
    assert len(asked) > 2
    assert all(rows is None for rows in asked)


def test_rows_without_numbers_are_always_read_as_they_were_learnt() -> None:
    told = Told(capacity=100, with_numbers=False)
    told.events(every(range(4), 60), seed=0)
    ensemble = told.learner._parts.ensemble
    assert ensemble is not None
    assert ensemble.held._left_out._of is not None
    assert ensemble.held._left_out._of.asked is None


def test_a_restart_changes_nothing_of_it() -> None:
    told = Told(capacity=100)
    for labels in ((0, 1), (2, 3)):
        told.events(every(labels, 80), seed=labels[0], drift=2.0)
    again = told.restarted()
    for each in (told, again):
        each.events(every((4, 5), 80), seed=9, drift=4.0)
        parts = each.learner._parts
        assert not parts.history.has_one_scale
        assert parts.ensemble is not None
        assert parts.ensemble.attendance.absence > 0.3
    assert state_of(told) == state_of(again)


def own_columns(count: int, task: int, *, seed: int) -> tuple[Floats, Labels]:
    """Rows of a task's two classes, the only ones to move two of the columns, which have hardly any width before."""
    classes = [2 * task, 2 * task + 1]
    rows, labels = clouds(count, classes, seed=seed)
    loudness = np.full(WIDTH, 0.1)
    loudness[classes] = 1.0
    return rows * loudness, labels


def test_the_head_that_forgets_nothing_keeps_its_weight_while_moments_move() -> None:
    """Taken out of sums that do not hold it so, a row is scored as no read-out would score it."""
    taught = Taught(capacity=60)
    for task in range(3):
        taught.learn(*own_columns(240, task, seed=task))
    assert not taught.alarms
    asked = [own_columns(200, task, seed=50 + task) for task in range(3)]
    rows, labels = np.concatenate([rows for rows, _ in asked]), np.concatenate([theirs for _, theirs in asked])
    assert taught.ensemble.weights_by_head["analytic"] > 0.15
    assert taught.accuracy(rows, labels) >= max(taught.accuracy_of_members(rows, labels).values()) - 0.01
