"""Events that are held out: never learnt, so that versions can be compared on what neither has seen.

Which they are is a function of their place in the log alone: those of the highest priorities. Which of them are kept is
one of the log alone, too, however it is cut into micro-batches and whenever it is looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.learning.rows import EncodedRows

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

MOST_ROWS = 4096
"""Of all classes together; with many classes each keeps fewer."""
TRIMMED_EVERY = 256
"""Rows held out; until then older ones than the newest are there, and none is asked about."""
_ALL = 2.0**64


@dataclass(frozen=True, kw_only=True)
class HoldOut:
    """How many: this share of all events, of which the newest `rows_per_class` of each class are kept."""

    share: float
    rows_per_class: int


@dataclass(frozen=True, kw_only=True)
class HeldRows:
    """Rows to ask versions about, and the index of each one's class, int64 [n]."""

    rows: EncodedRows
    classes: Int64s

    def __len__(self) -> int:
        return len(self.classes)


class HeldOut:
    """The newest held-out rows of each class, oldest first. Without `config` nothing is held out."""

    def __init__(self, config: HoldOut | None) -> None:
        self._config = config
        self._first = np.uint64(min(int((1 - config.share) * _ALL), 2**64 - 1)) if config else np.uint64(0)
        self._dense: npt.NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)
        self._tokens: npt.NDArray[np.int32] = np.empty((0, 0), dtype=np.int32)
        self._classes: Int64s = np.empty(0, dtype=np.int64)
        self._priorities: UInt64s = np.empty(0, dtype=np.uint64)
        self._events: Int64s = np.empty(0, dtype=np.int64)
        self._untrimmed = 0

    def __len__(self) -> int:
        return len(self._classes)

    @property
    def is_on(self) -> bool:
        """True if anything is to be held out."""
        return self._config is not None

    def chosen(self, priorities: UInt64s) -> Bools:
        """[n]: of the share that is held out, by priority."""
        return priorities >= self._first if self.is_on else np.zeros(len(priorities), dtype=np.bool_)

    def add(self, rows: EncodedRows, classes: Int64s, priorities: UInt64s, *, event: int) -> None:
        """Keep rows [n]; `event` counts the events learnt before them."""
        start = 0
        while start < len(classes):
            some = slice(start, start + TRIMMED_EVERY - self._untrimmed)
            part = EncodedRows(dense=rows.dense[some], tokens=rows.tokens[some])
            self._append(part, classes[some], priorities[some], event=event)
            start = some.stop

    def _append(self, rows: EncodedRows, classes: Int64s, priorities: UInt64s, *, event: int) -> None:
        if not len(self):
            self._dense, self._tokens = rows.dense[:0], rows.tokens[:0]
        self._dense = np.concatenate((self._dense, rows.dense))
        self._tokens = np.concatenate((self._tokens, rows.tokens))
        self._classes = np.concatenate((self._classes, classes))
        self._priorities = np.concatenate((self._priorities, priorities))
        self._events = np.concatenate((self._events, np.full(len(classes), event, dtype=np.int64)))
        self._untrimmed += len(classes)
        if self._untrimmed >= TRIMMED_EVERY:
            self._untrimmed = 0
            self._keep(self._newest())

    def give_up(self, classes: Int64s, *, before: int) -> None:
        """Drop rows of these classes from before that event: their labels mean something else now."""
        self._keep(~(np.isin(self._classes, classes) & (self._events < before)))

    def take_back(self, priority: int | None, rows: EncodedRows, label: int) -> int | None:
        """Drop one event: by its priority, else by features and label. Its priority; None if it was not there."""
        if not len(self):
            return None
        if priority is not None:
            found = np.flatnonzero(self._priorities == np.uint64(priority))
        else:
            found = np.flatnonzero(self._classes == label)
            same = (self._dense[found] == rows.dense).all(axis=1) & (self._tokens[found] == rows.tokens).all(axis=1)
            found = found[same][:1]
        if not len(found):
            return None
        taken = int(self._priorities[found[0]])
        self._keep(np.isin(np.arange(len(self)), found, invert=True))
        return taken

    def of_classes(self, live: Bools) -> HeldRows:
        """A copy of the newest rows of classes that are live, bool [classes]."""
        asked = np.flatnonzero(live[self._classes] & self._newest())
        rows = EncodedRows(dense=self._dense[asked], tokens=self._tokens[asked])
        return HeldRows(rows=rows, classes=self._classes[asked])

    def tensors(self) -> dict[str, Array]:
        """All of it, for a checkpoint; nothing where nothing is held out."""
        if not self.is_on:
            return {}
        return {
            "dense": self._dense,
            "tokens": self._tokens,
            "classes": self._classes,
            "priorities": self._priorities,
            "events": self._events,
            "untrimmed": np.array([self._untrimmed], dtype=np.int64),
        }

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """Go on from `tensors()`; with nothing from a checkpoint of before anything was held out."""
        if not self.is_on or "classes" not in tensors:
            return
        self._dense, self._tokens = tensors["dense"].astype(np.float32), tensors["tokens"].astype(np.int32)
        self._classes, self._priorities = tensors["classes"].astype(np.int64), tensors["priorities"].astype(np.uint64)
        self._events = tensors["events"].astype(np.int64)
        self._untrimmed = int(tensors["untrimmed"][0])

    def _newest(self) -> Bools:
        """[n]: which rows are among the newest of their class."""
        if self._config is None or not len(self):
            return np.ones(len(self), dtype=np.bool_)
        counts = np.bincount(self._classes)
        each = max(1, min(self._config.rows_per_class, MOST_ROWS // int((counts > 0).sum())))
        if counts.max() <= each:
            return np.ones(len(self), dtype=np.bool_)
        by_class = np.argsort(self._classes, kind="stable")
        ends = np.cumsum(counts)[self._classes[by_class]]
        kept = np.zeros(len(self), dtype=np.bool_)
        kept[by_class] = ends - np.arange(len(self)) <= each
        return kept

    def _keep(self, kept: Bools) -> None:
        if kept.all():
            return
        self._dense, self._tokens = self._dense[kept], self._tokens[kept]
        self._classes, self._priorities = self._classes[kept], self._priorities[kept]
        self._events = self._events[kept]
