"""Replay policies as tests use them: events offered in batches, and what is kept in the end."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2

from penstock.replay.policy import EMPTY_SLOT, Arrivals, ReplayPolicy

Event = tuple[int, int, int]
"""Class, priority, time; an event's class and time never change."""


def arrivals(events: Sequence[Event]) -> Arrivals:
    """The events as one batch."""
    classes, priorities, times = zip(*events, strict=True) if events else ((), (), ())
    return Arrivals(
        classes=np.array(classes, dtype=np.int64),
        priorities=np.array(priorities, dtype=np.uint64),
        times=np.array(times, dtype=np.int64),
    )


def kept_in_slots(policy: ReplayPolicy) -> list[tuple[int, int]]:
    """Class and priority by slot in use."""
    used = policy.slot_classes != EMPTY_SLOT
    return list(zip(policy.slot_classes[used].tolist(), policy.slot_priorities[used].tolist(), strict=True))


def kept(policy: ReplayPolicy) -> set[int]:
    """The priorities of what is kept."""
    return {priority for _, priority in kept_in_slots(policy)}


def admit(policy: ReplayPolicy, events: Sequence[Event], batch: int) -> None:
    """Offer in batches, and check that a container that follows the plans holds what the policy believes."""
    used = np.flatnonzero(policy.slot_classes != EMPTY_SLOT).tolist()
    slots = dict(zip(used, kept_in_slots(policy), strict=True))
    for start in range(0, len(events), batch):
        part = events[start : start + batch]
        plan = policy.admit(arrivals(part))
        assert len(set(plan.slots.tolist())) == len(plan.slots)
        assert not set(plan.slots.tolist()) & set(plan.freed.tolist())
        for slot in plan.freed.tolist():
            del slots[slot]
        for row, slot in zip(plan.rows.tolist(), plan.slots.tolist(), strict=True):
            slots[slot] = part[row][:2]
        assert [slots[slot] for slot in sorted(slots)] == kept_in_slots(policy)
        assert policy.num_rows == len(slots)
        assert policy.slots_of(np.arange(len(slots))).tolist() == sorted(slots)


def uniformity(kept_counts: np.ndarray, trials: int, chances: np.ndarray | float) -> float:
    """p-value of (N − 1)/N · Σ (O − Tp)² / (Tp(1 − p)) against χ² with N − 1 degrees of freedom, by position."""
    count = len(kept_counts)
    squares = np.square(kept_counts - trials * chances) / (trials * chances * (1 - np.asarray(chances)))
    return float(chi2.sf((count - 1) / count * squares.sum(), count - 1))
