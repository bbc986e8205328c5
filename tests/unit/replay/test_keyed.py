"""Uniform, by recency, a window: what is kept is a function of the set of events seen, with the chances promised."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gumbel_r

from kept_events import Event, admit, arrivals, kept, uniformity
from penstock.replay.choice import empty_policy
from penstock.replay.config import Policy, ReplayConfig
from penstock.replay.policy import EMPTY_SLOT, Arrivals, ReplayPolicy
from penstock.replay.priority import EventPriorities

HALF_LIFE = 30
KEYED: tuple[Policy, ...] = ("uniform", "recency", "window")

events = st.dictionaries(st.integers(0, 2**64 - 1), st.integers(0, 6), max_size=80).map(
    lambda classes: [(label, priority, time) for time, (priority, label) in enumerate(classes.items())]
)
policies = st.sampled_from(KEYED)
capacities = st.integers(0, 30)


def policy_of(name: Policy, capacity: int) -> ReplayPolicy:
    return empty_policy(ReplayConfig(policy=name, half_life_events=HALF_LIFE), capacity)


def rank(name: Policy, event: Event) -> float:
    """Straight from the definitions; the higher, the longer kept."""
    _, priority, learnt_at = event
    if name == "uniform":
        return -priority
    if name == "window":
        return learnt_at
    return math.log(2) / HALF_LIFE * learnt_at - math.log(-math.log(min((priority + 0.5) / 2**64, 1 - 2**-53)))


def kept_by_definition(name: Policy, seen: list[Event], capacity: int) -> set[int]:
    ranked = sorted(set(seen), key=lambda event: (rank(name, event), -event[1]), reverse=True)
    return {priority for _, priority, _ in ranked[:capacity]}


@given(name=policies, seen=events, capacity=capacities, batch=st.integers(1, 20), shuffle=st.randoms())
def test_the_kept_set_is_that_of_the_definition_in_any_order_and_any_batches(
    name: Policy, seen: list[Event], capacity: int, batch: int, shuffle: object
) -> None:
    expected = kept_by_definition(name, seen, capacity)
    shuffle.shuffle(seen)  # type: ignore[attr-defined]  # random.Random
    policy = policy_of(name, capacity)
    admit(policy, seen, batch)
    assert kept(policy) == expected


@given(name=policies, seen=events, capacity=capacities, again=st.data())
def test_a_redelivered_event_changes_nothing(
    name: Policy, seen: list[Event], capacity: int, again: st.DataObject
) -> None:
    redelivered = again.draw(st.lists(st.sampled_from(seen), max_size=60)) if seen else []
    policy, other = policy_of(name, capacity), policy_of(name, capacity)
    admit(policy, seen, 7)
    admit(other, seen + redelivered, 5)
    assert kept(other) == kept(policy)


@given(name=policies, seen=events, cut=st.integers(0, 80), overlap=st.integers(0, 20), capacity=capacities)
def test_two_reservoirs_merge_by_union_and_cut(
    name: Policy, seen: list[Event], cut: int, overlap: int, capacity: int
) -> None:
    one, two, merged = (policy_of(name, capacity) for _ in range(3))
    admit(one, seen[:cut], 8)
    admit(two, seen[max(0, cut - overlap) :], 8)
    admit(merged, [event for event in seen if event[1] in kept(one) | kept(two)], 8)
    assert kept(merged) == kept_by_definition(name, seen, capacity)


@given(name=policies, seen=events, capacity=capacities, cut=st.integers(0, 80))
def test_a_restored_policy_goes_on_as_if_never_stopped(
    name: Policy, seen: list[Event], capacity: int, cut: int
) -> None:
    policy, restored = policy_of(name, capacity), policy_of(name, capacity)
    admit(policy, seen[:cut], 6)
    slots = np.flatnonzero(policy.slot_classes != EMPTY_SLOT)
    by_priority = {event[1]: event for event in seen}
    held = [by_priority[priority] for priority in policy.slot_priorities[slots].tolist()]
    restored.restore(slots, arrivals(held), policy.state())
    for one in (policy, restored):
        admit(one, seen[cut:], 6)
    assert restored.slot_classes.tolist() == policy.slot_classes.tolist()
    assert restored.slot_priorities.tolist() == policy.slot_priorities.tolist()


@given(name=policies, seen=events, capacity=st.integers(1, 30), cut=st.integers(0, 80), which=st.data())
def test_removed_events_are_gone_and_their_slots_are_used_again(
    name: Policy, seen: list[Event], capacity: int, cut: int, which: st.DataObject
) -> None:
    policy = policy_of(name, capacity)
    admit(policy, seen[:cut], 6)
    used = np.flatnonzero(policy.slot_classes != EMPTY_SLOT)
    gone = np.array(which.draw(st.lists(st.sampled_from(used.tolist()), unique=True)) if len(used) else [], dtype=int)
    left = kept(policy) - set(policy.slot_priorities[gone].tolist())
    policy.remove(gone)
    assert kept(policy) == left
    admit(policy, seen[cut:], 6)
    offered = [event for event in seen if event[1] in left or event in seen[cut:]]
    assert kept(policy) == kept_by_definition(name, offered, capacity)


def kept_counts(name: Policy, trials: int, length: int, capacity: int) -> np.ndarray:
    """How often each position of a stream was kept, in so many streams of other topics."""
    counts = np.zeros(length)
    nothing, order = np.zeros(length, dtype=np.int32), np.arange(length)
    for trial in range(trials):
        priorities = EventPriorities(f"topic-{trial}").at(nothing, order, nothing)
        policy = policy_of(name, capacity)
        for start in range(0, length, 7):
            part = slice(start, start + 7)
            policy.admit(Arrivals(classes=order[part] % 3, priorities=priorities[part], times=order[part]))
        counts += np.isin(priorities, policy.slot_priorities)
    assert counts.sum() == trials * capacity
    return counts


def chances_by_recency(length: int, capacity: int) -> np.ndarray:
    """Each position's chance to be among the `capacity` highest of Gumbel variables with means λt, by integration:
    ∫ f_i(x) · P(fewer than `capacity` of the others exceed x) dx, the count of others a sum of Bernoulli variables.
    """
    means = math.log(2) / HALF_LIFE * np.arange(length)
    grid = np.linspace(-5, means[-1] + 25, 3000)
    exceeds = gumbel_r.sf(grid[:, None] - means)
    chances = np.empty(length)
    for position in range(length):
        counts = np.zeros((len(grid), capacity))
        counts[:, 0] = 1
        for other in range(length):
            if other != position:
                moved = counts[:, :-1] * exceeds[:, other : other + 1]
                counts *= 1 - exceeds[:, other : other + 1]
                counts[:, 1:] += moved
        chances[position] = np.trapezoid(gumbel_r.pdf(grid - means[position]) * counts.sum(axis=1), grid)
    return chances


def test_uniform_keeps_every_position_of_the_stream_with_the_same_chance() -> None:
    assert uniformity(kept_counts("uniform", 2000, 60, 20), 2000, 20 / 60) > 1e-3


def test_recency_keeps_every_position_with_the_chance_of_its_age() -> None:
    chances = chances_by_recency(60, 20)
    assert chances.sum() == pytest.approx(20, abs=1e-3)
    counts = kept_counts("recency", 2000, 60, 20)
    assert uniformity(counts, 2000, chances) > 1e-3
    assert uniformity(counts, 2000, 20 / 60) < 1e-9, "the test would not see that old events are kept too often"


def test_with_room_for_few_an_events_odds_halve_with_each_half_life() -> None:
    counts = kept_counts("recency", 6000, 61, 1)
    expected = 2.0 ** (np.arange(61) / HALF_LIFE)
    assert uniformity(counts, 6000, expected / expected.sum()) > 1e-3


def test_draws_from_a_window_reach_each_of_the_newest_positions_equally() -> None:
    """What a window keeps is certain; chance comes in with the draws: T of one row each, so p is 1 / capacity."""
    length, capacity, trials = 60, 20, 20_000
    policy = policy_of("window", capacity)
    order = np.arange(length)
    for start in range(0, length, 7):
        part = slice(start, start + 7)
        policy.admit(Arrivals(classes=order[part] % 3, priorities=order[part].astype(np.uint64), times=order[part]))
    slots = policy.slots_of(np.random.default_rng(0).integers(0, policy.num_rows, trials))
    drawn = np.bincount(policy.slot_priorities[slots].astype(np.int64), minlength=length)
    assert drawn[:40].sum() == 0
    assert uniformity(drawn[40:], trials, 1 / capacity) > 1e-3


def test_the_extreme_hashes_have_finite_keys() -> None:
    policy = policy_of("recency", 2)
    admit(policy, [(0, 0, 0), (1, 2**64 - 1, 1)], 2)
    assert kept(policy) == {0, 2**64 - 1}


@pytest.mark.parametrize("name", KEYED)
def test_a_full_reservoir_admits_a_batch_without_work_that_grows_with_its_capacity(name: Policy) -> None:
    generator = np.random.default_rng(0)
    policy = policy_of(name, 100_000)
    seconds = 0.0
    for number in range(600):
        offered = Arrivals(
            classes=generator.integers(0, 10, 256),
            priorities=generator.integers(0, 2**63, 256).astype(np.uint64),
            times=np.arange(number * 256, number * 256 + 256),
        )
        started = time.process_time()
        policy.admit(offered)
        seconds += (time.process_time() - started) if number >= 400 else 0.0
    assert seconds / 200 < 2e-3


def test_an_event_that_had_to_go_may_come_again_where_there_is_room() -> None:
    policy = policy_of("window", 2)
    seen = [(0, 10, 0), (0, 11, 1), (0, 12, 2)]
    admit(policy, seen, 1)
    policy.remove(np.arange(2))
    admit(policy, seen[:1], 1)
    assert kept(policy) == {10}
