"""What stands at the end of the update topic, found by stepping back from it in growing windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.adapters.kafka.log_reader import Entry
from penstock.flow import Claim, ModelUpdate, Recorded, Withdrawal

WINDOW_GROWTH = 16


class ReadableLog(Protocol):
    """What is needed of the log: `LogReader`."""

    def ends(self) -> tuple[int, int]:
        """Its first offset, and the one after its last."""
        ...

    def read(self, start: int, end: int) -> list[Entry]:
        """The records from `start` up to, not including, `end`; there may be fewer than offsets."""
        ...


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The entries that matter, in log order, and `end`, the offset behind the last record of the log.

    Of the updates only those are kept that no later one of the same epoch replaces: they hold weights. A delta stands
    beside the whole weights before it, which a reader without its base may fall back to.
    """

    entries: tuple[Entry, ...]
    end: int

    @property
    def highest_epoch(self) -> int:
        """Of claims and updates; 0 in an empty log."""
        return max((epoch_of(entry) for entry in self.entries), default=0)

    @property
    def highest_version(self) -> int:
        """Of updates; 0 if there is none."""
        return max((update.version for update in _updates(self.entries)), default=0)

    @property
    def newest_update(self) -> ModelUpdate | None:
        """The last update of the highest epoch, stale ones left out."""
        updates = _updates([entry for entry, stale in _with_staleness(self.entries) if not stale])
        return max(updates, key=lambda update: (update.epoch, update.version), default=None)


def read_tail(log: ReadableLog) -> Tail:
    """Step back until there are both a claim and an update that is not stale, or to the log's start.

    Raises:
        UnavailableError: the broker does not answer.
    """
    low, end = log.ends()
    entries: list[Entry] = []
    start, window = end, 1
    while start > low and not _is_enough(entries):
        begin = max(low, end - window)
        entries = condensed(log.read(begin, start) + entries)
        start, window = begin, window * WINDOW_GROWTH
    return Tail(entries=tuple(entries), end=end)


def epoch_of(entry: Entry) -> int:
    """The epoch that a record proves to have been claimed; 0 for a withdrawal."""
    return 0 if isinstance(entry.record, Withdrawal) else entry.record.epoch


def condensed(entries: Sequence[Entry]) -> list[Entry]:
    """The entries without updates that a later one of the same kind and epoch, and as stale, replaces."""
    kept: list[Entry] = []
    replaced: set[tuple[int, bool, bool]] = set()
    has_recorded = False
    for entry, stale in reversed(_with_staleness(entries)):
        if isinstance(entry.record, Recorded):
            if has_recorded:
                continue
            has_recorded = True
        if isinstance(entry.record, ModelUpdate):
            kind = (entry.record.epoch, stale, entry.record.delta is not None)
            if kind in replaced:
                continue
            replaced.add(kind)
        kept.append(entry)
    return kept[::-1]


def _is_enough(entries: Sequence[Entry]) -> bool:
    has_claim = any(isinstance(entry.record, Claim) for entry in entries)
    return has_claim and any(
        isinstance(entry.record, ModelUpdate) and not stale for entry, stale in _with_staleness(entries)
    )


def _with_staleness(entries: Sequence[Entry]) -> list[tuple[Entry, bool]]:
    """Each entry, and whether it is stale: of a lower epoch than a claim before it, so that replicas drop it."""
    claimed, marked = 0, []
    for entry in entries:
        marked.append((entry, isinstance(entry.record, ModelUpdate) and entry.record.epoch < claimed))
        if isinstance(entry.record, Claim):
            claimed = max(claimed, entry.record.epoch)
    return marked


def _updates(entries: Sequence[Entry]) -> list[ModelUpdate]:
    return [entry.record for entry in entries if isinstance(entry.record, ModelUpdate)]
