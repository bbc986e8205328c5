"""The instance head's two samples of kept rows: near, the newest and those of absent classes; far, a part of all."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.learning.heads.absence import Attendance
from penstock.learning.heads.inputs import HeadInputs
from penstock.learning.heads.neighbours import Neighbours
from penstock.learning.reservoir import Reservoir
from penstock.learning.shelves import Shelves
from penstock.learning.tensors import under
from penstock.learning.window import Window
from penstock.replay.class_balanced import largest_quota

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

NEAR_ROWS = 256
FAR_NUMBERS = 65_536
FAR_NUMBERS_IN_FILE = 32_768
FAR_GROWTH = 1.05
MOST_CLASSES = 1000


class Instances:
    """Follows the rows that are kept. Reads shelves, attendance and inputs, which are the ensemble's."""

    def __init__(self, shelves: Shelves, attendance: Attendance, inputs: HeadInputs) -> None:
        self._shelves, self._attendance, self._inputs = shelves, attendance, inputs
        self.near: Neighbours | None = None
        self.far: Neighbours | None = None
        self._window_inputs: Float64s = np.zeros((0, inputs.width))
        self._absent: Neighbours | None = None
        self.far_at = 0
        """Events seen when `far` was drawn."""
        self.absent_at = -1
        """The same for the rows of absent classes; −1 when they are to be drawn anew."""

    def remember(self, inputs: Float64s, reservoir: Reservoir, window: Window) -> None:
        """Rows [n, d] have been put into the window: they are near; the other samples follow now and then."""
        count, now = min(NEAR_ROWS, len(window)), self._attendance.num_events
        newest = inputs if len(inputs) >= count else np.concatenate((self._window_inputs, inputs))
        self._window_inputs = newest[len(newest) - min(count, len(newest)) :]
        if now >= self.far_at * FAR_GROWTH:
            self._take_far(reservoir)
        if self.absent_at < 0 or now - self.absent_at >= NEAR_ROWS // 8:
            self._take_absent(reservoir)
        self._join_near(window)

    def refresh(self, reservoir: Reservoir, window: Window) -> None:
        """Read all kept rows again: some have left, or inputs are standardised anew."""
        places = window.newest(min(NEAR_ROWS, len(window)))
        self._window_inputs = self._inputs(window.rows.at(places).encoded)
        if self.far is not None:
            self._take_far(reservoir)
        self._take_absent(reservoir)
        self._join_near(window)

    def step_aside(self) -> None:
        """Answer no more."""
        self.near, self.far = None, None

    def _join_near(self, window: Window) -> None:
        places = window.newest(len(self._window_inputs))
        inputs, classes = self._window_inputs, window.rows.classes[places]
        ids = window.priorities[places]
        if self._absent is not None:
            inputs = np.concatenate((inputs, self._absent.rows))
            classes = np.concatenate((classes, self._absent.classes))
            ids = np.concatenate((ids, self._absent.ids))
        self.near = Neighbours.of(inputs, classes, ids) if len(classes) else None

    def _take_far(self, reservoir: Reservoir) -> None:
        self.far_at = self._attendance.num_events
        width = self._inputs.width
        most = min(FAR_NUMBERS // (width + 8), FAR_NUMBERS_IN_FILE // width)
        slots = np.flatnonzero(reservoir.slot_classes >= 0)
        if len(slots) > most:
            counts = np.bincount(reservoir.slot_classes[slots])
            shelves = Shelves()
            shelves.sort(reservoir.slot_classes, reservoir.priorities, len(counts))
            slots = shelves.lowest(np.full(len(counts), max(1, largest_quota(counts, most, most))))[:most]
        self.far = self._at(slots, reservoir)

    def _take_absent(self, reservoir: Reservoir) -> None:
        self.absent_at = self._attendance.num_events
        absences = self._attendance.absences[: self._shelves.num_classes]
        absent = absences > 0
        self._absent = None
        if absent.any():
            each = np.where(absent, max(1, NEAR_ROWS // int(absent.sum())), 0)
            each = np.concatenate((each, np.zeros(self._shelves.num_classes - len(each), dtype=np.int64)))
            slots = self._shelves.lowest(each)[:NEAR_ROWS]
            self._absent = self._at(slots[reservoir.slot_classes[slots] >= 0], reservoir)

    def _at(self, slots: Int64s, reservoir: Reservoir) -> Neighbours | None:
        if not len(slots):
            return None
        inputs = self._inputs(reservoir.encoded_at(slots))
        return Neighbours.of(inputs, reservoir.slot_classes[slots], reservoir.priorities[slots].copy())

    def state(self) -> dict[str, Array]:
        """Copies; `far_at` and `absent_at` are for the caller to keep."""
        state: dict[str, Array] = {"window_inputs": self._window_inputs.copy()}
        for prefix, rows in (("far", self.far), ("absent", self._absent)):
            if rows is not None:
                state |= {f"{prefix}.{name}": array for name, array in _arrays(rows).items()}
        return state

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`; `near` is there after `follow`."""
        self._window_inputs = arrays["window_inputs"].astype(np.float64)
        self.far = _neighbours(under("far.", arrays))
        self._absent = _neighbours(under("absent.", arrays))

    def follow(self, window: Window) -> None:
        """The window has been loaded too."""
        self._join_near(window)


def _arrays(rows: Neighbours) -> dict[str, Array]:
    return {"rows": rows.rows.astype(np.float32), "classes": rows.classes.copy(), "ids": rows.ids.copy()}


def _neighbours(arrays: Mapping[str, Array]) -> Neighbours | None:
    if not arrays:
        return None
    return Neighbours.of(
        arrays["rows"].astype(np.float64), arrays["classes"].astype(np.int64), arrays["ids"].astype(np.uint64)
    )
