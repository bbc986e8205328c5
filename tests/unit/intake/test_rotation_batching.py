"""With `max_age_seconds = 0` micro-batches depend on the log alone."""

import random
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_messages import KafkaMessage
from penstock.features import Feature, FeatureSchema
from penstock.intake.batching import ClosedBatch
from penstock.intake.config import IntakeConfig
from penstock.intake.intake import Intake
from penstock.intake.rotation import RotationBatcher
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import json_event
from scripted_log import Letters, Reports, ScriptedLog
from stepped_clock import SteppedClock

SCHEMA = FeatureSchema(features=(Feature(name="n", kind="number"),))
Log = Mapping[int, Sequence[KafkaMessage]]
Batch = list[tuple[int, int]]


def events_in(message: object) -> int:
    """A message's events, for these tests: the length of its value."""
    assert isinstance(message, KafkaMessage)
    return len(message.opaque_value or b"")


def log_of(*sizes: Sequence[int]) -> dict[int, list[KafkaMessage]]:
    """One partition per argument, one message per number, which is how many events it holds."""
    return {
        partition: [
            KafkaMessage(b"x" * size, at_partition=partition, at_offset=offset) for offset, size in enumerate(messages)
        ]
        for partition, messages in enumerate(sizes)
    }


def batcher(log: Log, *, step: int = 0, max_events: int = 4, idle_seconds: float = 1.0) -> RotationBatcher:
    return RotationBatcher(
        list(log), step=step, max_events=max_events, idle_seconds=idle_seconds, count_events=events_in
    )


def positions(batch: ClosedBatch) -> Batch:
    return [(message.partition(), message.offset()) for message in batch.messages]


def all_batches(
    log: Log,
    *,
    max_events: int,
    chop: Callable[[int], int] = lambda most: most,
    restart: Callable[[], bool] = lambda: False,
) -> list[Batch]:
    """Every batch of a log that no longer grows, with a restart from the next offsets where `restart` says so."""
    clock, batches, offsets, idle_polls = SteppedClock(), list[Batch](), dict[int, int](), 0
    source, collected = ScriptedLog(log, clock, chop=chop), batcher(log, max_events=max_events)
    while idle_polls < 3:
        closed = collected.close(clock.seconds, source.partitions_at_end)
        if closed is None:
            messages = source.poll(collected.wanted_messages(), min(1.0, collected.seconds_until_due(clock.seconds)))
            idle_polls = 0 if messages else idle_polls + 1
            collected.add(messages, clock.seconds)
            continue
        batches.append(positions(closed))
        offsets |= {partition: offset + 1 for partition, offset in batches[-1]}
        if restart():
            source = ScriptedLog(log, clock, chop=chop, offsets=offsets)
            collected = batcher(log, step=len(batches), max_events=max_events)
    return batches


def test_batch_s_begins_with_partition_s_and_takes_one_message_of_each_in_turn() -> None:
    log = log_of([1] * 4, [1] * 4, [1] * 4)
    assert all_batches(log, max_events=4) == [
        [(0, 0), (1, 0), (2, 0), (0, 1)],
        [(1, 1), (2, 1), (0, 2), (1, 2)],
        [(2, 2), (0, 3), (1, 3), (2, 3)],
    ]


def test_a_partition_at_its_end_is_passed_over_and_the_last_batch_closes_unfilled() -> None:
    log = log_of([1], [1] * 5, [])
    assert all_batches(log, max_events=4) == [[(0, 0), (1, 0), (1, 1), (1, 2)], [(1, 3), (1, 4)]]


def test_a_message_is_atomic_so_a_batch_may_exceed_its_size_by_the_last_ones_events() -> None:
    log = log_of([3, 9, 1], [2, 2, 2])
    assert all_batches(log, max_events=4) == [[(0, 0), (1, 0)], [(1, 1), (0, 1)], [(0, 2), (1, 2)]]


