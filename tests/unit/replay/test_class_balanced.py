"""What the reservoir keeps is a function of the set of events seen, class-balanced, and uniform within a class."""

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kept_events import admit, arrivals, kept_in_slots, uniformity
from penstock.replay.class_balanced import ClassBalancedPolicy, largest_quota
from penstock.replay.policy import EMPTY_SLOT, Arrivals, Plan
from penstock.replay.priority import EventPriorities

Labelled = tuple[int, int]
"""Class, priority; an event's class never changes."""

events = st.dictionaries(st.integers(0, 2**64 - 1), st.integers(0, 6), max_size=80).map(
    lambda classes: [(label, priority) for priority, label in classes.items()]
)
capacities = st.integers(0, 30)


def kept_by_definition(seen: list[Labelled], capacity: int) -> set[Labelled]:
    """Straight from the definition, by trying every quota."""
    by_class: dict[int, list[int]] = {}
    for label, priority in set(seen):
        by_class.setdefault(label, []).append(priority)
    quotas = [q for q in range(capacity + 1) if sum(min(len(p), q) for p in by_class.values()) <= capacity]
    quota = max(quotas)
    if quota == 0:
        heads = sorted((min(priorities), label) for label, priorities in by_class.items())
        return {(label, priority) for priority, label in heads[:capacity]}
    return {(label, p) for label, priorities in by_class.items() for p in sorted(priorities)[:quota]}


def admitted(policy: ClassBalancedPolicy, seen: list[Labelled], batch: int) -> None:
    """Times are of no matter."""
    admit(policy, [(label, priority, 0) for label, priority in seen], batch)


def admit_arrays(policy: ClassBalancedPolicy, classes: np.ndarray, priorities: np.ndarray) -> Plan:
    times = np.zeros(len(classes), dtype=np.int64)
    return policy.admit(Arrivals(classes=classes, priorities=priorities.astype(np.uint64), times=times))


def kept(policy: ClassBalancedPolicy) -> set[Labelled]:
    return set(kept_in_slots(policy))


@given(seen=events, capacity=capacities, batch=st.integers(1, 20), shuffle=st.randoms())
def test_the_kept_set_is_that_of_the_definition_in_any_order_and_any_batches(
    seen: list[Labelled], capacity: int, batch: int, shuffle: object
) -> None:
    shuffle.shuffle(seen)  # type: ignore[attr-defined]  # random.Random
    policy = ClassBalancedPolicy(capacity)
    admitted(policy, seen, batch)
    assert kept(policy) == (kept_by_definition(seen, capacity) if seen else set())


@given(seen=events, capacity=capacities, again=st.data())
def test_a_redelivered_event_changes_nothing(seen: list[Labelled], capacity: int, again: st.DataObject) -> None:
    redelivered = again.draw(st.lists(st.sampled_from(seen), max_size=60)) if seen else []
    policy, other = ClassBalancedPolicy(capacity), ClassBalancedPolicy(capacity)
    admitted(policy, seen, 7)
    admitted(other, seen + redelivered, 5)
    assert kept(other) == kept(policy)
    assert other.quota == policy.quota


@given(first=events, second=events, capacity=capacities)
def test_two_reservoirs_merge_by_union_and_cut(first: list[Labelled], second: list[Labelled], capacity: int) -> None:
    known = {priority: label for label, priority in first}
    second = [(known.get(priority, label), priority) for label, priority in second]
    one, two, merged = (ClassBalancedPolicy(capacity) for _ in range(3))
    admitted(one, first, 8)
    admitted(two, second, 8)
    merged.quota = min(one.quota, two.quota)
    admitted(merged, sorted(kept(one) | kept(two)), 8)
    assert kept(merged) == (kept_by_definition(first + second, capacity) if first + second else set())


@given(seen=events, capacity=capacities, cut=st.integers(0, 80))
def test_a_restored_policy_goes_on_as_if_never_stopped(seen: list[Labelled], capacity: int, cut: int) -> None:
    policy = ClassBalancedPolicy(capacity)
    admitted(policy, seen[:cut], 6)
    slots = np.flatnonzero(policy.slot_classes != EMPTY_SLOT)
    restored = ClassBalancedPolicy(capacity)
    held = [(label, priority, 0) for label, priority in kept_in_slots(policy)]
    restored.restore(slots, arrivals(held), policy.state())
    for one in (policy, restored):
        admitted(one, seen[cut:], 6)
    assert restored.slot_classes.tolist() == policy.slot_classes.tolist()
    assert kept_in_slots(restored) == kept_in_slots(policy)


@given(counts=st.lists(st.integers(0, 40), min_size=1, max_size=12), capacity=st.integers(1, 100))
def test_the_quota_is_the_largest_that_fits(counts: list[int], capacity: int) -> None:
    quota = largest_quota(np.array(counts, dtype=np.int64), capacity, capacity)
    assert sum(min(count, quota) for count in counts) <= capacity
    if quota < capacity:
        assert sum(min(count, quota + 1) for count in counts) > capacity


