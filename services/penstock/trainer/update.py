"""The model-updated event of a candidate."""

from penstock.flow import ModelUpdate
from penstock.trainer.candidate import Candidate
from penstock.trainer.ports import WeightsStore


def update_of(
    candidate: Candidate,
    *,
    weights_store: WeightsStore,
    inline_max_bytes: int,
    announced_at_ms: int,
    lag_events: float,
) -> ModelUpdate:
    """Its weights inline, or put where replicas can read them first.

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
        uri=None if inline else weights_store.put(weights),
        topic_id=checkpoint.label_log.topic_id,
    )
