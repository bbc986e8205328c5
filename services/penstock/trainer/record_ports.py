"""What the record for people needs from the outside, and is told of a model; adapters implement it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from penstock.flow import AcceptedLoss, DriftAlarm, JudgedAnswers, ModelUpdate, Recorded, Weights
from penstock.trainer.refusal import Refusal


class ModelRecord(Protocol):
    """The registry for people: MLflow."""

    def record(self, announced: "Announced", metrics: Mapping[str, float]) -> str | None:
        """Upload weights, model card and checkpoint, register and tag a model version, move the alias `live`.

        Returns the run id. Raises `UnavailableError`.
        """
        ...

    @property
    def mlflow_version(self) -> str | None:
        """The registry's number of the version that was recorded last."""
        ...

    def note_refusal(self, refusal: Refusal) -> None:
        """Log that the gate refused a candidate, and why. Raises `UnavailableError`."""
        ...

    def keep_report(self, page: bytes) -> None:
        """Upload the report, an HTML page, in place of the one before. Raises `UnavailableError`."""
        ...

    def newest_checkpoint(self, into: Path) -> bool:
        """Fetch the newest recorded checkpoint as a folder the `CheckpointStore` can load. False if there is none.

        Raises:
            UnavailableError: the registry does not answer.
        """
        ...


class Announced(Protocol):
    """What was announced, for the record: read-only attributes."""

    @property
    def update(self) -> ModelUpdate:
        """As it stands on the update topic."""
        ...

    @property
    def weights(self) -> Weights:
        """The very bytes replicas serve."""
        ...

    @property
    def checkpoint_folder(self) -> Path:
        """A checkpoint folder that holds the same offsets; stays until recorded."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """By index."""
        ...

    @property
    def packets(self) -> Mapping[str, bytes]:
        """Of the classes that sleep, by file name."""
        ...

    @property
    def losses(self) -> Sequence[AcceptedLoss]:
        """What the operator has let go of, oldest first."""
        ...

    @property
    def drift(self) -> Sequence[DriftAlarm]:
        """The newest drift alarms, oldest first."""
        ...

    @property
    def judged(self) -> Sequence[JudgedAnswers]:
        """What late labels say of the answers of the newest versions, oldest first."""
        ...

    @property
    def scored(self) -> Sequence["ScoredVersion"]:
        """How versions on record did while they were the newest on record, oldest first."""
        ...


class ScoredVersion(Protocol):
    """Test-then-train scores of the events that came between a version on record and the next: read-only attributes."""

    @property
    def version(self) -> int:
        """The version on record."""
        ...

    @property
    def events(self) -> int:
        """Events scored."""
        ...

    @property
    def accuracy(self) -> float:
        """Share of them predicted right before they were learnt."""
        ...

    @property
    def loss(self) -> float:
        """Mean of −ln p(label) in nats."""
        ...


class RecordedLog(Protocol):
    """Where replicas are told what MLflow has on record."""

    def note_recorded(self, recorded: Recorded) -> None:
        """Append it; returns only when the broker has acknowledged it.

        Raises:
            FencedError: another trainer has claimed since.
            UnavailableError: not acknowledged in time.
        """
        ...
