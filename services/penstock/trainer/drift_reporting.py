"""Drift as metrics and log lines, and how each class stands."""

import structlog

from penstock.clock import to_rfc3339
from penstock.flow import Alarm, DriftAlarm, StepReport
from penstock.learning.learner import Learner
from penstock.telemetry import Telemetry

log = structlog.get_logger(__name__)


def report_drift(metrics: Telemetry, report: StepReport) -> None:
    """What watching one micro-batch brought to light; mostly nothing."""
    watched = report.watched
    if watched.warnings:
        metrics.count("penstock_drift_warnings_total", watched.warnings)
    for alarm in watched.raised:
        _report_raised(metrics, alarm)
    for alarm in watched.recovered:
        _report_recovered(metrics, alarm)
    for alarm in watched.judged:
        _report_judged(alarm)
    for change in report.alarms:
        _report_label_change(metrics, change)


def report_standing(metrics: Telemetry, learner: Learner, named_classes: int) -> None:
    """The scores of each of the first `named_classes`, the kappa of all, and what drift is not yet over."""
    details, alarms = learner.watch.details(), learner.watch.alarms
    metrics.gauge("penstock_prequential_kappa_ratio", details.kappas.kappa)
    metrics.gauge("penstock_drift_unrecovered", len(alarms.open))
    if alarms.newest:
        metrics.gauge("penstock_drift_last_timestamp_seconds", alarms.newest[-1].at_ms / 1000)
        metrics.gauge("penstock_drift_last_size_ratio", alarms.newest[-1].size)
    for head, weight in learner.weights_by_head.items():
        metrics.gauge("penstock_head_weight_ratio", weight, head=head)
    classes = details.classes
    of_classes = zip(
        learner.class_names[:named_classes],
        classes.recall.tolist(),
        classes.loss.tolist(),
        details.kappas.kappa_by_class().tolist(),
        details.kappas.kappa_temporal_by_class().tolist(),
        classes.forgotten.tolist(),
        strict=False,  # the arrays reach as far as rows were scored
    )
    for name, recall, loss, kappa, kappa_temporal, forgotten in of_classes:
        metrics.gauge("penstock_class_recall_ratio", recall, **{"class": name})
        metrics.gauge("penstock_class_loss", loss, **{"class": name})
        metrics.gauge("penstock_class_kappa_ratio", kappa, **{"class": name})
        metrics.gauge("penstock_class_kappa_temporal_ratio", kappa_temporal, **{"class": name})
        metrics.gauge("penstock_class_forgotten_ratio", forgotten, **{"class": name})


def _report_raised(metrics: Telemetry, alarm: DriftAlarm) -> None:
    metrics.count("penstock_drift_alarms_total")
    metrics.gauge("penstock_drift_last_timestamp_seconds", alarm.at_ms / 1000)
    metrics.gauge("penstock_drift_last_size_ratio", alarm.size)
    log.warning(
        "drift: errors have risen",
        alarm=alarm.number,
        at=to_rfc3339(alarm.at_ms),
        classes=", ".join(alarm.classes),
        size=round(alarm.size, 4),
        errors_before=round(alarm.before, 4),
        errors_after=round(alarm.after, 4),
        at_event=alarm.at_event,
        step=alarm.at_step,
    )


def _report_recovered(metrics: Telemetry, alarm: DriftAlarm) -> None:
    assert alarm.recovered_after_seconds is not None  # else it would not be among them
    assert alarm.recovered_after_events is not None
    metrics.observe("penstock_drift_recovery_seconds", alarm.recovered_after_seconds)
    metrics.observe("penstock_drift_recovery_events", alarm.recovered_after_events)
    log.info(
        "recovered from drift",
        alarm=alarm.number,
        after_events=alarm.recovered_after_events,
        after_seconds=alarm.recovered_after_seconds,
    )


def _report_judged(alarm: DriftAlarm) -> None:
    contradicted = {name: round(nats, 3) for name, nats in (alarm.contradicted or {}).items()}
    log.info("drift judged: classes whose remembered rows contradict new ones", alarm=alarm.number, nats=contradicted)


def _report_label_change(metrics: Telemetry, change: Alarm) -> None:
    metrics.count("penstock_labels_changed_total")
    log.warning(
        "labels have changed their meaning, old rows are given up",
        classes=", ".join(change.classes),
        since_event=change.began_at,
        rows=change.rows_dropped,
        step=change.step,
    )
