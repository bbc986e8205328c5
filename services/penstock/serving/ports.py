"""What a replica needs from the outside."""

from dataclasses import dataclass
from typing import BinaryIO, Protocol

from penstock.flow import LogRecord, ModelUpdate


class UpdateFeed(Protocol):
    """The update topic, as a replica reads it. Not thread-safe: the updater's thread owns it."""

    def newest(self) -> list[LogRecord]:
        """Read from the end marker back to the newest update and the newest claim; never wait for a next record.

        Returns the decoded records found, in log order; empty if the topic has neither. One that does not decode is
        logged and skipped. Afterwards `poll` continues right behind.

        Raises:
            UnavailableError: the broker does not answer; try again.
        """
        ...

    def poll(self, timeout_seconds: float) -> list[LogRecord]:
        """Records appended since, in log order; empty at the timeout, also while the broker is away."""
        ...

    def close(self) -> None:
        """Leave the broker."""
        ...


class PredictionSink(Protocol):
    """Takes records for the prediction topic. Used by one thread."""

    def send(self, key: bytes, value: bytes) -> None:
        """Take one record for delivery; may wait while the broker takes none."""
        ...

    def serve(self) -> None:
        """Take in what the broker has reported meanwhile; never waits."""
        ...

    def flush(self, timeout_seconds: float) -> None:
        """Return once everything sent is delivered or given up, at the latest after the timeout."""
        ...

    def close(self) -> None:
        """Give up what is not delivered, and leave the broker."""
        ...


class WeightsFetcher(Protocol):
    """Reads weights that an update names by URI."""

    def fetch(self, uri: str, size_bytes: int) -> BinaryIO:
        """A copy of what lies behind `uri`, as an open file that nobody else has and that is gone when it is closed.

        Raises:
            RefusedUpdateError: the URI is outside the allow-list (`uri`), or holds another number of bytes (`size`).
            UnavailableError: the store does not answer, or not in time.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ArchivedVersion:
    """An update as it was announced, its weights inline, and its number in MLflow's registry."""

    update: ModelUpdate
    mlflow_version: str


class VersionArchive(Protocol):
    """Where old versions are recorded. Used by one thread."""

    def read(self, version: int) -> ArchivedVersion | None:
        """The version, or None if it is not recorded.

        Raises:
            RefusedUpdateError: it holds no weights.
            UnavailableError: the archive does not answer.
        """
        ...