def test_a_partition_that_is_not_at_its_end_is_waited_for() -> None:
    log = log_of([1] * 8, [1] * 8)
    waiting = batcher(log)
    waiting.add(log[0], 0.0)
    assert waiting.close(0.0, frozenset) is None
    assert waiting.close(1e9, lambda: frozenset({0})) is None
    waiting.add(log[1][:2], 1e9)
    closed = waiting.close(1e9, frozenset)
    assert closed is not None
    assert positions(closed) == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_an_unfilled_batch_stays_open_until_the_log_has_stood_still_for_the_idle_time() -> None:
    log = log_of([1, 1, 1], [1])
    waiting = batcher(log)
    at_end = lambda: frozenset({0, 1})  # noqa: E731 - a constant as the callable that it must be
    waiting.add([log[0][0], log[1][0]], 10.0)
    assert waiting.close(10.0, at_end) is None
    assert waiting.seconds_until_due(10.25) == 0.75
    waiting.add([log[0][1]], 10.9)
    assert waiting.close(11.5, at_end) is None
    assert waiting.seconds_until_due(11.5) == 1.0
    assert waiting.close(12.4, frozenset) is None
    assert waiting.close(12.5, at_end) is None
    closed = waiting.close(13.5, at_end)
    assert closed is not None
    assert (positions(closed), closed.closed_by) == ([(0, 0), (1, 0), (0, 1)], "end")
    assert closed.age_seconds == 3.5
    assert waiting.close(99.0, at_end) is None
    assert waiting.close(199.0, at_end) is None, "nothing arrived: there is no batch to close"


def test_with_idle_seconds_0_an_unfilled_batch_never_closes() -> None:
    log = log_of([1])
    waiting = batcher(log, idle_seconds=0)
    waiting.add(log[0], 0.0)
    for now in (0.0, 1e6, 1e12):
        assert waiting.close(now, lambda: frozenset({0})) is None


def test_a_long_queue_is_full_until_it_is_half_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.intake.rotation.MESSAGES_AHEAD", 16)
    log = log_of([1] * 16, [1] * 16)
    waiting = batcher(log)
    waiting.add(log[0][:15], 0.0)
    assert waiting.full_partitions() == frozenset()
    waiting.add(log[0][15:], 0.0)
    assert waiting.full_partitions() == {0}
    waiting.add(log[1][:7], 0.0)
    while waiting.close(0.0, frozenset) is not None:
        pass
    assert waiting.full_partitions() == {0}, "eight of sixteen are left"
    waiting.add(log[1][7:9], 0.0)
    while waiting.close(0.0, frozenset) is not None:
        pass
    assert waiting.full_partitions() == frozenset()


def test_few_messages_of_many_bytes_make_a_full_queue_too() -> None:
    large = [KafkaMessage(b"x" * 30_000_000, at_partition=0, at_offset=offset) for offset in range(3)]
    waiting = batcher({0: large, 1: []}, max_events=10**9)
    waiting.add(large[:1], 0.0)
    assert waiting.full_partitions() == frozenset()
    waiting.add(large[1:], 0.0)
    assert waiting.full_partitions() == {0}


def test_a_slow_partition_does_not_let_a_fast_one_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.intake.rotation.MESSAGES_AHEAD", 16)
    clock = SteppedClock()
    value = json_event(event_id="e", features={"n": 1}, label="x")
    log = {p: [KafkaMessage(value, at_partition=p, at_offset=o) for o in range(n)] for p, n in ((0, 500), (1, 0))}
    source = ScriptedLog(log, clock, grows=True)
    config = IntakeConfig(max_events=4, max_age_seconds=0)
    intake = Intake(source, Letters(), EventDecoder(SCHEMA), config, clock, Reports())
    assert intake.next_batch(5.0) is None
    assert source.paused == {0}
    for offset in range(500):
        source.append(KafkaMessage(value, at_partition=1, at_offset=offset))
    batches = []
    while (batch := intake.next_batch(5.0)) is not None:
        batches.append(batch)
    assert sum(batch.events.num_rows for batch in batches) == 1000


sizes = st.lists(st.lists(st.integers(1, 6), max_size=12), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(sizes, st.integers(1, 9), st.randoms(use_true_random=False))
def test_the_batches_are_the_same_however_polls_are_chopped_and_wherever_a_run_is_taken_up_again(
    partitions: list[list[int]], max_events: int, chance: random.Random
) -> None:
    log = log_of(*partitions)
    expected = all_batches(log, max_events=max_events)
    chopped = all_batches(
        log,
        max_events=max_events,
        chop=lambda most: chance.randint(1, most),
        restart=lambda: chance.random() < 0.3,
    )
    assert chopped == expected


@settings(max_examples=100, deadline=None)
@given(sizes, st.integers(1, 9))
def test_every_message_is_taken_once_and_each_batch_but_the_last_is_just_full(
    partitions: list[list[int]], max_events: int
) -> None:
    log = log_of(*partitions)
    batches = all_batches(log, max_events=max_events)
    taken = [position for batch in batches for position in batch]
    assert sorted(taken) == [(p, offset) for p, messages in log.items() for offset in range(len(messages))]
    for batch in batches:
        counts = [events_in(log[partition][offset]) for partition, offset in batch]
        assert sum(counts[:-1]) < max_events
        assert sum(counts) >= max_events or batch is batches[-1]
