"""Long-term rows that are held back, so that heads can be asked about the past as of rows never learnt."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.learning.heads.absence import Attendance
from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.answer import Answer
from penstock.learning.heads.inputs import HeadInputs
from penstock.learning.heads.left_out import LearntRows, LeftOut
from penstock.learning.heads.solved import Solved
from penstock.learning.history import History
from penstock.learning.reservoir import Reservoir
from penstock.learning.shelves import Shelves

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
LinearOf = Callable[[Int64s], Float64s | None]
"""The linear head's logits of the rows in these slots; None where there is no such head."""

MOST_TOP_UP = 64
MOST_SCORED = 512
LARGE_SLICE, LEAST_TOP_UP = 64, 32
"""Beyond so many fresh rows, held rows are drawn so many at once: to ask about a few costs as much as about many."""


class HeldRows:
    """Their slots, and what the analytic head says of each without it.

    Reads shelves and attendance of the ensemble, and under which moments its sums were made.
    """

    def __init__(self, shelves: Shelves, attendance: Attendance, inputs: HeadInputs, history: History) -> None:
        self._shelves, self._attendance, self._inputs, self._history = shelves, attendance, inputs, history
        self.slots: Int64s = np.zeros(0, dtype=np.int64)
        self.classes: Int64s = np.zeros(0, dtype=np.int64)
        self.priorities: UInt64s = np.zeros(0, dtype=np.uint64)
        self._left_out = LeftOut.known(np.zeros((0, 0)))
        self.owed = 0.0
        """Rows that absence has asked for and that were not drawn yet."""

    def settle(self, reservoir: Reservoir, analytic: AnalyticHead | None) -> None:
        """Take what the shelves hold now; call it right after the analytic head was solved."""
        self.slots = self._shelves.held(MOST_SCORED)
        self.classes = reservoir.slot_classes[self.slots]
        self.priorities = reservoir.priorities[self.slots].copy()
        self._left_out = LeftOut.known(np.zeros((len(self.slots), 0)))
        if analytic is not None and len(self.slots) and (solved := analytic.solved) is not None:
            self._left_out = LeftOut(self._learnt(reservoir, solved))

    def _learnt(self, reservoir: Reservoir, solved: Solved) -> LearntRows:
        """The rows as the sums hold them, which is by the moments of when each was learnt."""
        times = reservoir.times[self.slots]
        weights = reservoir.weights_at(self.slots).astype(np.float64)
        rows, asked = self._inputs(reservoir.encoded_at(self.slots)), None
        others = np.flatnonzero(self._history.are_scaled_otherwise(times))
        if len(others):
            scale, asked, rows = self._history.scales_of_offers(times[others]), rows, rows.copy()
            encoded = reservoir.encoded_at(self.slots[others])
            rows[others] = self._inputs.standardised(encoded, scale.mean, scale.inverse_deviation)
        return LearntRows(solved=solved, rows=rows, classes=self.classes, weights=weights, asked=asked)

    def late_scores(self) -> Callable[[], Float64s]:
        """Works out what the analytic head of the last `settle` says of all rows, each left out; in any thread."""
        return self._left_out.late()

    def draw(self, num_fresh: int, reservoir: Reservoir, draws: np.random.Generator) -> Int64s:
        """Places among them, absent classes drawn by their absence; as many as absence asks for."""
        absence = self._attendance.absence
        self.owed += num_fresh * absence / (1 - absence)
        if num_fresh > LARGE_SLICE and self.owed < LEAST_TOP_UP:
            return self.slots[:0]
        count, self.owed = int(self.owed), self.owed % 1
        count = min(count, MOST_TOP_UP)
        if not count or not len(self.slots):
            return self.slots[:0]
        shares = self._attendance.absences[self.classes]
        shares = shares / np.maximum(np.bincount(self.classes)[self.classes], 1)
        cumulated = np.cumsum(shares)
        if cumulated[-1] <= 0:
            return self.slots[:0]
        places = np.searchsorted(cumulated, draws.random(count) * cumulated[-1], side="right")
        places = places.clip(0, len(shares) - 1)
        drawn: Int64s = places[self.are_still_held(places, reservoir)]
        return drawn

    def of_classes(self, labels: Int64s, reservoir: Reservoir) -> Int64s:
        """Places of all rows of these classes that are still held."""
        places = np.flatnonzero(np.isin(self.classes, labels))
        found: Int64s = places[self.are_still_held(places, reservoir)]
        return found

    def are_still_held(self, places: Int64s, reservoir: Reservoir) -> Bools:
        """False where another row has taken the slot, or the row has been set free."""
        priorities = self.priorities[places]
        there = reservoir.priorities[self.slots[places]] == priorities
        held: Bools = there & self._shelves.is_held(self.classes[places], priorities)
        return held

    def scores(self, answer: Answer, places: Int64s, reservoir: Reservoir, linear_of: LinearOf) -> Float64s:
        """[K, n, C]: as if no member had learnt these rows."""
        slots = self.slots[places]
        rows = self._inputs(reservoir.encoded_at(slots))
        scores = answer.scores(rows, linear_of(slots), self.priorities[places])
        if "analytic" in answer.members:
            known = self._left_out.num_classes
            scores[answer.members.index("analytic"), :, :known] = self._left_out.at(places)
        return scores

    def state(self) -> dict[str, Array]:
        """Copies; `owed` and `late_scores` are for the caller to keep."""
        return {
            "slots": self.slots.copy(),
            "classes": self.classes.copy(),
            "priorities": self.priorities.copy(),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self.slots = arrays["slots"].astype(np.int64)
        self.classes = arrays["classes"].astype(np.int64)
        self.priorities = arrays["priorities"].astype(np.uint64)
        self._left_out = LeftOut.known(arrays["scores"].astype(np.float64))
