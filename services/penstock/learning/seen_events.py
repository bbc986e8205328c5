"""The ids of the newest events: for the intake after a restart, to find repeats, and for retractions by id."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Entries = npt.NDArray[np.uint64]
Int32s = npt.NDArray[np.int32]

TENSOR: Final = "seen.entries"
SCALES: Final = "seen.scales"
FORGET: Final = np.uint64(1)
"""The lowest bit of an entry that makes another be forgotten; it takes no place in the window."""
_SEVERAL: Final = -2
"""In place of the number of a scale: one came amid the batch."""


class SeenEvents:
    """The newest entries of `EventBatch.seen`; with a window of 0 none."""

    def __init__(self, window_events: int) -> None:
        self._window = window_events
        self._chunks = deque[_Chunk]()
        self._remembered = 0

    def add(self, entries: Entries, scale: int | None = None) -> None:
        """Of the next batch, and the `History.scale_number` under which all of it was learnt, if there was one."""
        self._append(entries, np.full(len(entries), _SEVERAL if scale is None else scale, dtype=np.int32))

    def scale_of(self, key: int) -> int | None:
        """Under which `History.scale_number` the newest event of this key was learnt, where that is known."""
        for chunk in reversed(self._chunks):
            found = np.flatnonzero(chunk.entries == np.uint64(key & ~int(FORGET)))
            if len(found):
                scale = int(chunk.scales[found[-1]])
                return None if scale == _SEVERAL else scale
        return None

    def entries(self) -> Entries:
        """The last `window_events` that are remembered and what stands between them, in order."""
        return self._joined()[0]

    def tensors(self) -> dict[str, Array]:
        """For a checkpoint; empty where nothing is kept."""
        if not self._window:
            return {}
        entries, scales = self._joined()
        return {TENSOR: entries, SCALES: scales}

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """The inverse of `tensors`; a checkpoint without them has seen nothing."""
        self._chunks.clear()
        self._remembered = 0
        if TENSOR in tensors:
            self._append(tensors[TENSOR].astype(np.uint64), tensors[SCALES].astype(np.int32))

    def _append(self, entries: Entries, scales: Int32s) -> None:
        if not self._window or not len(entries):
            return
        remembered = int(np.count_nonzero((entries & FORGET) == 0))
        self._chunks.append(_Chunk(entries=entries, scales=scales, remembered=remembered))
        self._remembered += remembered
        while self._remembered - self._chunks[0].remembered >= self._window:
            self._remembered -= self._chunks.popleft().remembered

    def _joined(self) -> tuple[Entries, Int32s]:
        entries = np.concatenate([np.empty(0, dtype=np.uint64), *(chunk.entries for chunk in self._chunks)])
        scales = np.concatenate([np.empty(0, dtype=np.int32), *(chunk.scales for chunk in self._chunks)])
        remembered = np.flatnonzero((entries & FORGET) == 0)
        start = int(remembered[-self._window]) if self._window and len(remembered) > self._window else 0
        return entries[start:], scales[start:]


@dataclass(frozen=True, kw_only=True)
class _Chunk:
    """Of one batch: entries [n], their scales [n] by number, and how many of them are to be remembered."""

    entries: Entries
    scales: Int32s
    remembered: int
