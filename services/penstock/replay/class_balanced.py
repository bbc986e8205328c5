"""Which rows a class-balanced reservoir keeps: of each class those of lowest priority, as many of one as of another.

With n_c distinct events seen of class c, the quota q is the largest integer with Σ_c min(n_c, q) ≤ capacity, and the q
of lowest priority are kept of each class. So the kept rows are a function of the set of events alone (not of their
order, nor of redelivery), two reservoirs merge by union and cut, within a class every event is kept with the same
chance, full classes hold equally many, and a class that never exceeded the quota is stored whole. With more classes
than slots, one row each is kept of the classes whose lowest priority is lowest.

The quota only falls as events come, so a row once dropped is never wanted again, and kept rows plus quota are all the
state there is. Only a removal raises it: the room goes to what comes after.
"""

import heapq
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from penstock.replay.policy import EMPTY_SLOT, NO_CHANGE, Arrivals, Int64s, Plan, UInt64s

_HIGHEST = np.uint64(2**64 - 1)


def largest_quota(counts: Int64s, capacity: int, at_most: int) -> int:
    """The largest q ≤ `at_most` with Σ min(counts, q) ≤ `capacity`; 0 with more classes than slots.

    The sum is the least of `prefix_j + (C − j)·q` over the number j of smallest classes taken whole.
    """
    if int(np.minimum(counts, at_most).sum()) <= capacity:
        return at_most
    ascending = np.sort(counts[counts > 0])
    taken_whole = np.concatenate(([0], np.cumsum(ascending[:-1])))
    shares = (capacity - taken_whole) // np.arange(len(ascending), 0, -1)
    return max(0, int(shares.max()))


