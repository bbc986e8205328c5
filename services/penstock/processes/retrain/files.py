"""Parquet files replayed: rows as `penstock produce` would send them, decoded as the trainer would."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock.features import FeatureSchema
from penstock.flow import EventBatch, Offsets
from penstock.processes.parquet_files import opened, row_batches
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import arrow_message
from penstock.wire.message import Headers

FIRST_PARTITION = 10_000
"""Files stand for partitions beyond any of a topic, so that no event of theirs is taken for one of a topic's."""


class ParquetReplay:
    """Micro-batches of rows in order, one file after the other; their offsets are nobody's."""

    def __init__(self, files: Sequence[Path], schema: FeatureSchema, *, max_events: int) -> None:
        """Raises `ConfigurationError` where a file is missing or is not Parquet."""
        self._files = [opened(file) for file in files]
        self._paths = list(files)
        self._decoder = EventDecoder(schema)
        self._max_events = max_events
        self.invalid: Counter[str] = Counter()

    @property
    def num_rows(self) -> int:
        """Of all files."""
        return sum(int(file.metadata.num_rows) for file in self._files)

    def batches(self) -> Iterator[EventBatch]:
        """All of them."""
        for number, (file, path) in enumerate(zip(self._files, self._paths, strict=True)):
            written_ms = path.stat().st_mtime_ns // 1_000_000
            for offset, rows in enumerate(row_batches(file, path, self._max_events)):
                message = FileMessage(
                    content=arrow_message(rows),
                    file=str(path),
                    at_partition=FIRST_PARTITION + number,
                    at_offset=offset,
                    written_ms=written_ms,
                )
                yield self._decoded(message)

    def _decoded(self, message: "FileMessage") -> EventBatch:
        decoded = self._decoder.decode([message])
        for refused in decoded.invalid:
            self.invalid[refused.reason] += refused.num_events
        return EventBatch(
            events=decoded.events,
            offsets=Offsets(),
            closed_by="size",
            age_seconds=0.0,
            controls=decoded.controls,
        )


@dataclass(frozen=True, kw_only=True)
class FileMessage:
    """`wire.message.Message` for some rows of a file."""

    content: bytes = field(repr=False)
    file: str
    at_partition: int
    at_offset: int
    written_ms: int

    def value(self) -> bytes | None:
        """The rows as an Arrow IPC stream."""
        return self.content

    def key(self) -> bytes | None:
        """None."""
        return None

    def headers(self) -> Headers | None:
        """None."""
        return None

    def topic(self) -> str:
        """The file."""
        return self.file

    def partition(self) -> int:
        """One of no topic."""
        return self.at_partition

    def offset(self) -> int:
        """Number of the rows' batch in the file."""
        return self.at_offset

    def timestamp(self) -> tuple[int, int]:
        """When the file was written."""
        return 1, self.written_ms
