"""Announced versions of sample checkpoints, and the record that takes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.flow import AcceptedLoss, DriftAlarm, JudgedAnswers, ModelUpdate, Offsets, Weights
from penstock.trainer.version_scores import OwnScores
from sample_checkpoints import MODEL, checkpoint_of, rows_of, weights_of

METRICS = {"loss": 0.5, "prequential_accuracy": 0.75, "recall/0": 0.5, "recall/ä b": 1.0}


@dataclass(frozen=True, kw_only=True)
class AnnouncedSample:
    """Implements `trainer.record_ports.Announced`."""

    update: ModelUpdate
    weights: Weights = field(repr=False)
    checkpoint_folder: Path
    class_names: tuple[str, ...] = ("0", "1")
    packets: Mapping[str, bytes] = field(default_factory=dict)
    losses: tuple[AcceptedLoss, ...] = ()
    drift: tuple[DriftAlarm, ...] = ()
    judged: tuple[JudgedAnswers, ...] = ()
    scored: tuple[OwnScores, ...] = ()


def announced_with(folder: Path, version: int, weights: Weights, *, model: str = MODEL) -> AnnouncedSample:
    update = ModelUpdate(
        model=model,
        version=version,
        epoch=2,
        sha256=weights.sha256,
        size_bytes=weights.size_bytes,
        class_ledger_digest="ledger",
        trained_until_ms=1_700_000_000_123,
        announced_at_ms=1_700_000_001_000 + version,
        offsets=Offsets(next={0: version * 10}),
        metrics={},
        inline=weights.content,
    )
    return AnnouncedSample(update=update, weights=weights, checkpoint_folder=folder)


def save(checkpoints: DiskCheckpoints, version: int, run_id: str | None = None) -> AnnouncedSample:
    rows = rows_of(range(8), version, full=True)
    folder = checkpoints.save(checkpoint_of(version, rows, run_id=run_id), weights_of(version))
    return announced_with(folder, version, weights_of(version))


def record_of(config: MlflowConfig, model: str) -> MlflowRecord:
    return MlflowRecord(config, model, {"training.learning_rate": "0.001"})


def client_of(config: MlflowConfig) -> MlflowClient:
    return MlflowClient(tracking_uri=config.tracking_uri, registry_uri=config.tracking_uri)
