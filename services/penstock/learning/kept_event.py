"""The row that is kept of an event, for replay or among the newest."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.learning.parts import LearnerParts
from penstock.learning.retraction_targets import Target, refused
from penstock.learning.train_rows import TrainRows

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """In which slot of the reservoir and at which place in the window it is, none or one each, and what it says."""

    slots: Int64s
    places: Int64s
    priority: int
    time: int
    """When it was offered to the reservoir."""
    weight: float


def kept_of(parts: LearnerParts, target: Target, row: TrainRows) -> Kept | None:
    """The row of an event with the features and label of `row` [1]; None where none is kept.

    Raises:
        InvalidEventError: what is kept of the target has others.
    """
    reservoir, window = parts.reservoir, parts.window
    priority = _twin(parts, row) if target.priority is None else np.uint64(target.priority)
    if priority is None:
        return None
    newest = window.newest(len(window))
    slots = np.flatnonzero((reservoir.slot_classes >= 0) & (reservoir.priorities == priority))
    places = newest[window.priorities[newest] == priority]
    times = np.concatenate((reservoir.times[slots], window.times[places]))
    if not len(times):
        return None
    rows = reservoir.at(slots) if len(slots) else window.rows.at(places)
    if rows.classes[0] != row.classes[0] or not _is_same(rows, row)[0]:
        raise refused(f"The event {target.name} had other features or another label than are given here.")
    return Kept(
        slots=slots,
        places=places,
        priority=int(priority),
        time=int(times.max()),  # the later of two: since then the sums were built anew
        weight=float(rows.weights[0]),
    )


def _twin(parts: LearnerParts, row: TrainRows) -> np.uint64 | None:
    """The priority of a kept row with these features and this label, and with this weight if there is one."""
    reservoir, window = parts.reservoir, parts.window
    newest = window.newest(len(window))
    slots = np.flatnonzero(reservoir.slot_classes == row.classes[0])
    slots = slots[_is_same(reservoir.at(slots), row)]
    places = newest[window.rows.classes[newest] == row.classes[0]]
    places = places[_is_same(window.rows.at(places), row)]
    priorities = np.concatenate((reservoir.priorities[slots], window.priorities[places]))
    weights = np.concatenate((reservoir.weights_at(slots), window.rows.weights[places]))
    if (weights == row.weights[0]).any():
        priorities = priorities[weights == row.weights[0]]
    # Which of equals goes does not matter, only that it is always the same one.
    return np.uint64(priorities.max()) if len(priorities) else None


def _is_same(rows: TrainRows, row: TrainRows) -> npt.NDArray[np.bool_]:
    """[n]: which of `rows` have the features of `row` [1], to the bit."""
    same = (rows.dense == row.dense).all(dim=1) & (rows.tokens == row.tokens).all(dim=1)
    found: npt.NDArray[np.bool_] = same.cpu().numpy()
    return found
