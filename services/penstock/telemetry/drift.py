"""Whether the world has changed, and how long the model takes to catch up."""

from penstock.telemetry.metric import Metric

RECOVERY_EVENTS = (100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 50_000.0, 200_000.0, 1_000_000.0)
RECOVERY_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0)

DRIFT: tuple[Metric, ...] = (
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
)