def test_full_classes_hold_equally_many_and_small_ones_are_stored_whole() -> None:
    generator = np.random.default_rng(3)
    classes = generator.choice(8, size=4000, p=np.array([64, 32, 16, 8, 4, 2, 1, 1]) / 128)
    priorities = generator.integers(0, 2**63, size=4000).astype(np.uint64)
    policy = ClassBalancedPolicy(300)
    for start in range(0, 4000, 32):
        admit_arrays(policy, classes[start : start + 32].astype(np.int64), priorities[start : start + 32])
    held = Counter(label for label, _ in kept(policy))
    seen = Counter(classes.tolist())
    full = [held[label] for label in seen if held[label] < seen[label]]
    assert max(full) - min(full) <= 1
    assert all(held[label] == min(seen[label], policy.quota) for label in seen)
    assert 300 - policy.num_rows < len(full)


def test_a_thousand_classes_in_one_batch_fit_into_fewer_slots() -> None:
    policy = ClassBalancedPolicy(200)
    priorities = np.random.default_rng(0).permutation(1000).astype(np.uint64)
    admit_arrays(policy, np.arange(1000), priorities)
    assert sorted(priority for _, priority in kept(policy)) == list(range(200))


def test_every_position_of_the_stream_is_kept_with_the_same_chance() -> None:
    trials, length, capacity = 2000, 60, 20
    positions = np.zeros(length)
    partitions, rows = np.zeros(length, dtype=np.int32), np.zeros(length, dtype=np.int32)
    for trial in range(trials):
        priorities = EventPriorities(f"topic-{trial}").at(partitions, np.arange(length), rows)
        policy = ClassBalancedPolicy(capacity)
        for start in range(0, length, 7):
            part = priorities[start : start + 7]
            admit_arrays(policy, np.zeros(len(part), dtype=np.int64), part)
        positions += np.isin(priorities, policy.slot_priorities)
    assert positions.sum() == trials * capacity
    assert uniformity(positions, trials, capacity / length) > 1e-3


def test_the_uniformity_test_finds_a_reservoir_off_by_one() -> None:
    """Algorithm R that draws from one place too few keeps late rows too often."""
    generator = np.random.default_rng(0)
    trials, length, capacity = 4000, 12, 4
    positions = np.zeros(length)
    for _ in range(trials):
        slots = list(range(capacity))
        for position in range(capacity, length):
            drawn = int(generator.integers(0, position))
            if drawn < capacity:
                slots[drawn] = position
        positions[slots] += 1
    assert uniformity(positions, trials, capacity / length) < 1e-3


def test_a_reservoir_without_room_keeps_nothing() -> None:
    policy = ClassBalancedPolicy(0)
    plan = admit_arrays(policy, np.zeros(3, dtype=np.int64), np.arange(3))
    assert (len(plan.rows), len(plan.slots), len(plan.freed), policy.num_rows) == (0, 0, 0, 0)


@pytest.mark.parametrize("batch", [1, 32])
def test_a_full_reservoir_of_ten_thousand_rows_admits_in_few_operations(batch: int) -> None:
    """In the steady state nothing that grows with the capacity runs: 2,000 batches in far below a second."""
    generator = np.random.default_rng(0)
    policy = ClassBalancedPolicy(10_000)
    for _ in range(400):
        admit_arrays(policy, generator.integers(0, 10, 256), generator.integers(0, 2**63, 256))
    offered = [
        (generator.integers(0, 10, batch), generator.integers(0, 2**63, batch).astype(np.uint64)) for _ in range(2000)
    ]
    started = time.process_time()
    for classes, priorities in offered:
        admit_arrays(policy, classes, priorities)
    assert (time.process_time() - started) / 2000 < 500e-6


@given(seen=events, capacity=st.integers(1, 30), cut=st.integers(0, 80), which=st.data())
def test_removed_rows_are_gone_and_their_room_is_given_to_what_comes_after(
    seen: list[Labelled], capacity: int, cut: int, which: st.DataObject
) -> None:
    policy = ClassBalancedPolicy(capacity)
    admitted(policy, seen[:cut], 6)
    before = kept(policy)
    used = np.flatnonzero(policy.slot_classes != EMPTY_SLOT)
    gone = np.array(which.draw(st.lists(st.sampled_from(used.tolist()), unique=True)) if len(used) else [], dtype=int)
    removed = {(policy.slot_classes[slot], policy.slot_priorities[slot]) for slot in gone}
    policy.remove(gone)
    assert kept(policy) == before - removed
    admitted(policy, seen[cut:], 6)
    offered = [event for event in seen if event in before - removed or event in seen[cut:]]
    assert kept(policy) == (kept_by_definition(offered, capacity) if offered else set())


def test_after_a_class_is_removed_the_others_may_fill_the_reservoir() -> None:
    generator = np.random.default_rng(0)
    policy = ClassBalancedPolicy(100)
    admit_arrays(policy, generator.integers(0, 2, 400), generator.integers(0, 2**63, 400))
    policy.remove(np.flatnonzero(policy.slot_classes == 0))
    admit_arrays(policy, np.ones(400, dtype=np.int64), generator.integers(0, 2**63, 400))
    assert policy.num_rows == 100
