"""The ids of the newest events, and where each stood: for the intake after a restart, to find repeats, and to retract.

What is remembered depends on the order of the entries alone, not on how they came in batches.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from penstock.flow import Array, EventBatch, RetractionRequest
from penstock.learning.event_rows import places_of
from penstock.learning.history import Int64s, packed, packed_places, unpacked, widened

Entries = npt.NDArray[np.uint64]
Int32s = npt.NDArray[np.int32]

TENSOR: Final = "seen.entries"
PARTITIONS: Final = "seen.partitions"
PLACES: Final = "seen.places"
REACH: Final = "seen.reach"
FORGET: Final = np.uint64(1)
"""The lowest bit of an entry that makes another be forgotten; it takes no place in the window."""
_NO_EVENT: Final = -2
_NOT_KNOWN: Final = -1
_CHUNK = 4096
_NOTHING: Final[Int64s] = np.empty(0, dtype=np.int64)


class At(NamedTuple):
    """Where an event stands in the label topic."""

    partition: int
    offset: int
    row: int


class SeenEvents:
    """The newest entries of `EventBatch.seen`; with a window of 0 none."""

    def __init__(self, window_events: int) -> None:
        self._window = window_events
        self._chunks = deque[_Chunk]()
        self._remembered = 0
        self._reach = _NOTHING
        """By partition: what was learnt there or later is among the entries, with its place."""

    def add(self, batch: EventBatch) -> None:
        """The entries of the next batch."""
        if not self._window or not (len(batch.seen) or batch.events.num_rows):
            return
        partitions, offsets, rows = places_of(batch.events)
        places = packed_places(offsets, rows)
        at = _entries_of_events(batch)
        if at is None:
            self._lose(partitions, places)
        held = np.full(len(batch.seen), _NO_EVENT if at is not None else _NOT_KNOWN, dtype=np.int32)
        where = np.zeros(len(batch.seen), dtype=np.int64)
        if at is not None:
            held[at], where[at] = partitions, places
        self._append(_Chunk(entries=batch.seen, partitions=held, places=where))

    def take_back(self, batch: EventBatch, refused: Collection[tuple[int, int, int]]) -> None:
        """Nothing of the batch added last was learnt at these places: partition, offset and row.

        What is blanked keeps its place in the window, so that the window reaches as far as that of the intake, which
        went on meanwhile.
        """
        if not self._window or not refused:
            return
        blanked = _entries_at(batch, refused)
        for number, chunk in reversed(list(enumerate(self._chunks))):
            of_chunk = blanked[-len(chunk.entries) :]
            blanked = blanked[: -len(chunk.entries)]
            if of_chunk.any():
                self._chunks[number] = chunk.blanked(of_chunk)
            if not blanked.any():
                return

    @property
    def is_whole(self) -> bool:
        """True if every event that was ever learnt is among them."""
        return bool(self._window) and not (self._reach > 0).any()

    def reaches(self, at: At) -> bool:
        """True if an event at this place, had it been learnt, would be among them."""
        start = int(self._reach[at.partition]) if at.partition < len(self._reach) else 0
        return bool(self._window) and packed(at.offset, at.row) >= start

    def places_of(self, key: int) -> Iterator[At | None]:
        """Of the events with this key, newest first; None where it is not known. Some may not have been learnt yet."""
        for chunk in reversed(self._chunks):
            for found in np.flatnonzero(chunk.entries == np.uint64(key))[::-1].tolist():
                partition = int(chunk.partitions[found])
                yield At(partition, *unpacked(int(chunk.places[found]))) if partition >= 0 else None

    def key_at(self, at: At) -> int | None:
        """The key of the event at this place, if it is among them."""
        place = packed(at.offset, at.row)
        for chunk in reversed(self._chunks):
            found = np.flatnonzero((chunk.partitions == at.partition) & (chunk.places == place))
            if len(found):
                return int(chunk.entries[found[-1]])
        return None

    def let_go(self, partition: int, resumed_at: int | None) -> None:
        """What comes from this offset on, None for all of it, are other events: those known stand nowhere any more."""
        first = 0 if resumed_at is None else packed(resumed_at, 0)
        self._chunks = deque(chunk.without_places(partition, first) for chunk in self._chunks)

    def entries(self) -> Entries:
        """The last `window_events` that are remembered and what stands between them, in order."""
        return self._joined().entries

    def tensors(self) -> dict[str, Array]:
        """For a checkpoint; empty where nothing is kept."""
        if not self._window:
            return {}
        joined = self._joined()
        return {
            TENSOR: joined.entries,
            PARTITIONS: joined.partitions,
            PLACES: joined.places,
            REACH: self._reach.copy(),
        }

    def restore(self, tensors: Mapping[str, Array], frontier: Int64s = _NOTHING) -> None:
        """The inverse of `tensors`; a checkpoint without them, of a model at that frontier, has seen nothing."""
        self._chunks.clear()
        self._remembered, self._reach = 0, frontier.copy()
        if TENSOR not in tensors:
            return
        entries = tensors[TENSOR].astype(np.uint64)
        if PLACES in tensors:
            self._reach = tensors[REACH].astype(np.int64)
            held, where = tensors[PARTITIONS].astype(np.int32), tensors[PLACES].astype(np.int64)
        else:
            held, where = np.full(len(entries), _NOT_KNOWN, dtype=np.int32), np.zeros(len(entries), dtype=np.int64)
        self._append(_Chunk(entries=entries, partitions=held, places=where))

    def _append(self, chunk: "_Chunk") -> None:
        if not self._window:
            return
        for start in range(0, len(chunk.entries), _CHUNK):
            part = chunk.between(start, start + _CHUNK)
            self._chunks.append(part)
            self._remembered += part.remembered
        self._trim()

    def _trim(self) -> None:
        """Down to the window, which then begins with an entry that is remembered."""
        excess = self._remembered - self._window
        if excess <= 0:
            return
        while excess >= 0:
            oldest = self._chunks.popleft()
            kept = np.flatnonzero((oldest.entries & FORGET) == 0)
            cut = len(oldest.entries) if len(kept) <= excess else int(kept[excess])
            lost = oldest.between(0, cut)
            self._lose(lost.partitions, lost.places)
            self._remembered -= lost.remembered
            excess -= len(kept)
            if cut < len(oldest.entries):
                self._chunks.appendleft(oldest.between(cut, len(oldest.entries)))

    def _lose(self, partitions: Int32s, places: Int64s) -> None:
        """Events [n] at these places are not among the entries."""
        places, partitions = places[partitions >= 0], partitions[partitions >= 0]
        if len(partitions):
            self._reach = widened(self._reach, max(int(partitions.max()) + 1, len(self._reach)))
            np.maximum.at(self._reach, partitions, places + 1)

    def _joined(self) -> "_Chunk":
        return _Chunk(
            entries=np.concatenate([np.empty(0, dtype=np.uint64), *(chunk.entries for chunk in self._chunks)]),
            partitions=np.concatenate([np.empty(0, dtype=np.int32), *(chunk.partitions for chunk in self._chunks)]),
            places=np.concatenate([_NOTHING, *(chunk.places for chunk in self._chunks)]),
        )


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """Entries [n]; of those that are ids of events the partition [n] and the place in it [n], as `packed`."""

    entries: Entries
    partitions: Int32s
    places: Int64s

    @property
    def remembered(self) -> int:
        """How many take a place in the window."""
        return int(np.count_nonzero((self.entries & FORGET) == 0))

    def without_places(self, partition: int, first: int) -> "_Chunk":
        """The same, with no place known of the events of a partition from `first` on."""
        gone = (self.partitions == partition) & (self.places >= first)
        return replace(self, partitions=np.where(gone, np.int32(_NOT_KNOWN), self.partitions))

    def between(self, start: int, stop: int) -> "_Chunk":
        """A run of them."""
        return _Chunk(
            entries=self.entries[start:stop], partitions=self.partitions[start:stop], places=self.places[start:stop]
        )

    def blanked(self, where: npt.NDArray[np.bool_]) -> "_Chunk":
        """Without the keys and the places of the last ones, bool [m]."""
        at = len(self.entries) - len(where) + np.flatnonzero(where)
        entries, partitions, places = self.entries.copy(), self.partitions.copy(), self.places.copy()
        entries[at] &= FORGET
        partitions[at], places[at] = _NO_EVENT, 0
        return _Chunk(entries=entries, partitions=partitions, places=places)


def _entries_at(batch: EventBatch, places: Collection[tuple[int, int, int]]) -> npt.NDArray[np.bool_]:
    """Which entries of `seen` come of the events and retractions that stand there."""
    is_of = np.zeros(len(batch.seen), dtype=np.bool_)
    remembered = np.flatnonzero((batch.seen & FORGET) == 0)
    standing = list(zip(*(each.tolist() for each in places_of(batch.events)), strict=True))
    retractions = [control for control in batch.controls if isinstance(control.request, RetractionRequest)]
    for number, control in enumerate(retractions):
        standing.insert(control.at + number, (control.partition, control.offset, control.row))
    if len(remembered) != len(standing):  # what they come of cannot be told
        return is_of
    is_of[remembered] = [place in places for place in standing]
    is_of[1:] |= is_of[:-1] & ((batch.seen[1:] & FORGET) == FORGET)
    return is_of


def _entries_of_events(batch: EventBatch) -> Int64s | None:
    """Which entries of `seen` are the ids of its events, in order; None where that cannot be told.

    The others are ids of retractions, each behind those of the events before it, and what is to be forgotten.
    """
    remembered = np.flatnonzero((batch.seen & FORGET) == 0)
    retractions = [control.at for control in batch.controls if isinstance(control.request, RetractionRequest)]
    if len(remembered) == batch.events.num_rows + len(retractions):
        remembered = np.delete(remembered, np.array(retractions, dtype=np.int64) + np.arange(len(retractions)))
    return remembered if len(remembered) == batch.events.num_rows else None
