"""What a fresh model learns from: the whole label topic, or files."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from penstock.adapters.kafka.topic_ends import read_bounds
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.flow import EventBatch, Offsets
from penstock.processes.retrain.files import ParquetReplay
from penstock.processes.retrain.teaching import Bar
from penstock.processes.retrain.topic import TopicReplay
from penstock.settings import Settings


class Source(Protocol):
    """History to be learnt, as often as it is asked for."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def gone_messages(self) -> int:
        """How many of the topic's first messages retention has deleted."""
        ...

    def batches(self, bar: Bar, what: str) -> Iterator[EventBatch]:
        """All of it, from its beginning."""
        ...

    def invalid(self) -> dict[str, int]:
        """Events of the last replay that are no labelled events of this model, by reason."""
        ...

    def follow(self, live: Offsets) -> TopicReplay:
        """The label topic behind what `batches` has handed out last; behind `live` for files."""
        ...


class TopicSource:
    """The label topic, from its first message that is still there to its end at this moment."""

    def __init__(self, settings: Settings, resources: ExitStack) -> None:
        self._settings, self._resources = settings, resources
        self.name = TopicNames(settings.model.name).labels
        self._starts, self._ends = read_bounds(settings.kafka, self.name)
        self._replay: TopicReplay | None = None

    @property
    def gone_messages(self) -> int:
        """As `Source.gone_messages`."""
        return sum(self._starts.next.values())

    def batches(self, bar: Bar, what: str) -> Iterator[EventBatch]:
        """As `Source.batches`."""
        starts, _ = read_bounds(self._settings.kafka, self.name)  # retention goes on
        self._replay = TopicReplay(self._settings, starts, self._resources)
        total = sum(end - starts[partition] for partition, end in self._ends.next.items())
        done = bar.stretch(what, total, "messages")
        for batch in self._replay.batches(self._ends):
            yield batch
            done(sum(self._replay.position[partition] - start for partition, start in starts.next.items()))

    def invalid(self) -> dict[str, int]:
        """As `Source.invalid`."""
        return dict(self._replay.invalid.by_reason) if self._replay else {}

    def follow(self, live: Offsets) -> TopicReplay:
        """As `Source.follow`."""
        assert self._replay is not None  # asked for once it was replayed
        return self._replay


class FileSource:
    """Parquet files, in the order given."""

    def __init__(self, settings: Settings, files: Sequence[Path], resources: ExitStack) -> None:
        self._settings, self._files, self._resources = settings, files, resources
        self.name = ", ".join(str(file) for file in files)
        self.gone_messages = 0
        self._replay = self._opened()

    def batches(self, bar: Bar, what: str) -> Iterator[EventBatch]:
        """As `Source.batches`."""
        self._replay, rows = self._opened(), 0
        done = bar.stretch(what, self._replay.num_rows, "rows")
        for batch in self._replay.batches():
            yield batch
            rows += batch.events.num_rows
            done(rows + sum(self._replay.invalid.values()))

    def invalid(self) -> dict[str, int]:
        """As `Source.invalid`."""
        return dict(self._replay.invalid)

    def follow(self, live: Offsets) -> TopicReplay:
        """As `Source.follow`: the files stand for all that the live model has learnt."""
        lows, _ = read_bounds(self._settings.kafka, TopicNames(self._settings.model.name).labels)
        return TopicReplay(self._settings, lows.advanced_to(live), self._resources)

    def _opened(self) -> ParquetReplay:
        return ParquetReplay(self._files, self._settings.model.schema, max_events=self._settings.intake.max_events)
