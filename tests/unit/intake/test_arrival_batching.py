"""With `max_age_seconds > 0` micro-batches close by size or age, in order of arrival."""

import math

from hypothesis import given
from hypothesis import strategies as st

from kafka_messages import KafkaMessage
from penstock.intake.arrival import ArrivalBatcher
from penstock.intake.batching import EVENTS_TOGETHER, ClosedBatch


def messages(*sizes: int, first: int = 0) -> list[KafkaMessage]:
    """One message per number, which is how many events it holds."""
    return [KafkaMessage(b"x" * size, at_offset=first + index) for index, size in enumerate(sizes)]


def batcher(max_events: int = 4, max_age_seconds: float = 0.5) -> ArrivalBatcher:
    return ArrivalBatcher(
        max_events=max_events,
        max_age_seconds=max_age_seconds,
        count_events=lambda message: len(message.value() or b""),
    )


def close(open_batch: ArrivalBatcher, now: float) -> ClosedBatch | None:
    return open_batch.close(now, frozenset)


def offsets(batch: ClosedBatch | None) -> list[int] | None:
    return None if batch is None else [message.offset() for message in batch.messages]


def test_a_batch_closes_as_soon_as_it_is_full() -> None:
    open_batch = batcher()
    open_batch.add(messages(1, 1, 1), 10.0)
    assert close(open_batch, 10.0) is None
    open_batch.add(messages(1, 1, first=3), 10.25)
    closed = close(open_batch, 10.25)
    assert closed is not None
    assert (offsets(closed), closed.closed_by, closed.age_seconds) == ([0, 1, 2, 3], "size", 0.25)
    assert close(open_batch, 10.25) is None, "the fifth message waits for more"


def test_a_batch_closes_when_its_first_message_is_old_enough() -> None:
    open_batch = batcher()
    assert open_batch.seconds_until_due(10.0) == math.inf
    open_batch.add(messages(1), 10.0)
    assert close(open_batch, 10.0) is None
    assert open_batch.seconds_until_due(10.125) == 0.375
    open_batch.add(messages(1, first=1), 10.375)
    assert close(open_batch, 10.375) is None
    closed = close(open_batch, 10.5)
    assert closed is not None
    assert (offsets(closed), closed.closed_by, closed.age_seconds) == ([0, 1], "age", 0.5)
    assert close(open_batch, 99.0) is None, "an empty batch never closes"


def test_behind_a_slow_learner_batches_are_ready_at_once_and_their_age_counts_from_arrival() -> None:
    open_batch = batcher()
    open_batch.add(messages(*[1] * 9), 10.0)
    assert offsets(close(open_batch, 20.0)) == [0, 1, 2, 3]
    assert offsets(close(open_batch, 20.0)) == [4, 5, 6, 7]
    last = close(open_batch, 20.0)
    assert last is not None
    assert (offsets(last), last.closed_by, last.age_seconds) == ([8], "age", 10.0)


def test_a_message_of_many_events_is_not_split() -> None:
    open_batch = batcher()
    open_batch.add(messages(3, 100, 1), 0.0)
    assert offsets(close(open_batch, 0.0)) == [0, 1]
    assert close(open_batch, 0.0) is None


def test_no_more_is_polled_than_the_open_batch_has_room_for() -> None:
    open_batch = batcher(max_events=100)
    assert open_batch.wanted_messages() == 100
    open_batch.add(messages(1, 1), 0.0)
    assert close(open_batch, 0.0) is None
    assert open_batch.wanted_messages() == 98
    open_batch.add(messages(98), 0.0)
    assert close(open_batch, 0.0) is not None
    open_batch.add(messages(50, 50), 0.0)
    assert close(open_batch, 0.0) is not None
    assert open_batch.wanted_messages() == 2, "messages of late held fifty events each"


def test_behind_a_full_batch_of_single_events_as_many_are_polled_as_are_decoded_at_once() -> None:
    open_batch = batcher(max_events=3)
    open_batch.add(messages(1, 1, 1, 1), 0.0)
    assert close(open_batch, 0.0) is not None
    assert close(open_batch, 0.0) is None
    assert open_batch.wanted_messages() == EVENTS_TOGETHER - 1
    assert close(open_batch, 0.5) is not None, "closed by age: there is nothing behind it"
    assert open_batch.wanted_messages() == 3


@given(st.lists(st.lists(st.integers(1, 9), max_size=8), max_size=12), st.integers(1, 12))
def test_every_message_is_in_one_batch_in_order_of_arrival(polls: list[list[int]], max_events: int) -> None:
    open_batch, now, taken, first = batcher(max_events), 0.0, list[int](), 0
    for sizes in polls:
        open_batch.add(messages(*sizes, first=first), now)
        first += len(sizes)
        now += 0.125
        while (closed := close(open_batch, now)) is not None:
            counts = [len(message.value() or b"") for message in closed.messages]
            assert sum(counts[:-1]) < max_events
            assert sum(counts) >= max_events or closed.age_seconds >= 0.5
            assert open_batch.wanted_messages() >= 1
            taken += offsets(closed) or []
    while (closed := close(open_batch, now + 1)) is not None:
        taken += offsets(closed) or []
    assert taken == list(range(first))
