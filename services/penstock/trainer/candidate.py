"""A candidate: what the trainer captured between two micro-batches, on its way to the replicas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.flow import AcceptedLoss, Checkpoint, DriftAlarm, JudgedAnswers, ModelUpdate, Offsets, Weights
from penstock.learning.set_aside import HeldRows
from penstock.trainer.version_scores import OwnScores


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Checkpoint and weights of one moment, with what is to be said of it.

    `metrics` travel with the update; `standing`, the newest alarms, `drift`, and `judged`, by version what late labels
    say of its answers, are for the record alone. `held_out` are rows for the gate, None where there is none.
    """

    checkpoint: Checkpoint
    weights: Weights
    class_names: tuple[str, ...]
    metrics: Mapping[str, float]
    standing: Mapping[str, float]
    drift: tuple[DriftAlarm, ...]
    judged: tuple[JudgedAnswers, ...] = ()
    captured_at_seconds: float
    held_out: HeldRows | None = field(default=None, repr=False)

    @property
    def offsets(self) -> Offsets:
        """The next offsets after what these weights have learnt."""
        return self.checkpoint.offsets


@dataclass(frozen=True, kw_only=True)
class SavedCandidate:
    """A candidate whose checkpoint is on disk."""

    candidate: Candidate
    checkpoint_folder: Path


@dataclass(frozen=True, kw_only=True)
class AnnouncedCandidate:
    """A candidate that is on the update topic: implements `record_ports.Announced`. `metrics` include its standing."""

    update: ModelUpdate
    weights: Weights = field(repr=False)
    checkpoint_folder: Path
    class_names: tuple[str, ...]
    metrics: Mapping[str, float]
    drift: tuple[DriftAlarm, ...]
    judged: tuple[JudgedAnswers, ...] = ()
    scored: tuple[OwnScores, ...] = ()
    packets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    losses: tuple[AcceptedLoss, ...] = ()

    @classmethod
    def of(cls, saved: SavedCandidate, update: ModelUpdate) -> "AnnouncedCandidate":
        """A saved candidate that was announced by this update."""
        candidate = saved.candidate
        return cls(
            update=update,
            weights=candidate.weights,
            checkpoint_folder=saved.checkpoint_folder,
            class_names=candidate.class_names,
            packets=candidate.checkpoint.packets,
            losses=candidate.checkpoint.label_log.losses,
            metrics={**update.metrics, **candidate.standing},
            drift=candidate.drift,
            judged=candidate.judged,
        )
