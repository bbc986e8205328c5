"""What a replica does: swap in versions, answer requests, log predictions."""

from penstock.telemetry.metric import COUNTS, SECONDS, Metric

FRESHNESS_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 30.0, 300.0)

SERVING: tuple[Metric, ...] = (
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
