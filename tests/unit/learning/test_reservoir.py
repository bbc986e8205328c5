"""The reservoir stores what the policy keeps, and its captures say what changed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from penstock.flow import SlotChanges
from penstock.learning.regularisers.remembered import largest
from penstock.learning.reservoir import Reservoir
from penstock.learning.train_rows import RowForm, TrainRows
from penstock.replay.config import Policy, ReplayConfig
from penstock.replay.priority import EventPriorities

CPU = torch.device("cpu")
WIDTH, TOKENS = 3, 2
POLICIES: tuple[Policy, ...] = ("class_balanced", "uniform", "recency", "window")


def reservoir_of(capacity: int, policy: Policy = "class_balanced", *, remembers_logits: bool = False) -> Reservoir:
    config = ReplayConfig(capacity=capacity, policy=policy, half_life_events=50)
    form = RowForm(dense_width=WIDTH, tokens_width=TOKENS, device=CPU, remembers_logits=remembers_logits)
    return Reservoir(config, form)


def class_of(events: np.ndarray) -> np.ndarray:
    """Mixed, and new ones all along, ever more seldom."""
    classes: np.ndarray = np.floor(np.sqrt(events * 31 % (10 + events))).astype(np.int64)
    return classes


def priority_of(events: np.ndarray) -> np.ndarray:
    nothing = np.zeros(len(events), dtype=np.int32)
    return EventPriorities("m.labels").at(nothing, events, nothing)


def offer(reservoir: Reservoir, first: int, count: int) -> None:
    """Rows of which every column tells which event they are."""
    events = np.arange(first, first + count)
    rows = TrainRows(
        dense=torch.from_numpy(events).float()[:, None].repeat(1, WIDTH),
        tokens=torch.from_numpy(events).int()[:, None].repeat(1, TOKENS),
        classes=class_of(events),
        weights=events.astype(np.float32),
        remembered=largest(torch.from_numpy(events).float()[:, None].repeat(1, 3)),
    )
    reservoir.add(rows, priority_of(events))


def applied(captures: list[SlotChanges]) -> dict[int, tuple[float, ...]]:
    """Slot to (event, class, priority), by overwriting as the disk does."""
    slots: dict[int, tuple[float, ...]] = {}
    for capture in captures:
        if capture.full:
            slots = {}
        columns = capture.columns
        for place, slot in enumerate(capture.slots.tolist()):
            event, label = float(columns["weight"][place]), int(columns["class_index"][place])
            slots.pop(slot, None)
            if label >= 0:
                assert columns["dense"][place].tolist() == [event] * WIDTH
                assert columns["tokens"][place].tolist() == [event] * TOKENS
                assert label == class_of(np.array([int(event)]))[0]
                assert columns["priority"][place] == priority_of(np.array([int(event)]))[0]
                slots[slot] = (event, label, int(columns["priority"][place]))
    return slots


@given(
    capacity=st.integers(0, 25),
    batches=st.lists(st.tuples(st.integers(1, 20), st.sampled_from(["nothing", "changes", "full"])), max_size=12),
)
def test_changes_since_the_last_capture_add_up_to_a_full_one(capacity: int, batches: list[tuple[int, str]]) -> None:
    reservoir = reservoir_of(capacity)
    captures, first = [reservoir.capture(full=True)], 0
    for count, capture in batches:
        offer(reservoir, first, count)
        first += count
        if capture != "nothing":
            captures.append(reservoir.capture(full=capture == "full"))
    captures.append(reservoir.capture(full=False))
    assert applied(captures) == applied([reservoir.capture(full=True)])
    assert len(applied(captures)) == len(reservoir)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_row_lands_in_the_slot_named_for_it(count: int) -> None:
    """Small batches, of which now and then every row enters, and not in the batch's order."""
    reservoir = reservoir_of(12)
    for first in range(0, 300, count):
        offer(reservoir, first, count)
        applied([reservoir.capture(full=True)])


def test_a_capture_lists_only_what_changed() -> None:
    reservoir = reservoir_of(100)
    offer(reservoir, 0, 30)
    assert len(reservoir.capture(full=False).slots) == 30
    assert len(reservoir.capture(full=False).slots) == 0
    offer(reservoir, 30, 5)
    assert len(reservoir.capture(full=False).slots) == 5


