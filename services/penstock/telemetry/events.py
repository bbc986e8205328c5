"""What comes in from the label topic, and what becomes of it."""

from penstock.telemetry.metric import COUNTS, SECONDS, Metric

EVENTS: tuple[Metric, ...] = (
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
        name="penstock_events_passed_over_total",
        kind="counter",
        side="trainer",
        help="Events that were not learnt since their class is retired.",
    ),
    Metric(
        name="penstock_events_held_out_total",
        kind="counter",
        side="trainer",
        help="Events that were not learnt, so that the gate can compare versions on them.",
    ),
    Metric(
        name="penstock_late_labels_joined_total",
        kind="counter",
        side="trainer",
        help="Labels joined to the logged prediction that they name; the others are invalid with reason 'unmatched'.",
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
        help="Retracted events by head, and by how it has forgotten them: exact, approximate, unverified.",
        labels=("head", "exactness"),
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
)
