"""Policies that keep the events of highest key: what the key is makes the policy."""

import heapq
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from penstock.replay.policy import EMPTY_SLOT, NO_CHANGE, Arrivals, Int64s, Plan, UInt64s


class Key(Protocol):
    """An event's rank, a pure function of its priority and its time."""

    def of(self, arrivals: Arrivals) -> npt.NDArray[Any]:
        """Keys [n] of one numeric type; the higher, the longer kept."""
        ...


class KeyedPolicy:
    """Keeps the `capacity` events of highest key, among equal ones those of lowest priority.

    So the kept set is a function of the set of events alone, not of their order nor of redelivery, and two reservoirs
    merge by union and cut.
    """

    def __init__(self, capacity: int, key: Key) -> None:
        self.capacity = capacity
        self.slot_classes: Int64s = np.full(capacity, EMPTY_SLOT, dtype=np.int64)
        self.slot_priorities: UInt64s = np.zeros(capacity, dtype=np.uint64)
        self._key = key
        self._worst_first: list[tuple[Any, int, int]] = []  # a heap of (key, −priority, slot)
        self._kept: set[int] = set()
        self._empty: list[int] = list(range(capacity))  # a heap

    @property
    def num_rows(self) -> int:
        """Slots in use."""
        return len(self._worst_first)

    def slots_of(self, positions: Int64s) -> Int64s:
        """The slots in use at `positions` (each below `num_rows`), counted in ascending order of slots."""
        if not self._empty or self._empty[0] == self.num_rows:
            return positions
        return np.flatnonzero(self.slot_classes != EMPTY_SLOT)[positions]

    def admit(self, arrivals: Arrivals) -> Plan:
        """Decide on a batch. An event that is kept already is passed over."""
        if self.capacity == 0 or len(arrivals) == 0:
            return NO_CHANGE
        keys = self._key.of(arrivals)
        candidates = np.arange(len(keys)) if self._empty else np.flatnonzero(keys >= self._worst_first[0][0])
        if len(candidates) == 0:
            return NO_CHANGE
        chosen = self._choose(candidates, keys, arrivals.priorities)
        slots, rows = np.array(list(chosen), dtype=np.int64), np.array(list(chosen.values()), dtype=np.int64)
        self.slot_classes[slots] = arrivals.classes[rows]
        self.slot_priorities[slots] = arrivals.priorities[rows]
        return Plan(rows=rows, slots=slots, freed=NO_CHANGE.freed)

    def remove(self, slots: Int64s) -> None:
        """Forget what is kept in `slots` [k], all in use; time grows with the capacity."""
        gone = set(slots.tolist())
        self._kept.difference_update(self.slot_priorities[slots].tolist())
        self._worst_first = [entry for entry in self._worst_first if entry[2] not in gone]
        heapq.heapify(self._worst_first)
        for slot in gone:
            heapq.heappush(self._empty, slot)
        self.slot_classes[slots] = EMPTY_SLOT

    def holds(self, priorities: UInt64s) -> npt.NDArray[np.bool_]:
        """[n]: which events of these priorities are kept."""
        return np.array([priority in self._kept for priority in priorities.tolist()], dtype=np.bool_)

    def state(self) -> Mapping[str, int]:
        """The kept events are all there is."""
        return {}

    def restore(self, slots: Int64s, kept: Arrivals, state: Mapping[str, int]) -> None:
        """Become, from empty, the policy that keeps `kept` [k] in `slots` [k]."""
        self.slot_classes[slots] = kept.classes
        self.slot_priorities[slots] = kept.priorities
        entries = zip(self._key.of(kept).tolist(), kept.priorities.tolist(), slots.tolist(), strict=True)
        self._worst_first = [(key, -priority, slot) for key, priority, slot in entries]
        heapq.heapify(self._worst_first)
        self._kept = set(kept.priorities.tolist())
        self._empty = np.flatnonzero(self.slot_classes == EMPTY_SLOT).tolist()

    def _choose(self, candidates: Int64s, keys: npt.NDArray[Any], priorities: UInt64s) -> dict[int, int]:
        """The batch row by slot."""
        chosen: dict[int, int] = {}
        rows = zip(candidates.tolist(), keys[candidates].tolist(), priorities[candidates].tolist(), strict=True)
        for row, key, priority in rows:
            if priority in self._kept:
                continue
            if self._empty:
                slot = heapq.heappop(self._empty)
                heapq.heappush(self._worst_first, (key, -priority, slot))
            elif (key, -priority) > self._worst_first[0][:2]:
                slot = self._worst_first[0][2]
                _, negated, _ = heapq.heapreplace(self._worst_first, (key, -priority, slot))
                self._kept.discard(-negated)
            else:
                continue
            self._kept.add(priority)
            chosen[slot] = row
        return chosen
