"""Rows that wait to be summed many at a time."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

MOST_ROWS = 256


class WaitingRows:
    """At most 256, since a matrix product takes so many at once as quickly as 40 one by one.

    With forgetting β a row's weight is multiplied by it with every later row.
    """

    def __init__(self, width: int, *, forgetting: float) -> None:
        self._forgetting = forgetting
        self._rows: Float64s = np.empty((MOST_ROWS, width))
        self._classes: Int64s = np.empty(MOST_ROWS, dtype=np.int64)
        self._weights: Float64s = np.empty(MOST_ROWS)
        self._num = 0

    def __len__(self) -> int:
        return self._num

    @property
    def rows(self) -> Float64s:
        """[n, width]."""
        return self._rows[: self._num]

    @property
    def classes(self) -> Int64s:
        """[n]."""
        return self._classes[: self._num]

    @property
    def weights(self) -> Float64s:
        """[n]: what the newest row has left of them."""
        return self._weights[: self._num]

    def has_room_for(self, num_rows: int) -> bool:
        """True if so many more fit in."""
        return self._num + num_rows <= MOST_ROWS

    def put(self, rows: Float64s, classes: Int64s, weights: Float64s) -> Float64s:
        """Take in rows for which there is room; returns what the last of them has left of their weights."""
        place = slice(self._num, self._num + len(rows))
        self._rows[place], self._classes[place], self._weights[place] = rows, classes, weights
        self._num = place.stop
        if self._forgetting < 1:
            self._weights[: place.start] *= self._forgetting ** len(rows)
            self._weights[place] *= self._forgetting ** np.arange(len(rows) - 1, -1, -1)
        return self._weights[place]

    def clear(self) -> None:
        """None waits any more."""
        self._num = 0

    def state(self) -> dict[str, Array]:
        """Copies."""
        return {"rows": self.rows.copy(), "classes": self.classes.copy(), "weights": self.weights.copy()}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self._num = len(arrays["rows"])
        self.rows[:], self.classes[:], self.weights[:] = arrays["rows"], arrays["classes"], arrays["weights"]
