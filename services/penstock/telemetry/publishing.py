"""A version's way out: checkpoint, gate, announcement, record."""

from penstock.telemetry.metric import SECONDS, Metric

PUBLISHING: tuple[Metric, ...] = (
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
        name="penstock_mlflow_records_total", kind="counter", side="trainer", help="Model versions recorded in MLflow."
    ),
    Metric(
        name="penstock_mlflow_failures_total",
        kind="counter",
        side="trainer",
        help="Attempts to record in MLflow that failed; training goes on.",
    ),
)
