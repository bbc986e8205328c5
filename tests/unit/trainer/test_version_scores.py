"""What is said of one version is said of the events that came while it was the newest."""

import numpy as np
import pytest

from drifting_model import drifting_batches, plane_learner
from penstock.flow import StepReport
from penstock.trainer.version_scores import VersionScores


def test_each_version_is_scored_by_its_own_events() -> None:
    learner, versions, reports = plane_learner(), VersionScores(), list[StepReport]()
    taken = []
    for number, batch in enumerate(drifting_batches(30, 3)):
        reports.append(learner.learn(batch))
        versions.add(reports[-1])
        if number in (29, 32):
            taken.append(versions.take())
    for scores, own in zip(taken, (reports[:30], reports[30:]), strict=True):
        hits = np.concatenate([report.hits for report in own])
        losses = np.concatenate([report.losses for report in own])
        assert scores["previous_version/accuracy"] == pytest.approx(hits.mean())
        assert scores["previous_version/loss"] == pytest.approx(losses.mean())
        assert scores["previous_version/events_scored"] == len(hits)
        assert scores["previous_version/kappa"] < scores["previous_version/accuracy"]
        assert "previous_version/kappa_temporal" in scores
    assert taken[0]["previous_version/accuracy"] > taken[1]["previous_version/accuracy"] + 0.2


def test_a_version_without_events_has_no_scores() -> None:
    versions = VersionScores()
    assert versions.take() == {}
    versions.add(next(iter([plane_learner().learn(next(drifting_batches(1, 0)))])))
    assert versions.take()
    assert versions.take() == {}
