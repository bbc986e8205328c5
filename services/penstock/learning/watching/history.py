"""How the figures went, in a bounded number of points: enough to draw, whatever the length of the stream."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import numpy.typing as npt

from penstock.flow import Array, Json
from penstock.learning.watching.observed import Float64s

MAX_POINTS = 256
FIRST_STRIDE = 16
DRAWN_CLASSES = 64
"""The recall of the first so many classes is kept over time."""
NO_RECALL = 255
_STEPS = 250


class History:
    """A point every `stride` events or later; when `MAX_POINTS` are full, every other one goes and the stride grows."""

    def __init__(self) -> None:
        self.stride = FIRST_STRIDE
        self._next_at = FIRST_STRIDE
        self._names: list[str] = []
        self._points: Float64s = np.full((0, MAX_POINTS), np.nan)
        self._recalls: npt.NDArray[np.uint8] = np.full((0, MAX_POINTS), NO_RECALL, dtype=np.uint8)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def is_due(self, events_seen: int) -> bool:
        """True if a point belongs here."""
        return events_seen >= self._next_at

    def add(self, events_seen: int, values: Mapping[str, float], recalls: Float64s) -> None:
        """Note named figures and the recall [C] of each class; names may come and go."""
        if self._count == MAX_POINTS:
            self._thin_out(events_seen)
        self._make_room([name for name in values if name not in self._names], min(len(recalls), DRAWN_CLASSES))
        for name, value in values.items():
            self._points[self._names.index(name), self._count] = value
        drawn = len(self._recalls)
        self._recalls[:, self._count] = np.rint(recalls[:drawn] * _STEPS)
        self._count += 1
        self._next_at = (events_seen // self.stride + 1) * self.stride

    def column(self, name: str) -> Float64s:
        """[n], one value a point; nan where there was none."""
        if name not in self._names:
            return np.full(self._count, np.nan)
        return self._points[self._names.index(name), : self._count]

    @property
    def names(self) -> tuple[str, ...]:
        """Of all figures that were ever noted."""
        return tuple(self._names)

    @property
    def recalls(self) -> Float64s:
        """[classes, n], to a 250th; nan before a class was known."""
        noted = self._recalls[:, : self._count]
        return np.where(noted == NO_RECALL, np.nan, noted / _STEPS)

    def tensors(self) -> dict[str, Array]:
        """Copies of what is filled, for a checkpoint."""
        return {"points": self._points[:, : self._count].copy(), "recalls": self._recalls[:, : self._count].copy()}

    def state(self) -> dict[str, Json]:
        """What is not an array."""
        return {"stride": self.stride, "next_at": self._next_at, "names": list(self._names)}

    def restore(self, tensors: Mapping[str, Array], state: Mapping[str, Json]) -> None:
        """Go on from `tensors()` and `state()`. Raises `KeyError` for what is missing."""
        self.stride, self._next_at = cast(int, state["stride"]), cast(int, state["next_at"])
        self._names, self._points, self._recalls = [], self._points[:0], self._recalls[:0]
        points, recalls = tensors["points"], tensors["recalls"]
        self._make_room(cast(list[str], state["names"]), len(recalls))
        self._count = points.shape[1]
        self._points[:, : self._count], self._recalls[:, : self._count] = points, recalls

    def _make_room(self, names: list[str], num_classes: int) -> None:
        if names:
            self._names.extend(names)
            self._points = np.concatenate((self._points, np.full((len(names), MAX_POINTS), np.nan)))
        if (missing := num_classes - len(self._recalls)) > 0:
            unknown = np.full((missing, MAX_POINTS), NO_RECALL, dtype=np.uint8)
            self._recalls = np.concatenate((self._recalls, unknown))

    def _thin_out(self, events_seen: int) -> None:
        kept = MAX_POINTS // 2
        self._points[:, :kept], self._recalls[:, :kept] = self._points[:, 1::2].copy(), self._recalls[:, 1::2].copy()
        self._points[:, kept:], self._recalls[:, kept:] = np.nan, NO_RECALL
        self._count, self.stride = kept, -(-events_seen // kept)
