"""What is said of one version is said of the events that came while it was the newest."""

import numpy as np
import pytest

from drifting_model import drifting_batches, plane_learner
from penstock.flow import StepReport
from penstock.trainer.version_scores import PREFIX, OwnScores, RecordedScores, VersionScores


def test_each_version_is_scored_by_its_own_events() -> None:
    learner, versions, reports = plane_learner(), VersionScores(), list[StepReport]()
    taken = []
    for number, batch in enumerate(drifting_batches(30, 3)):
        reports.append(learner.learn(batch))
        versions.add(reports[-1])
        if number in (29, 32):
            taken.append(versions.take(number))
    for scores, own in zip(taken, (reports[:30], reports[30:]), strict=True):
        hits = np.concatenate([report.hits for report in own])
        losses = np.concatenate([report.losses for report in own])
        assert scores["previous_version/accuracy"] == pytest.approx(hits.mean())
        assert scores["previous_version/loss"] == pytest.approx(losses.mean())
        assert scores["previous_version/events_scored"] == len(hits)
        assert scores["previous_version/kappa"] < scores["previous_version/accuracy"]
        assert "previous_version/kappa_temporal" in scores
    assert "previous_version/version" not in taken[0], "of another process"
    assert taken[1]["previous_version/version"] == 29
    assert taken[0]["previous_version/accuracy"] > taken[1]["previous_version/accuracy"] + 0.1


def test_a_version_without_events_has_no_scores() -> None:
    versions = VersionScores()
    assert versions.take(1) == {}
    versions.add(next(iter([plane_learner().learn(next(drifting_batches(1, 0)))])))
    assert versions.take(2)["previous_version/version"] == 1
    assert versions.take(3) == {}


def test_a_version_on_record_stands_for_those_announced_until_the_next() -> None:
    scores = RecordedScores()
    scores.announced(update_metrics(accuracy=0.0, loss=9.0, events=5))
    assert scores.recorded(7) == ()
    scores.announced(update_metrics(accuracy=1.0, loss=1.0, events=30))
    scores.announced({"events_learnt": 35.0})
    scores.announced(update_metrics(accuracy=0.5, loss=2.0, events=10))
    (own,) = scores.recorded(9)
    assert own == OwnScores(version=7, events=40, accuracy=0.875, loss=1.25)
    assert scores.recorded(12) == (own,), "of version 9 nothing is known"


def update_metrics(*, accuracy: float, loss: float, events: int) -> dict[str, float]:
    named = {"accuracy": accuracy, "loss": loss, "events_scored": float(events)}
    return {PREFIX + name: value for name, value in named.items()}
