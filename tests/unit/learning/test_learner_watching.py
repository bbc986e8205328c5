"""The learner watches itself: drift is in its reports and in its checkpoints."""

import json
from dataclasses import replace

import numpy as np
import pytest

from drifting_model import LINEAR, NAMES, captured, drifting_batches, learnt, plane_learner
from labelled_rows import PLANE
from penstock.learning.config import ModelConfig


@pytest.mark.parametrize("model", [LINEAR, PLANE], ids=["linear", "mixture"])
def test_labels_that_change_places_raise_one_alarm_that_names_them(model: ModelConfig) -> None:
    reports = learnt(plane_learner(model))
    (alarm,) = [alarm for report in reports for alarm in report.watched.raised]
    assert set(alarm.classes) <= {"a", "g"}
    assert alarm.classes
    assert 60 * 32 < alarm.at_event < 66 * 32
    assert alarm.at_ms == alarm.at_event - 1  # the newest event's Kafka timestamp
    assert alarm.before < 0.1
    assert alarm.size > 0.2
    (recovered,) = [alarm for report in reports for alarm in report.watched.recovered]
    assert recovered.number == alarm.number


def test_an_alarm_is_judged_by_what_is_remembered() -> None:
    """Replay is uniform over classes and the model adapts slowly, so old rows are still there and now wrong."""
    learner = plane_learner()
    reports = learnt(learner)
    (judged,) = [alarm for report in reports for alarm in report.watched.judged]
    assert judged.contradicted is not None
    assert set(judged.contradicted) <= {"a", "g"}
    assert learner.watch.alarms.newest[0].contradicted == judged.contradicted


def test_a_task_of_new_classes_raises_no_alarm() -> None:
    learner = plane_learner(PLANE)
    reports = learnt(learner, calm=120, swapped=0)
    assert not any(report.watched.raised for report in reports)
    assert learner.watch.events == 120 * 32


def test_scores_by_class_reach_as_far_as_the_ledger() -> None:
    learner = plane_learner()
    learnt(learner, calm=20, swapped=0)
    assert set(learner.recall_by_class()) == set(NAMES)
    assert min(learner.recall_by_class().values()) > 0.8


def test_what_was_watched_survives_a_checkpoint_at_any_moment_of_a_drift() -> None:
    whole, batches = plane_learner(PLANE), list(drifting_batches(50, 30))
    cut = plane_learner(PLANE)
    for number, batch in enumerate(batches):
        if number in (3, 49, 52, 55, 60, 70):
            checkpoint = captured(cut)[0]
            cut = plane_learner(PLANE)
            cut.restore(replace(checkpoint, state=json.loads(json.dumps(checkpoint.state))))
        first, second = whole.learn(batch), cut.learn(batch)
        assert first.watched == second.watched
    one, other = captured(whole)[0], captured(cut)[0]
    assert one.state == other.state
    for name, tensor in one.tensors.items():
        assert np.array_equal(tensor, other.tensors[name], equal_nan=tensor.dtype.kind == "f"), name


@pytest.mark.parametrize("model", [LINEAR, PLANE], ids=["linear", "mixture"])
def test_where_only_a_sample_is_scored_drift_is_found_and_no_restart_changes_when(model: ModelConfig) -> None:
    whole, cut, raised = plane_learner(model), plane_learner(model), 0
    for number, batch in enumerate(drifting_batches(40, 40, rows=96)):
        if number in (2, 39, 43, 45, 60):
            checkpoint = captured(cut)[0]
            cut = plane_learner(model)
            cut.restore(replace(checkpoint, state=json.loads(json.dumps(checkpoint.state))))
        first, second = whole.learn(batch), cut.learn(batch)
        assert first.watched == second.watched
        assert len(first.labels) == 32 or number < 20, "soon after births all of it is scored"
        raised += len(first.watched.raised)
        assert whole.watch.events == (number + 1) * 96
    assert raised == 1
    assert captured(whole)[0].state == captured(cut)[0].state


def test_the_history_holds_the_weights_of_the_heads() -> None:
    learner = plane_learner(PLANE)
    learnt(learner, calm=40, swapped=0)
    history = learner.watch.details().history
    weights = [history.column(name) for name in history.names if name.startswith("weight/")]
    assert len(weights) == len(learner.weights_by_head) > 1
    assert np.sum(weights, axis=0) == pytest.approx(np.ones(len(history)))
