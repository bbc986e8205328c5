"""Events that are held out are never learnt, and are there to compare versions on."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from controlled_streams import TOPIC, Told, every, place, points, state_of
from penstock.flow import EventBatch, EventPlace
from penstock.learning.learner import Learner
from penstock.learning.rows import EncodedRows
from penstock.learning.set_aside import MOST_ROWS, HeldOut, HoldOut

HOLD_OUT = HoldOut(share=0.2, rows_per_class=1000)


def holding(hold_out: HoldOut | None = HOLD_OUT) -> Told:
    return Told(hold_out=hold_out)


def test_a_held_out_event_leaves_no_trace_in_the_weights() -> None:
    one, other = holding(), holding(None)
    labels = every(range(4), 60)
    features = points(labels, seed=1)
    num_held = 0
    for start in range(0, len(labels), 24):
        rows = slice(start, start + 24)
        batch = one.batch({name: values[rows] for name, values in features.items()}, labels[rows])
        before = held_priorities(one.learner)
        report = one.learner.learn(batch)
        held = np.setdiff1d(held_priorities(one.learner), before)
        assert report.held_out == len(held)
        assert report.num_events == 24 - len(held)
        num_held += len(held)
        other.learner.learn(without(batch, held, one.learner))
    assert 0.1 * len(labels) < num_held < 0.3 * len(labels)
    assert one.learner.events_learnt == len(labels) - num_held
    assert one.capture()[1].sha256 == other.capture()[1].sha256


def held_priorities(learner: Learner) -> np.ndarray:
    return learner._parts.held_out.tensors()["priorities"]


def without(batch: EventBatch, held: np.ndarray, learner: Learner) -> EventBatch:
    places = (batch.events.column(name).to_numpy() for name in ("partition", "offset", "row"))
    kept = ~np.isin(learner._priorities.at(*places), held)
    return replace(batch, events=batch.events.filter(pa.array(kept)))


def test_rows_of_live_classes_are_asked_about_and_survive_a_checkpoint() -> None:
    told = holding()
    told.events(every(range(4), 60), seed=1)
    rows = told.learner.held_out_rows()
    assert rows is not None
    assert set(rows.classes) == {0, 1, 2, 3}
    again = told.restarted().learner.held_out_rows()
    assert again is not None
    assert np.array_equal(again.classes, rows.classes)
    assert np.array_equal(again.rows.dense, rows.rows.dense)
    told.classes("hibernate", "c0")
    asleep = told.learner.class_names.index("c0")
    awake = told.learner.held_out_rows()
    assert awake is not None
    assert set(awake.classes) == {0, 1, 2, 3} - {asleep}


def test_an_event_of_a_weight_of_its_own_or_of_a_new_class_is_always_learnt() -> None:
    told = holding(HoldOut(share=0.5, rows_per_class=1000))
    reports = told.events(every(range(3), 40), seed=1, weight=2.0)
    assert sum(report.held_out for report in reports) == 0
    reports = told.events([7] * 32, seed=2)
    assert sum(report.held_out for report in reports) == 0
    assert sum(report.held_out for report in told.events([7] * 32, seed=3)) > 5


def test_a_held_out_event_is_retracted_without_touching_what_was_learnt() -> None:
    told = holding()
    labels = every(range(3), 60)
    told.events(labels, seed=1)
    features, held = points(labels, seed=1), held_priorities(told.learner)
    offset = next(at for at in range(len(labels)) if priority_of(told.learner, at) in held)
    before = learnt_of(told)
    outcome = told.retract(features, offset, labels[offset], EventPlace(topic=TOPIC, partition=0, offset=offset))
    assert (outcome.result, outcome.exactness) == ("applied", {})
    assert "was held out, so nothing has learnt it" in outcome.sentence
    assert all(np.array_equal(one, other) for one, other in zip(before, learnt_of(told), strict=True))
    assert priority_of(told.learner, offset) not in held_priorities(told.learner)
    again = told.retract(features, offset, labels[offset], EventPlace(topic=TOPIC, partition=0, offset=offset))
    assert again.result == "refused"


def test_before_anything_was_held_out_a_retraction_is_answered_as_without_a_gate() -> None:
    never_learnt = points([1], seed=77)
    answers = []
    for hold_out in (None, HoldOut(share=1e-9, rows_per_class=100)):
        told = holding(hold_out)
        told.events(every(range(3), 10), seed=1)
        answers.append(told.retract(never_learnt, 0, 1, "order-4711").sentence)
    assert answers[0] == answers[1]


def test_what_is_kept_does_not_depend_on_when_it_is_looked_at() -> None:
    features, answers, states = points([0] * 30, seed=1), [], []
    for is_looked_at in (False, True):
        told = holding(HoldOut(share=0.4, rows_per_class=3))
        told.events(every(range(3), 2), seed=0)
        offset = told.offset
        told.events([0] * 30, seed=1)
        if is_looked_at:
            told.learner.held_out_rows()
            told = told.restarted()
        order = range(29, -1, -1)
        answers.append([told.retract(features, row, 0, place(offset + row)).sentence for row in order])
        states.append(state_of(told))
    assert sum("was held out" in answer for answer in answers[0]) > 3
    assert answers[0] == answers[1]
    assert states[0] == states[1]


def learnt_of(told: Told) -> list[np.ndarray]:
    """Exact sums and kept rows."""
    checkpoint = told.capture()[0]
    heads = [checkpoint.tensors[f"heads.analytic.{name}"] for name in ("gram", "sums", "counts")]
    return [*heads, checkpoint.tensors["heads.attendance.counts"], checkpoint.reservoir.slots]


def priority_of(learner: Learner, offset: int) -> int:
    zero = np.zeros(1, dtype=np.int32)
    return int(learner._priorities.at(zero, np.array([offset]), zero)[0])


def filled(held: HeldOut, classes: list[int], *, event: int = 0) -> None:
    count = len(classes)
    rows = EncodedRows(
        dense=np.arange(event, event + count, dtype=np.float32)[:, None], tokens=np.zeros((count, 0), dtype=np.int32)
    )
    priorities = np.arange(event, event + count, dtype=np.uint64)
    held.add(rows, np.array(classes, dtype=np.int64), priorities, event=event)


def test_the_newest_of_each_class_are_kept() -> None:
    held = HeldOut(HoldOut(share=0.5, rows_per_class=3))
    filled(held, [0, 1, 0, 0, 1, 0, 2, 0])
    found = held.of_classes(np.ones(3, dtype=np.bool_))
    assert found.classes.tolist() == [1, 0, 1, 0, 2, 0]
    assert found.rows.dense[:, 0].tolist() == [1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("at_once", [1, 7, 300])
def test_micro_batches_of_any_size_keep_the_same(at_once: int) -> None:
    one, other = (HeldOut(HoldOut(share=0.5, rows_per_class=3)) for _ in range(2))
    filled(one, [0, 1, 2] * 200)
    for start in range(0, 600, at_once):
        count = min(at_once, 600 - start)
        rows = EncodedRows(
            dense=np.arange(start, start + count, dtype=np.float32)[:, None],
            tokens=np.zeros((count, 0), dtype=np.int32),
        )
        priorities = np.arange(start, start + count, dtype=np.uint64)
        other.add(rows, np.arange(start, start + count) % 3, priorities, event=0)
    for name, values in one.tensors().items():
        assert np.array_equal(values, other.tensors()[name]), name


def test_of_many_classes_each_keeps_fewer() -> None:
    held = HeldOut(HoldOut(share=0.5, rows_per_class=5000))
    filled(held, [0, 1, 2, 3] * MOST_ROWS)
    assert np.bincount(held.of_classes(np.ones(4, dtype=np.bool_)).classes).tolist() == [MOST_ROWS // 4] * 4


def test_rows_from_before_labels_changed_are_given_up() -> None:
    held = HeldOut(HOLD_OUT)
    filled(held, [0, 1, 0, 1])
    filled(held, [0, 1], event=100)
    held.give_up(np.array([1]), before=50)
    assert held.of_classes(np.ones(2, dtype=np.bool_)).classes.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("share", [1e-9, 0.02, 0.5])
def test_the_share_held_out_is_the_one_configured(share: float) -> None:
    priorities = np.random.default_rng(0).integers(0, 2**64, size=100_000, dtype=np.uint64, endpoint=False)
    assert HeldOut(HoldOut(share=share, rows_per_class=1)).chosen(priorities).mean() == pytest.approx(share, abs=0.01)
    assert not HeldOut(None).chosen(priorities).any()
