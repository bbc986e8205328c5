"""Every metric Penstock exposes: its name, kind, unit, labels and help, in this one place.

Code reports through the `Telemetry` protocol; the names are a `Literal`, so a misspelt one does not type-check.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

MetricName = Literal[
    "penstock_events_learnt_total",
    "penstock_events_invalid_total",
    "penstock_events_lost_total",
    "penstock_events_repeated_total",
    "penstock_late_labels_joined_total",
    "penstock_class_events_total",
    "penstock_classes",
    "penstock_classes_asleep",
    "penstock_controls_total",
    "penstock_retractions_total",
    "penstock_events_passed_over_total",
    "penstock_consumer_lag_events",
    "penstock_batch_events",
    "penstock_batch_age_seconds",
    "penstock_step_seconds",
    "penstock_checkpoint_seconds",
    "penstock_checkpoint_failures_total",
    "penstock_publish_seconds",
    "penstock_publish_failures_total",
    "penstock_updates_published_total",
    "penstock_announced_bytes_total",
    "penstock_prequential_accuracy_ratio",
    "penstock_prequential_loss",
    "penstock_prequential_kappa_ratio",
    "penstock_prequential_kappa_temporal_ratio",
    "penstock_class_recall_ratio",
    "penstock_class_loss",
    "penstock_class_kappa_ratio",
    "penstock_class_kappa_temporal_ratio",
    "penstock_class_forgotten_ratio",
    "penstock_head_weight_ratio",
    "penstock_drift_alarms_total",
    "penstock_drift_warnings_total",
    "penstock_drift_unrecovered",
    "penstock_drift_last_timestamp_seconds",
    "penstock_drift_last_size_ratio",
    "penstock_drift_recovery_seconds",
    "penstock_drift_recovery_events",
    "penstock_labels_changed_total",
    "penstock_previous_version_accuracy_ratio",
    "penstock_answers_judged_total",
    "penstock_events_held_out_total",
    "penstock_gate_verdicts_total",
    "penstock_gate_difference_ratio",
    "penstock_reservoir_rows",
    "penstock_reservoir_capacity_rows",
    "penstock_model_version",
    "penstock_model_trained_until_timestamp_seconds",
    "penstock_model_info",
    "penstock_mlflow_records_total",
    "penstock_mlflow_failures_total",
    "penstock_swaps_total",
    "penstock_deltas_total",
    "penstock_swap_seconds",
    "penstock_freshness_seconds",
    "penstock_model_withdrawn",
    "penstock_requests_total",
    "penstock_request_seconds",
    "penstock_inference_rows",
    "penstock_queue_depth_requests",
    "penstock_predictions_logged_total",
    "penstock_predictions_dropped_total",
]

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FRESHNESS_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 30.0, 300.0)
RECOVERY_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0)
RECOVERY_EVENTS = (100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 50_000.0, 200_000.0, 1_000_000.0)
COUNTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How one metric is declared; `side` says which process exposes it."""

    name: MetricName
    kind: Literal["counter", "gauge", "histogram"]
    side: Literal["trainer", "replica", "both"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: tuple[Metric, ...] = (
    Metric(name="penstock_events_learnt_total", kind="counter", side="trainer", help="Labelled events learnt."),
    Metric(
        name="penstock_events_invalid_total",
        kind="counter",
        side="trainer",
        help="Events sent to the dead-letter topic, by reason.",
        labels=("reason",),
    ),
    Metric(
        name="penstock_events_lost_total",
        kind="counter",
        side="trainer",
        help="Events gone from the label topic before they were learnt and let go of with --accept-loss, by reason.",
        labels=("reason",),
    ),
    Metric(
        name="penstock_events_repeated_total",
        kind="counter",
        side="trainer",
        help="Events whose event_id came before: passed over within intake.dedupe_window_events, learnt again beyond.",
        labels=("outcome",),
    ),
    Metric(
        name="penstock_late_labels_joined_total",
        kind="counter",
        side="trainer",
        help="Labels joined to the logged prediction that they name; the others are invalid with reason 'unmatched'.",
    ),
    Metric(
        name="penstock_class_events_total",
        kind="counter",
        side="trainer",
        help="Events learnt by class; classes past the first 100 share the label value 'other'.",
        labels=("class",),
    ),
    Metric(name="penstock_classes", kind="gauge", side="both", help="Classes the model knows."),
    Metric(
        name="penstock_classes_asleep",
        kind="gauge",
        side="trainer",
        help="Classes that are hibernated: not answered, until a control or an event of theirs wakes them.",
    ),
    Metric(
        name="penstock_controls_total",
        kind="counter",
        side="trainer",
        help="Control events and retractions by what they ask for, and by what became of them.",
        labels=("control", "result"),
    ),
    Metric(
        name="penstock_retractions_total",
        kind="counter",
        side="trainer",
        help="Retracted events by head, and by whether the head has forgotten them exactly or approximately.",
        labels=("head", "exactness"),
    ),
    Metric(
        name="penstock_events_passed_over_total",
        kind="counter",
        side="trainer",
        help="Events that were not learnt since their class is retired.",
    ),
    Metric(
        name="penstock_consumer_lag_events",
        kind="gauge",
        side="trainer",
        help="Kafka messages of a partition of the label topic not yet learnt.",
        labels=("partition",),
    ),
    Metric(
        name="penstock_batch_events",
        kind="histogram",
        side="trainer",
        help="Valid events in a micro-batch.",
        buckets=COUNTS,
    ),
    Metric(
        name="penstock_batch_age_seconds",
        kind="histogram",
        side="trainer",
        help="Seconds a micro-batch was open before it closed.",
        buckets=SECONDS,
    ),
    Metric(
        name="penstock_step_seconds",
        kind="histogram",
        side="trainer",
        help="Seconds to predict, learn and remember one micro-batch.",
        buckets=SECONDS,
    ),
    Metric(
        name="penstock_checkpoint_seconds",
        kind="histogram",
        side="trainer",
        help="Seconds to write one checkpoint to disk, fsync included.",
        buckets=SECONDS,
    ),
    Metric(
        name="penstock_checkpoint_failures_total",
        kind="counter",
        side="trainer",
        help="Checkpoints that could not be written to disk; each is followed by another try.",
    ),
    Metric(
        name="penstock_publish_seconds",
        kind="histogram",
        side="trainer",
        help="Seconds from capture of a candidate to the acknowledgement of its model-updated event.",
        buckets=SECONDS,
    ),
    Metric(
        name="penstock_publish_failures_total",
        kind="counter",
        side="trainer",
        help="Attempts to announce an update that failed and are tried again.",
    ),
    Metric(name="penstock_updates_published_total", kind="counter", side="trainer", help="Model updates announced."),
    Metric(
        name="penstock_announced_bytes_total",
        kind="counter",
        side="trainer",
        help="Bytes of weights that were announced, by the way they travel: inline, by URI, or as a delta.",
        labels=("way",),
    ),
    Metric(
        name="penstock_prequential_accuracy_ratio",
        kind="gauge",
        side="trainer",
        help="Fading share of events whose class was predicted right before they were learnt.",
    ),
    Metric(
        name="penstock_prequential_loss",
        kind="gauge",
        side="trainer",
        help="Fading mean log-loss (nats) of events before they were learnt.",
    ),
    Metric(
        name="penstock_prequential_kappa_ratio",
        kind="gauge",
        side="trainer",
        help="Fading Cohen's kappa: accuracy above guessing with the same shares of labels and predictions.",
    ),
    Metric(
        name="penstock_prequential_kappa_temporal_ratio",
        kind="gauge",
        side="trainer",
        help="Fading kappa-temporal: accuracy above repeating the last label; 0 is no better than that.",
    ),
    Metric(
        name="penstock_class_recall_ratio",
        kind="gauge",
        side="trainer",
        help="Fading share of a class's own events predicted right before they were learnt; the first 100 classes.",
        labels=("class",),
    ),
    Metric(
        name="penstock_class_loss",
        kind="gauge",
        side="trainer",
        help="Fading mean log-loss (nats) of a class's own events before they were learnt; the first 100 classes.",
        labels=("class",),
    ),
    Metric(
        name="penstock_class_kappa_temporal_ratio",
        kind="gauge",
        side="trainer",
        help="Faded kappa-temporal of it-is-this-class against it-is-not, for the first 100 classes.",
        labels=("class",),
    ),
    Metric(
        name="penstock_class_kappa_ratio",
        kind="gauge",
        side="trainer",
        help="Fading Cohen's kappa of one class against all others; the first 100 classes.",
        labels=("class",),
    ),
    Metric(
        name="penstock_class_forgotten_ratio",
        kind="gauge",
        side="trainer",
        help="Best recall a class ever had minus its recall now; the first 100 classes.",
        labels=("class",),
    ),
    Metric(
        name="penstock_head_weight_ratio",
        kind="gauge",
        side="trainer",
        help="Weight of a head in the served mixture.",
        labels=("head",),
    ),
    Metric(
        name="penstock_drift_alarms_total",
        kind="counter",
        side="trainer",
        help="Alarms: the share of wrong predictions on known classes rose more than chance allows (ADWIN).",
    ),
    Metric(
        name="penstock_drift_warnings_total",
        kind="counter",
        side="trainer",
        help="Early warnings of drift that began (HDDM_A).",
    ),
    Metric(
        name="penstock_previous_version_accuracy_ratio",
        kind="gauge",
        side="trainer",
        help="Accuracy before learning over the events that came while the version before was the newest.",
    ),
    Metric(
        name="penstock_answers_judged_total",
        kind="counter",
        side="trainer",
        help="Answers of replicas that late labels have judged, right or wrong.",
        labels=("result",),
    ),
    Metric(
        name="penstock_events_held_out_total",
        kind="counter",
        side="trainer",
        help="Events that were not learnt, so that the gate can compare versions on them.",
    ),
    Metric(
        name="penstock_gate_verdicts_total",
        kind="counter",
        side="trainer",
        help="Candidates that the gate has let pass or refused.",
        labels=("result",),
    ),
    Metric(
        name="penstock_gate_difference_ratio",
        kind="gauge",
        side="trainer",
        help="Accuracy of the newest candidate less that of the served version, on held-out events.",
    ),
    Metric(
        name="penstock_drift_unrecovered",
        kind="gauge",
        side="trainer",
        help="Drift alarms from which the model has not recovered.",
    ),
    Metric(
        name="penstock_drift_last_timestamp_seconds",
        kind="gauge",
        side="trainer",
        help="Kafka timestamp of the newest event when drift was last seen; 0: never.",
    ),
    Metric(
        name="penstock_drift_last_size_ratio",
        kind="gauge",
        side="trainer",
        help="By how much the share of wrong predictions had risen at the last drift alarm.",
    ),
    Metric(
        name="penstock_drift_recovery_seconds",
        kind="histogram",
        side="trainer",
        help="Seconds, by Kafka's timestamps, from a drift alarm until the errors were back.",
        buckets=RECOVERY_SECONDS,
    ),
    Metric(
        name="penstock_drift_recovery_events",
        kind="histogram",
        side="trainer",
        help="Events learnt from a drift alarm until the errors were back.",
        buckets=RECOVERY_EVENTS,
    ),
    Metric(
        name="penstock_labels_changed_total",
        kind="counter",
        side="trainer",
        help="Times the labels of classes were found to mean something else, so that their old rows were given up.",
    ),
    Metric(name="penstock_reservoir_rows", kind="gauge", side="trainer", help="Rows held for replay."),
    Metric(name="penstock_reservoir_capacity_rows", kind="gauge", side="trainer", help="Rows the reservoir may hold."),
    Metric(
        name="penstock_model_version",
        kind="gauge",
        side="both",
        help="Version last announced (trainer) or served (replica).",
    ),
    Metric(
        name="penstock_model_trained_until_timestamp_seconds",
        kind="gauge",
        side="both",
        help="Kafka timestamp of the newest event that the announced or served weights have learnt.",
    ),
    Metric(
        name="penstock_model_info",
        kind="gauge",
        side="both",
        help="1; labels identify the announced or served weights.",
        labels=("model", "version", "sha256"),
    ),
    Metric(
        name="penstock_mlflow_records_total", kind="counter", side="trainer", help="Model versions recorded in MLflow."
    ),
    Metric(
        name="penstock_mlflow_failures_total",
        kind="counter",
        side="trainer",
        help="Attempts to record in MLflow that failed; training goes on.",
    ),
    Metric(
        name="penstock_swaps_total",
        kind="counter",
        side="replica",
        help="Model updates by result: swapped, or the reason why it was dropped or refused.",
        labels=("result",),
    ),
    Metric(
        name="penstock_deltas_total",
        kind="counter",
        side="replica",
        help="Delta updates by result: applied, or the reason why one was of no use.",
        labels=("result",),
    ),
    Metric(
        name="penstock_swap_seconds",
        kind="histogram",
        side="replica",
        help="Seconds from an update's arrival to the swap: verify, build, warm.",
        buckets=SECONDS,
    ),
    Metric(
        name="penstock_freshness_seconds",
        kind="histogram",
        side="replica",
        help="Seconds from the Kafka timestamp of the newest event learnt to the swap that serves it.",
        buckets=FRESHNESS_SECONDS,
    ),
    Metric(
        name="penstock_model_withdrawn",
        kind="gauge",
        side="replica",
        help="1 while the served model has been withdrawn by a tombstone.",
    ),
    Metric(
        name="penstock_requests_total",
        kind="counter",
        side="replica",
        help="Inference requests by HTTP status, or by the name of the gRPC status.",
        labels=("code",),
    ),
    Metric(
        name="penstock_request_seconds",
        kind="histogram",
        side="replica",
        help="Seconds from an inference request's arrival to its answer.",
        buckets=SECONDS,
    ),
    Metric(
        name="penstock_inference_rows",
        kind="histogram",
        side="replica",
        help="Rows answered in one forward pass.",
        buckets=COUNTS,
    ),
    Metric(name="penstock_queue_depth_requests", kind="gauge", side="replica", help="Requests waiting for inference."),
    Metric(
        name="penstock_predictions_logged_total",
        kind="counter",
        side="replica",
        help="Predicted rows that the prediction topic has acknowledged.",
    ),
    Metric(
        name="penstock_predictions_dropped_total",
        kind="counter",
        side="replica",
        help="Predicted rows that were not logged: the queue was full, or the broker did not take them in time.",
        labels=("reason",),
    ),
)


class Telemetry(Protocol):
    """Where the code reports; an unknown label set is a programming error and raises."""

    def count(self, name: MetricName, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter."""
        ...

    def gauge(self, name: MetricName, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: MetricName, value: float, /, **labels: str) -> None:
        """Add one observation to a histogram."""
        ...

    def identify(self, *, model: str, version: int, sha256: str) -> None:
        """Make `penstock_model_info` show just these weights."""
        ...
