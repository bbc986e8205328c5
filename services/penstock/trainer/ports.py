"""What the trainer needs from the outside, as the smallest protocols that work; adapters implement them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from penstock.flow import (
    Checkpoint,
    Claim,
    ControlOutcome,
    EventBatch,
    ModelUpdate,
    Offsets,
    RefusedEvent,
    Weights,
)


class BatchSource(Protocol):
    """Where micro-batches come from: the intake."""

    def next_batch(self, timeout_seconds: float) -> EventBatch | None:
        """The next closed micro-batch, or None if none has closed by the timeout.

        Raises:
            StopError: the stream must not be read on (poisoned, a retention hole).
        """
        ...

    def refuse(self, refused: Sequence[ControlOutcome | RefusedEvent]) -> None:
        """Dead-letter controls and events of the micro-batch returned last that were not taken; returns at once.

        To be called once for each micro-batch, even if all was taken: the next ones may wait for it.
        """
        ...


class OffsetLog(Protocol):
    """What is known of the label topic besides its messages."""

    def commit(self, offsets: Offsets) -> None:
        """Commit group offsets, for lag tools only; failures are logged, never raised."""
        ...

    def end_offsets(self) -> Offsets:
        """The offset after the last message of every partition, as last heard; never blocks."""
        ...


class DeadLetterOutbox(Protocol):
    """Dead letters on their way to the broker."""

    def wait_acknowledged(self, timeout_seconds: float) -> bool:
        """True once every dead letter sent before this call is acknowledged; False at the timeout."""
        ...


class Resumable(Protocol):
    """Who must know from where a trainer that is killed would go on: the intake."""

    def saved(self, offsets: Offsets) -> None:
        """A checkpoint with these next offsets is on disk, and none before it will be gone on from."""
        ...


class LabelTopic(Protocol):
    """The topic that the learnt events came from."""

    def confirm(self, topic_id: str | None) -> None:
        """Return unless the topic of its name is known to be another one than that with this id (None: not asked).

        Raises:
            RetentionError: it was deleted and made anew; what was learnt since may be of the new one.
        """
        ...


class UpdateLog(Protocol):
    """The compacted, single-partition update topic, as its one writer sees it."""

    def claim(self, holder: str) -> "Claimed":
        """Append a claim with the next epoch, read back to it, and return once it is the highest in the log.

        Raises:
            UnavailableError: the broker does not answer.
            StopError: the topic is missing, has more than one partition, or is not compacted.
        """
        ...

    def append(self, update: ModelUpdate) -> None:
        """Append one update; returns only when the broker has acknowledged it.

        Looks for a higher claim first.

        Raises:
            FencedError: another trainer has claimed since.
            UnavailableError: not acknowledged in time; the caller may try again with the same update.
        """
        ...


class Claimed(Protocol):
    """The outcome of a claim: read-only attributes."""

    @property
    def claim(self) -> Claim:
        """Ours."""
        ...

    @property
    def highest_version(self) -> int:
        """Of all updates in the log; 0 if there is none."""
        ...

    @property
    def newest_update(self) -> ModelUpdate | None:
        """The newest update of the highest epoch, if there is one."""
        ...


class CheckpointStore(Protocol):
    """Checkpoints on local disk: each one atomic, the last few kept."""

    def wants_full_reservoir(self) -> bool:
        """True if the next checkpoint must list every row rather than the changed slots only."""
        ...

    def save(self, checkpoint: Checkpoint, weights: Weights) -> Path:
        """Write all of it, fsync, rename, fsync the folder; then prune. Returns the checkpoint's folder.

        Raises:
            OSError: the disk; nothing of the checkpoint is then visible, and `wants_full_reservoir` turns true.
        """
        ...

    def load_newest(self) -> Checkpoint | None:
        """The newest whole checkpoint, its reservoir complete (`full`); torn ones are skipped with a warning.

        Raises:
            StateError: the folder is of another model or feature schema.
        """
        ...


class WeightsStore(Protocol):
    """Where replicas can read weights that are too large to travel inline."""

    def put(self, weights: Weights) -> str:
        """Upload, and return the URI. Raises `UnavailableError`."""
        ...
