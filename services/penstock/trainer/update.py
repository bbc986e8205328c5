"""The model-updated event of a candidate."""

from penstock.flow import Delta, ModelUpdate
from penstock.trainer.candidate import Candidate
from penstock.trainer.ports import WeightsStore


def update_of(
    candidate: Candidate,
    *,
    weights_store: WeightsStore,
    inline_max_bytes: int,
    announced_at_ms: int,
    lag_events: float,
    delta: Delta | None = None,
) -> ModelUpdate:
    """Its weights inline, as the `delta`, or put where replicas can read them first.

    Raises:
        UnavailableError: the store does not answer.
    """
    checkpoint, weights = candidate.checkpoint, candidate.weights
    inline = weights.size_bytes <= inline_max_bytes
    return ModelUpdate(
        model=checkpoint.model,
        version=checkpoint.version,
        epoch=checkpoint.epoch,
        sha256=weights.sha256,
        size_bytes=weights.size_bytes,
        class_ledger_digest=weights.class_ledger_digest,
        trained_until_ms=checkpoint.trained_until_ms,
        announced_at_ms=announced_at_ms,
        offsets=checkpoint.offsets,
        metrics={**candidate.metrics, "lag_events": lag_events},
        mlflow_run_id=checkpoint.mlflow_run_id,
        inline=weights.content if inline else None,
        uri=None if inline or delta is not None else weights_store.put(weights),
        delta=None if inline else delta,
        topic_id=checkpoint.label_log.topic_id,
    )
