"""What the intake is told again after a restart to find repeated events: kept with the learner, for checkpoints."""

from collections import deque
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Entries = npt.NDArray[np.uint64]

TENSOR: Final = "seen.entries"
FORGET: Final = np.uint64(1)
"""The lowest bit of an entry that makes another be forgotten; it takes no place in the window."""


class SeenEvents:
    """The newest entries of `EventBatch.seen`; with a window of 0 none."""

    def __init__(self, window_events: int) -> None:
        self._window = window_events
        self._chunks = deque[tuple[Entries, int]]()
        self._remembered = 0

    def add(self, entries: Entries) -> None:
        """Of the next batch."""
        if not self._window or not len(entries):
            return
        remembered = int(np.count_nonzero((entries & FORGET) == 0))
        self._chunks.append((entries, remembered))
        self._remembered += remembered
        while self._remembered - self._chunks[0][1] >= self._window:
            self._remembered -= self._chunks.popleft()[1]

    def entries(self) -> Entries:
        """The last `window_events` that are remembered and what stands between them, in order."""
        joined = np.concatenate([np.empty(0, dtype=np.uint64), *(entries for entries, _ in self._chunks)])
        remembered = np.flatnonzero((joined & FORGET) == 0)
        return joined[remembered[-self._window] :] if self._window and len(remembered) > self._window else joined

    def tensors(self) -> dict[str, Array]:
        """For a checkpoint; empty where nothing is kept."""
        return {TENSOR: self.entries()} if self._window else {}

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """The inverse of `tensors`; a checkpoint without them has seen nothing."""
        self._chunks.clear()
        self._remembered = 0
        self.add(np.array(tensors.get(TENSOR, ()), dtype=np.uint64))
