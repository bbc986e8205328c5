"""The reservoir on disk: one full segment, then one with the changed slots for each checkpoint since.

Where they have grown many, the later ones become one; where they have grown long, all of them do. So a trainer is asked
for its whole reservoir once, and what a checkpoint writes follows what has changed, over time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from penstock.adapters.disk.files import FileDigest
from penstock.adapters.disk.manifest import TornCheckpointError
from penstock.flow import Array, SlotChanges

MAX_SEGMENTS = 64
MAX_GROWTH = 2
"""All of them become one full segment once together they hold this many times the rows of the full one."""
SLOTS = "slots"
COLUMN = "column."


@dataclass(frozen=True, kw_only=True)
class SegmentChain:
    """The segment files that make up the reservoir of the last checkpoint, oldest first."""

    files: Mapping[str, FileDigest]
    full_rows: int
    rows: int

    @property
    def to_merge(self) -> tuple[str, ...]:
        """The newest files, oldest first, that are better made one; none while there are few."""
        names = tuple(self.files)
        if self.rows > MAX_GROWTH * self.full_rows:
            return names
        return names[1:] if len(names) >= MAX_SEGMENTS else ()

    def with_segment(self, name: str, digest: FileDigest, rows: int) -> "SegmentChain":
        """One segment longer."""
        return SegmentChain(files={**self.files, name: digest}, full_rows=self.full_rows, rows=self.rows + rows)

    def with_merged(self, name: str, digest: FileDigest, rows: int) -> "SegmentChain":
        """With one file of so many rows in the place of those `to_merge`."""
        gone = self.to_merge
        files = {earlier: known for earlier, known in self.files.items() if earlier not in gone}
        if not files:
            return SegmentChain(files={name: digest}, full_rows=rows, rows=rows)
        return SegmentChain(files={**files, name: digest}, full_rows=self.full_rows, rows=self.full_rows + rows)


def to_arrays(changes: SlotChanges) -> dict[str, Array]:
    """The arrays of a segment file."""
    return {SLOTS: changes.slots, **{COLUMN + name: column for name, column in changes.columns.items()}}


def merged(segments: Sequence[Mapping[str, Array]]) -> SlotChanges:
    """All rows, each slot as it was written last, in the order of slots.

    Raises:
        TornCheckpointError: the segments do not fit together.
    """
    if not segments:
        raise TornCheckpointError("it lists no segment of the reservoir")
    for segment in segments:
        _refuse_misfit(segment, segments[0])
    slots = np.concatenate([segment[SLOTS] for segment in segments])
    newest_first = slots[::-1]
    kept_slots, positions = np.unique(newest_first, return_index=True)
    rows = len(slots) - 1 - positions
    columns = {
        name.removeprefix(COLUMN): np.concatenate([segment[name] for segment in segments])[rows]
        for name in segments[0]
        if name != SLOTS
    }
    return SlotChanges(full=True, slots=kept_slots.astype(np.int64), columns=columns)


def _refuse_misfit(segment: Mapping[str, Array], first: Mapping[str, Array]) -> None:
    if segment.keys() != first.keys() or SLOTS not in segment:
        raise TornCheckpointError(f"a reservoir segment has the arrays {sorted(segment)}, the first {sorted(first)}")
    for name, array in segment.items():
        if array.dtype != first[name].dtype or array.shape[1:] != first[name].shape[1:]:
            raise TornCheckpointError(f"the reservoir's {name} is of another type or width than in the first segment")
        if len(array) != len(segment[SLOTS]):
            raise TornCheckpointError(f"the reservoir's {name} has {len(array)} rows for {len(segment[SLOTS])} slots")