class ClassBalancedPolicy:
    """Decides; holds priorities and classes by slot, and none of the rows."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.quota = capacity
        self.slot_classes: Int64s = np.full(capacity, EMPTY_SLOT, dtype=np.int64)
        self.slot_priorities: UInt64s = np.zeros(capacity, dtype=np.uint64)
        self._slot_of: dict[int, int] = {}
        self._worst_first: list[list[int]] = []  # per class a heap of its kept priorities, negated
        self._ceilings: UInt64s = np.empty(0, dtype=np.uint64)  # per class, what a row must not exceed to enter
        self._counts: Int64s = np.empty(0, dtype=np.int64)
        self._holes: list[int] = []  # a heap of the empty slots below `_top`
        self._top = 0

    @property
    def num_rows(self) -> int:
        """Slots in use."""
        return self._top - len(self._holes)

    def slots_of(self, positions: Int64s) -> Int64s:
        """The slots in use at `positions` (each below `num_rows`), counted in ascending order of slots."""
        if not self._holes:
            return positions
        used: Int64s = np.flatnonzero(self.slot_classes[: self._top] != EMPTY_SLOT)
        return used[positions]

    def admit(self, arrivals: Arrivals) -> Plan:
        """Decide on a batch, whatever its times. A row that is kept already is passed over."""
        if self.capacity == 0 or len(arrivals) == 0:
            return NO_CHANGE
        classes, priorities = arrivals.classes, arrivals.priorities
        self._know_classes(int(classes.max()) + 1)
        candidates = (priorities <= self._ceilings[classes]).nonzero()[0]
        if len(candidates) == 0:
            return NO_CHANGE
        replaced, waiting = self._replace(candidates, classes, priorities)
        emptied = self._make_room(waiting, classes) if waiting else []
        return self._place(replaced, waiting, emptied, classes, priorities)

    def remove(self, slots: Int64s) -> None:
        """Forget what is kept in `slots` [k], all in use; time grows with the rows of their classes."""
        gone = set(self.slot_priorities[slots].tolist())
        for label in np.unique(self.slot_classes[slots]).tolist():
            left = [negated for negated in self._worst_first[label] if -negated not in gone]
            heapq.heapify(left)
            self._worst_first[label] = left
            self._counts[label] = len(left)
        for priority in gone:
            heapq.heappush(self._holes, self._slot_of.pop(priority))
        self.slot_classes[slots] = EMPTY_SLOT
        self.quota = largest_quota(self._counts, self.capacity, self.capacity)
        self._set_ceilings(range(len(self._worst_first)))

    def holds(self, priorities: UInt64s) -> npt.NDArray[np.bool_]:
        """[n]: which events of these priorities are kept."""
        return np.array([priority in self._slot_of for priority in priorities.tolist()], dtype=np.bool_)

    def state(self) -> Mapping[str, int]:
        """The quota."""
        return {"quota": self.quota}

    def restore(self, slots: Int64s, kept: Arrivals, state: Mapping[str, int]) -> None:
        """Become, from empty, the policy of this quota that keeps `kept` [k] in `slots` [k]."""
        self.quota = state["quota"]
        self.slot_classes[slots] = kept.classes
        self.slot_priorities[slots] = kept.priorities
        self._top = int(slots.max(initial=-1)) + 1
        self._holes = np.flatnonzero(self.slot_classes[: self._top] == EMPTY_SLOT).tolist()
        self._know_classes(int(kept.classes.max(initial=-1)) + 1)
        self._slot_of = dict(zip(kept.priorities.tolist(), slots.tolist(), strict=True))
        for priority, label in zip(kept.priorities.tolist(), kept.classes.tolist(), strict=True):
            self._worst_first[label].append(-priority)
        for label, heap in enumerate(self._worst_first):
            heapq.heapify(heap)
            self._counts[label] = len(heap)
        self._set_ceilings(range(len(self._worst_first)))

    def _know_classes(self, num_classes: int) -> None:
        missing = num_classes - len(self._worst_first)
        if missing > 0:
            self._worst_first.extend([] for _ in range(missing))
            self._counts = np.concatenate((self._counts, np.zeros(missing, dtype=np.int64)))
            self._ceilings = np.concatenate((self._ceilings, np.full(missing, _HIGHEST)))

    def _replace(
        self, candidates: Int64s, classes: Int64s, priorities: UInt64s
    ) -> tuple[dict[int, int], dict[int, int]]:
        """Put candidates of full classes in the place of their worst rows.

        Returns the batch row by slot, and the batch row by priority of what belongs to classes with room.
        """
        replaced: dict[int, int] = {}
        waiting: dict[int, int] = {}
        changed: set[int] = set()
        full_at, slot_of, heaps = max(self.quota, 1), self._slot_of, self._worst_first
        rows = zip(candidates.tolist(), classes[candidates].tolist(), priorities[candidates].tolist(), strict=True)
        for row, label, priority in rows:
            if priority in slot_of or priority in waiting:
                continue
            heap = heaps[label]
            if len(heap) < full_at:
                waiting[priority] = row
            elif priority < -heap[0]:
                slot_of[priority] = slot = slot_of.pop(-heapq.heapreplace(heap, -priority))
                replaced[slot] = row
                changed.add(label)
        if replaced:
            self._set_ceilings(changed)
        return replaced, waiting

    def _make_room(self, waiting: dict[int, int], classes: Int64s) -> list[int]:
        """Let rows in, then cut every class to the quota; returns the slots emptied, removes from `waiting`."""
        for priority, row in waiting.items():
            heapq.heappush(self._worst_first[classes[row]], -priority)
        self._counts += np.bincount(classes[list(waiting.values())], minlength=len(self._counts))
        quota = largest_quota(self._counts, self.capacity, self.quota)
        at_most = max(quota, 1)
        entered = {int(classes[row]) for row in waiting.values()}
        dropped: list[int] = []
        for label in np.flatnonzero(self._counts > at_most).tolist():
            heap = self._worst_first[label]
            dropped.extend(-heapq.heappop(heap) for _ in range(len(heap) - at_most))
        np.minimum(self._counts, at_most, out=self._counts)
        if quota == 0:
            dropped.extend(self._drop_whole_classes())
        all_may_differ = quota < self.quota
        self.quota = quota
        self._set_ceilings(np.flatnonzero(self._counts >= at_most).tolist() if all_may_differ else entered)
        return [self._slot_of.pop(priority) for priority in dropped if waiting.pop(priority, None) is None]

    def _drop_whole_classes(self) -> list[int]:
        """With more classes than slots and one row each left: the rows of highest priority, until the rest fit."""
        heads = sorted((heap[0], label) for label, heap in enumerate(self._worst_first) if heap)
        excess = heads[: max(0, len(heads) - self.capacity)]
        for _, label in excess:
            self._worst_first[label].clear()
            self._counts[label] = 0
            self._ceilings[label] = _HIGHEST
        return [-negated for negated, _ in excess]

    def _set_ceilings(self, labels: Iterable[int]) -> None:
        for label in labels:
            heap = self._worst_first[label]
            full = len(heap) >= max(self.quota, 1)
            self._ceilings[label] = -heap[0] if full else _HIGHEST

    def _place(
        self,
        replaced: dict[int, int],
        waiting: dict[int, int],
        emptied: list[int],
        classes: Int64s,
        priorities: UInt64s,
    ) -> Plan:
        """Give every waiting row the lowest empty slot, and note all that changed."""
        if not replaced and not waiting and not emptied:
            return NO_CHANGE
        chosen = dict(replaced)
        for slot in emptied:
            heapq.heappush(self._holes, slot)
            chosen.pop(slot, None)
        for priority, row in waiting.items():
            slot = heapq.heappop(self._holes) if self._holes else self._next_unused()
            self._slot_of[priority] = slot
            chosen[slot] = row
        freed = np.array([slot for slot in emptied if slot not in chosen], dtype=np.int64)
        slots, rows = np.array(list(chosen), dtype=np.int64), np.array(list(chosen.values()), dtype=np.int64)
        self.slot_classes[freed] = EMPTY_SLOT
        self.slot_classes[slots] = classes[rows]
        self.slot_priorities[slots] = priorities[rows]
        return Plan(rows=rows, slots=slots, freed=freed)

    def _next_unused(self) -> int:
        self._top += 1
        return self._top - 1
