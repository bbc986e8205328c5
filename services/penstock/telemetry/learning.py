"""What the model has learnt, and how well it does on events before it learns them."""

from penstock.telemetry.metric import SECONDS, Metric

LEARNING: tuple[Metric, ...] = (
    Metric(
        name="penstock_step_seconds",
        kind="histogram",
        side="trainer",
        help="Seconds to predict, learn and remember one micro-batch.",
        buckets=SECONDS,
    ),
    Metric(name="penstock_classes", kind="gauge", side="both", help="Classes the model knows."),
    Metric(
        name="penstock_classes_asleep",
        kind="gauge",
        side="trainer",
        help="Classes that are hibernated: not answered, until a control or an event of theirs wakes them.",
    ),
    Metric(
        name="penstock_class_events_total",
        kind="counter",
        side="trainer",
        help="Events learnt by class; classes past the first 100 share the label value 'other'.",
        labels=("class",),
    ),
    Metric(name="penstock_reservoir_rows", kind="gauge", side="trainer", help="Rows held for replay."),
    Metric(name="penstock_reservoir_capacity_rows", kind="gauge", side="trainer", help="Rows the reservoir may hold."),
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
        name="penstock_class_kappa_ratio",
        kind="gauge",
        side="trainer",
        help="Fading Cohen's kappa of one class against all others; the first 100 classes.",
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
)