def test_a_capture_is_a_copy() -> None:
    reservoir = reservoir_of(4)
    offer(reservoir, 0, 4)
    capture = reservoir.capture(full=True)
    before = {name: column.copy() for name, column in capture.columns.items()}
    offer(reservoir, 4, 400)
    assert all(np.array_equal(column, before[name]) for name, column in capture.columns.items())


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("capacity", [1, 7, 50])
def test_a_restored_reservoir_draws_the_same_rows(policy: Policy, capacity: int) -> None:
    reservoir, restored = (reservoir_of(capacity, policy) for _ in range(2))
    for number in range(9):
        offer(reservoir, 11 * number, 11)
    restored.restore(reservoir.capture(full=True), reservoir.state())
    for number in range(9, 12):
        draws = [one.draw(64, np.random.default_rng(number)) for one in (reservoir, restored)]
        assert torch.equal(draws[0].dense, draws[1].dense)
        assert draws[0].classes.tolist() == draws[1].classes.tolist()
        assert draws[0].weights.tolist() == draws[1].weights.tolist()
        for one in (reservoir, restored):
            offer(one, 11 * number, 11)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_rows_of_each_class_are_counted(policy: Policy) -> None:
    reservoir, smaller, restored = reservoir_of(50, policy), reservoir_of(20, policy), reservoir_of(50, policy)
    for number in range(30):
        offer(reservoir, 11 * number, 11)
        if number % 7 == 6:
            reservoir.drop_classes(np.array([number // 2, number % 3]))
        assert reservoir.num_by_class(40).tolist() == counted(reservoir, 40)
    for other in (smaller, restored):
        offer(other, 0, 40)
        other.restore(reservoir.capture(full=True), reservoir.state())
        offer(other, 330, 10)
        assert other.num_by_class(40).tolist() == counted(other, 40)


def counted(reservoir: Reservoir, num_classes: int) -> list[int]:
    counts: list[int] = np.bincount(reservoir.slot_classes + 1, minlength=num_classes + 1)[1:].tolist()
    return counts


@pytest.mark.parametrize("capacity", [0, 10, 100])
def test_rows_move_to_a_reservoir_of_another_size(capacity: int) -> None:
    large, other, fresh = reservoir_of(40), *(reservoir_of(capacity) for _ in "ab")
    offer(large, 0, 200)
    other.restore(large.capture(full=True), large.state())
    offer(fresh, 0, 200)
    assert len(other) <= capacity
    assert other.capture(full=False).full, "rows have other slots than in the changes before"
    if capacity <= 40:
        held = [set(applied([one.capture(full=True)]).values()) for one in (other, fresh)]
        assert held[0] == held[1]


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_rows_move_to_a_reservoir_of_another_policy(policy: Policy) -> None:
    balanced, other, direct = reservoir_of(60), reservoir_of(30, policy), reservoir_of(30, policy)
    offer(balanced, 0, 60)
    other.restore(balanced.capture(full=True), balanced.state())
    assert other.capture(full=False).full, "rows have other slots than in the changes before"
    offer(direct, 0, 60)
    for one in (other, direct):
        offer(one, 60, 20)
    held = [set(applied([one.capture(full=True)]).values()) for one in (other, direct)]
    assert held[0] == held[1]


def test_draws_reach_every_row_equally() -> None:
    reservoir = reservoir_of(20)
    offer(reservoir, 0, 500)
    drawn = reservoir.draw(20_000, np.random.default_rng(0)).weights
    _, counts = np.unique(drawn, return_counts=True)
    assert len(counts) == len(reservoir)
    expected = 20_000 / len(reservoir)
    assert np.square(counts - expected).sum() / expected < 45  # χ² with 19 degrees of freedom, p ≈ 7e-4


def remembered_of(reservoir: Reservoir) -> dict[float, list[float]]:
    """The logits that are remembered, by event."""
    rows = reservoir.draw(2000, np.random.default_rng(0))
    assert rows.remembered is not None
    return dict(zip(rows.weights.tolist(), rows.remembered.values.tolist(), strict=True))


def test_logits_stay_with_their_rows_through_a_capture() -> None:
    reservoir, restored = (reservoir_of(20, remembers_logits=True) for _ in range(2))
    offer(reservoir, 0, 300)
    restored.restore(reservoir.capture(full=True), reservoir.state())
    for one in (reservoir, restored):
        assert all(logits == [event] * 3 + [0.0] * 5 for event, logits in remembered_of(one).items())
    assert not restored.capture(full=False).full


def test_rows_of_which_no_logits_were_stored_have_none() -> None:
    before, after = reservoir_of(20), reservoir_of(20, remembers_logits=True)
    offer(before, 0, 300)
    after.restore(before.capture(full=True), before.state())
    rows = after.draw(100, np.random.default_rng(0))
    assert rows.remembered is not None
    assert (rows.remembered.columns == -1).all()
    assert after.capture(full=False).full, "the segments before have other columns"
    before.restore(after.capture(full=True), after.state())
    assert before.draw(5, np.random.default_rng(0)).remembered is None
    assert before.capture(full=False).full
