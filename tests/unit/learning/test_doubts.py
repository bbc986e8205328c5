"""Drift with the linear head alone: old rows that contradict new ones expire, and no others."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from river.datasets import synth

from bench_learning.streams.generated import one_after_another, taken
from labelled_rows import event_batch
from penstock.features import Feature
from penstock.flow import Alarm, EventBatch
from penstock.learning.config import ModelConfig, TrainingConfig
from penstock.learning.doubts import believed
from penstock.learning.learner import Learner
from penstock.learning.train_rows import TrainRows
from penstock.replay.config import ReplayConfig
from same_learners import assert_same, capture, through_json

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

PLANE = ModelConfig(name="plane", features=(Feature(name="x", kind="vector", width=2),), heads=("linear",))
FLIP, NUM_ROWS = 800, 1300


class Taught:
    """A linear head alone, and what it said on the way."""

    def __init__(self, capacity: int = 2000) -> None:
        self.learner = Learner(
            PLANE, TrainingConfig(device="cpu"), ReplayConfig(capacity=capacity), topic="plane.labels", max_events=256
        )
        self.alarms: list[Alarm] = []
        self.hits: list[npt.NDArray[np.bool_]] = []

    def learn(self, rows: Floats, labels: Sequence[str], batch_rows: int = 32) -> "Taught":
        for batch in batches(rows, labels, batch_rows, first_offset=self.learner.events_learnt):
            report = self.learner.learn(batch)
            self.alarms += report.alarms
            self.hits.append(report.hits)
        return self

    @property
    def all_hits(self) -> npt.NDArray[np.bool_]:
        return np.concatenate(self.hits)

    def kept_before(self, time: int) -> int:
        reservoir = self.learner._parts.reservoir
        return int(((reservoir.slot_classes >= 0) & (reservoir.times < time)).sum())


def batches(rows: Floats, labels: Sequence[str], batch_rows: int, first_offset: int = 0) -> list[EventBatch]:
    return [
        event_batch(
            PLANE.schema,
            {"x": rows[start : start + batch_rows]},
            list(labels[start : start + batch_rows]),
            first_offset=first_offset + start,
        )
        for start in range(0, len(rows), batch_rows)
    ]


def flipped_sine() -> tuple[Floats, list[str]]:
    """At `FLIP` each label becomes the other one."""
    before = taken(synth.Sine(classification_function=0, seed=900), FLIP)
    after = taken(synth.Sine(classification_function=1, seed=901), NUM_ROWS - FLIP)
    stream = one_after_another([before, after])
    return stream.rows, stream.labels.tolist()


def clouds(count: int, classes: Sequence[int], *, seed: int, shift: float = 0.0) -> tuple[Floats, list[str]]:
    generator = np.random.default_rng(seed)
    labels = generator.choice(np.asarray(classes), count)
    angles = 2 * np.pi * labels / 6
    centres = 3 * np.stack((np.cos(angles), np.sin(angles)), axis=1) + shift
    return centres + 0.4 * generator.normal(size=(count, 2)), [str(label) for label in labels]


@pytest.mark.parametrize("batch_rows", [1, 32])
def test_flipped_labels_expire_and_accuracy_comes_back_as_quickly_as_without_memory(batch_rows: int) -> None:
    with_memory, without = Taught(), Taught(capacity=0)
    for taught in (with_memory, without):
        taught.learn(*flipped_sine(), batch_rows)
    after, a_dozen_errors_that_show_it = slice(FLIP, FLIP + 250), 16 / 250
    assert with_memory.all_hits[after].mean() > without.all_hits[after].mean() - a_dozen_errors_that_show_it
    assert with_memory.all_hits[-150:].mean() > without.all_hits[-150:].mean() - 0.02
    (alarm,) = with_memory.alarms
    assert set(alarm.classes) == {"0", "1"}
    assert abs(alarm.began_at - FLIP) < 20
    assert abs(alarm.rows_dropped - FLIP) < 20
    assert with_memory.kept_before(FLIP - 20) == 0
    assert with_memory.learner.watch.alarms.label_changes[0].classes == alarm.classes
    assert without.alarms == [], "there is nothing to expire"


def test_inputs_that_shift_contradict_nothing_and_old_rows_stay() -> None:
    taught = Taught()
    taught.learn(*clouds(640, range(4), seed=0))
    taught.learn(*clouds(640, range(4), seed=1, shift=9.0))
    assert taught.alarms == []
    assert taught.kept_before(640) == 640
    assert not taught.learner._parts.doubt.is_on


def test_new_tasks_expire_nothing() -> None:
    taught = Taught(capacity=200)
    for task in range(3):
        taught.learn(*clouds(320, [2 * task, 2 * task + 1], seed=task))
    assert taught.alarms == []
    kept = np.bincount(taught.learner._parts.reservoir.slot_classes + 1)[1:]
    assert kept.min() >= kept.max() - 1


def test_a_burst_that_was_only_that_expires_nothing() -> None:
    taught = Taught()
    rows, labels = clouds(640, range(4), seed=0)
    taught.learn(rows, labels)
    noisy, theirs = clouds(32, range(4), seed=3)
    taught.learn(noisy, ["1" if label == "0" else "0" for label in theirs])
    assert taught.learner._parts.doubt.is_on
    taught.learn(*clouds(512, range(4), seed=4))
    assert not taught.learner._parts.doubt.is_on
    assert taught.alarms == []
    assert taught.kept_before(640) == 640


def test_under_doubt_old_rows_of_classes_that_come_are_not_replayed_and_all_others_are() -> None:
    taught = Taught()
    taught.learn(*clouds(320, range(4), seed=0))
    parts = taught.learner._parts
    known = taught.learner.class_names
    parts.doubt.begin(since=300, began_at=300, event=320)
    batch = clouds(40, [0, 1], seed=5)
    come = np.array([known.index(label) for label in batch[1]])
    dense, tokens = parts.network.to_tensors(parts.encoder.encode({"x": batch[0].astype(np.float32)}))
    fresh = TrainRows(dense=dense, tokens=tokens, classes=come, weights=np.ones(40, dtype=np.float32))
    drawn = believed(parts, 4000, fresh)
    assert drawn is not None
    counts = np.bincount(drawn.classes, minlength=4)
    old = np.isin(parts.reservoir.slot_classes, come) & (parts.reservoir.times < 300)
    allowed = (parts.reservoir.slot_classes >= 0) & ~old
    expected = np.bincount(parts.reservoir.slot_classes[allowed], minlength=4) / allowed.sum()
    assert counts / 4000 == pytest.approx(expected, abs=0.03)
    assert (expected[np.unique(come)] < 0.1).all()


@pytest.mark.parametrize("cut", [25, 26, 30])
def test_cut_in_the_middle_of_a_doubt_and_restored_it_goes_on_to_the_bit(cut: int) -> None:
    whole = batches(*flipped_sine(), 32)
    one, other = Taught().learner, Taught().learner
    for number, batch in enumerate(whole):
        if number == cut:
            checkpoint = through_json(capture(other))
            other = Taught().learner
            other.restore(checkpoint)
        first, second = one.learn(batch), other.learn(batch)
        assert first.alarms == second.alarms
    assert_same(one, other)
