"""Drift is a metric and a log line with time, class and size; every class has its scores."""

import pytest
from structlog.testing import capture_logs

from drifting_model import NAMES, drifting_batches, plane_learner
from penstock.adapters.prometheus.telemetry import PrometheusTelemetry
from penstock.clock import to_rfc3339
from penstock.flow import Alarm, StepReport, Watched
from penstock.trainer.drift_reporting import report_drift, report_standing
from penstock.trainer.scores import scores, standing


class Values(PrometheusTelemetry):
    def __init__(self) -> None:
        super().__init__(side="trainer")

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def test_an_alarm_and_its_recovery_are_counted_and_logged() -> None:
    learner, metrics = plane_learner(), Values()
    with capture_logs() as lines:
        for batch in drifting_batches(60, 60):
            report_drift(metrics, learner.learn(batch))
    (alarm,) = learner.watch.alarms.newest
    assert metrics.value("penstock_drift_alarms_total") == 1
    assert metrics.value("penstock_drift_last_timestamp_seconds") == alarm.at_ms / 1000
    assert metrics.value("penstock_drift_last_size_ratio") == pytest.approx(alarm.size)
    assert (metrics.value("penstock_drift_warnings_total") or 0) >= 1
    assert metrics.value("penstock_drift_recovery_events_count") == 1
    assert metrics.value("penstock_drift_recovery_events_sum") == alarm.recovered_after_events
    assert metrics.value("penstock_drift_recovery_seconds_sum") == alarm.recovered_after_seconds
    said = next(line for line in lines if line["event"] == "drift: errors have risen")
    assert said["at"] == to_rfc3339(alarm.at_ms)
    assert said["classes"] == ", ".join(alarm.classes)
    assert said["size"] == pytest.approx(alarm.size, abs=1e-4)
    assert [line["alarm"] for line in lines if line["event"].startswith(("recovered", "drift judged"))] == [1, 1]


def test_labels_that_changed_their_meaning_are_counted_and_logged() -> None:
    metrics = Values()
    change = Alarm(classes=("a", "g"), step=7, began_at=123, rows_dropped=45)
    with capture_logs() as lines:
        report_drift(metrics, report_with(alarms=(change,)))
    assert metrics.value("penstock_labels_changed_total") == 1
    assert (lines[0]["classes"], lines[0]["since_event"], lines[0]["rows"]) == ("a, g", 123, 45)


def test_a_quiet_step_says_nothing() -> None:
    metrics = Values()
    with capture_logs() as lines:
        report_drift(metrics, report_with())
    assert lines == []
    assert metrics.value("penstock_drift_alarms_total") == 0


def test_every_named_class_has_its_scores_as_metrics() -> None:
    learner, metrics = plane_learner(), Values()
    for batch in drifting_batches(60, 3):
        learner.learn(batch)
    report_standing(metrics, learner, named_classes=3)
    details = learner.watch.details()
    for index, name in enumerate(learner.class_names[:3]):
        of = {"class": name}
        assert metrics.value("penstock_class_recall_ratio", **of) == pytest.approx(details.classes.recall[index])
        assert metrics.value("penstock_class_loss", **of) == pytest.approx(details.classes.loss[index])
        assert metrics.value("penstock_class_kappa_ratio", **of) == pytest.approx(
            details.kappas.kappa_by_class()[index]
        )
        assert metrics.value("penstock_class_forgotten_ratio", **of) == pytest.approx(details.classes.forgotten[index])
    assert metrics.value("penstock_class_recall_ratio", **{"class": learner.class_names[3]}) is None
    assert metrics.value("penstock_prequential_kappa_ratio") == pytest.approx(details.kappas.kappa)
    assert metrics.value("penstock_head_weight_ratio", head="linear") == 1
    assert metrics.value("penstock_drift_unrecovered") == 1


def test_the_same_figures_go_into_the_record() -> None:
    learner = plane_learner()
    report = [learner.learn(batch) for batch in drifting_batches(60, 10)][-1]
    of_update, of_record = scores(learner, report), standing(learner)
    assert of_update["prequential_kappa_temporal"] == learner.watch.scores.kappa_temporal
    assert of_update["drift_alarms"] == 1
    assert of_update["drift_last_size"] == learner.watch.alarms.newest[-1].size
    assert of_record["prequential_kappa"] == learner.watch.details().kappas.kappa
    assert of_record["weight/linear"] == 1
    for family in ("recall", "loss", "kappa", "kappa_temporal", "forgotten", "kept"):
        assert {name for name in of_record if name.startswith(f"{family}/")} == {f"{family}/{each}" for each in NAMES}


def report_with(alarms: tuple[Alarm, ...] = ()) -> StepReport:
    return StepReport(
        step=1,
        num_events=0,
        loss=0.0,
        prequential_accuracy=0.0,
        prequential_loss=0.0,
        events_by_class={},
        num_classes=0,
        new_classes=(),
        reservoir_rows=0,
        trained_until_ms=0,
        step_seconds=0.0,
        alarms=alarms,
        watched=Watched(),
    )
