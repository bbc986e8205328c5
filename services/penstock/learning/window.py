"""The newest rows, in the order in which they came."""

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.learning.train_rows import RowForm, TrainRows

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

MOST_ROWS = 512


def window_rows(capacity: int) -> int:
    """How many of `capacity` rows are the window's: a quarter, at most 512."""
    return min(MOST_ROWS, capacity // 4)


class Window:
    """A ring of `capacity` rows; `priorities` tell them apart, `times` when they were offered to the reservoir."""

    def __init__(self, capacity: int, form: RowForm) -> None:
        self.capacity = capacity
        self.num_added = 0
        self._form = form
        self.rows = form.empty(capacity, 0)
        self.priorities: UInt64s = np.zeros(capacity, dtype=np.uint64)
        self.times: Int64s = np.zeros(capacity, dtype=np.int64)

    def __len__(self) -> int:
        return min(self.num_added, self.capacity)

    def add(self, rows: TrainRows, priorities: UInt64s, times: Int64s) -> None:
        """The oldest make room."""
        if not self.capacity:
            return
        first = max(0, len(priorities) - self.capacity)
        if first:
            kept = np.arange(first, len(priorities))
            rows, priorities, times = rows.at(kept), priorities[kept], times[kept]
        self.num_added += first
        places = np.arange(self.num_added, self.num_added + len(priorities)) % self.capacity
        self.rows.put(places, rows)
        self.priorities[places], self.times[places] = priorities, times
        self.num_added += len(priorities)

    def newest(self, count: int) -> Int64s:
        """Places of the newest rows, oldest first."""
        count = min(count, len(self))
        return np.arange(self.num_added - count, self.num_added) % max(self.capacity, 1)

    def drop(self, places: Int64s) -> None:
        """Forget the rows at these places; the others keep their order."""
        kept = self.newest(len(self))
        kept = kept[~np.isin(kept, places)]
        rows, priorities, times = self.rows.at(kept), self.priorities[kept], self.times[kept]
        self.num_added = 0
        self.rows, self.priorities[:], self.times[:] = self._form.empty(self.capacity, 0), 0, 0
        self.add(rows, priorities, times)

    def state(self) -> dict[str, Array]:
        """Copies."""
        return {
            "dense": self.rows.dense.cpu().numpy().copy(),
            "tokens": self.rows.tokens.cpu().numpy().copy(),
            "classes": self.rows.classes.copy(),
            "weights": self.rows.weights.copy(),
            "priorities": self.priorities.copy(),
            "times": self.times.copy(),
            "num_added": np.array([self.num_added], dtype=np.int64),
            **{name: array.copy() for name, array in self.rows.logit_arrays().items()},
        }

    def load(self, arrays: dict[str, Array]) -> None:
        """Take up the values of `state()`; of a window of another size the newest rows that fit."""
        stored = len(arrays["classes"])
        added = int(arrays["num_added"].astype(np.int64)[0])
        count = min(added, stored, self.capacity)
        places = np.arange(added - count, added) % max(stored, 1)
        of_rows = {name: array[places] for name, array in arrays.items() if name != "num_added"}
        rows = self._form.read(of_rows, "classes", "weights")
        self.num_added = added - count if stored == self.capacity else 0
        self.add(rows, arrays["priorities"][places].astype(np.uint64), arrays["times"][places].astype(np.int64))
