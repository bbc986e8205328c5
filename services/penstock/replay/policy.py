"""What a replay policy is: it decides which events a reservoir keeps, and in which slot; a container stores them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

EMPTY_SLOT = -1
_NOTHING: Int64s = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """A batch of n events, each array [n].

    `priorities` are the hashes, which also tell one event from another; `times` are places in the order of learning,
    counted from 0.
    """

    classes: Int64s
    priorities: UInt64s
    times: Int64s

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a container must do: put the batch's `rows` [k] into `slots` [k], and forget what is in `freed` [j]."""

    rows: Int64s
    slots: Int64s
    freed: Int64s


NO_CHANGE = Plan(rows=_NOTHING, slots=_NOTHING, freed=_NOTHING)


class ReplayPolicy(Protocol):
    """Which events are kept, of all that were admitted; a function of those events, and of nothing random.

    `slot_classes` int64 [capacity] is `EMPTY_SLOT` where nothing is kept; `slot_priorities` uint64 [capacity].
    """

    slot_classes: Int64s
    slot_priorities: UInt64s

    @property
    def capacity(self) -> int:
        """Slots there are."""
        ...

    @property
    def num_rows(self) -> int:
        """Slots in use."""
        ...

    def admit(self, arrivals: Arrivals) -> Plan:
        """Decide on a batch. An event that is kept already is passed over."""
        ...

    def remove(self, slots: Int64s) -> None:
        """Forget what is kept in `slots` [k], all in use; the container does the same."""
        ...

    def slots_of(self, positions: Int64s) -> Int64s:
        """The slots in use at `positions` (each below `num_rows`), counted in ascending order of slots."""
        ...

    def holds(self, priorities: UInt64s) -> npt.NDArray[np.bool_]:
        """[n]: which events of these priorities are kept; takes as long as there are events, not slots."""
        ...

    def state(self) -> Mapping[str, int]:
        """What `restore` needs beside the kept events."""
        ...

    def restore(self, slots: Int64s, kept: Arrivals, state: Mapping[str, int]) -> None:
        """Become, from empty, the policy of this `state` that keeps `kept` [k] in `slots` [k]."""
        ...
