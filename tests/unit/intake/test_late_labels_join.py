"""What a late label is joined to is a function of the two logs alone, read as they grow or read again."""

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kafka_messages import KafkaMessage
from penstock.intake import late_labels as module
from penstock.intake.config import LateLabelsConfig
from penstock.intake.late_labels import SKEW_MS, LateLabels
from penstock.intake.prediction_index import PredictionIndex
from penstock.intake.same_id import LoggedPrediction, SameId
from penstock.wire.late_labels import FoundPredictions, LateLabel
from scripted_predictions import Logged, ScriptedPredictions, value_of
from stepped_clock import SteppedClock

WINDOW_MS, WAIT_MS, MOST = 4000, 500, 5
CONFIG = LateLabelsConfig(window_seconds=WINDOW_MS / 1000, wait_seconds=WAIT_MS / 1000, max_predictions=MOST)
START_MS = 100_000
"""The scripted clock's."""

Batch = list[tuple[int, str]]
"""The labels of a micro-batch: timestamp and prediction."""


@dataclass(frozen=True)
class Record:
    """A prediction with its place."""

    stamped_ms: int
    partition: int
    offset: int
    prediction_id: str

    @property
    def order(self) -> tuple[int, int, int]:
        return self.stamped_ms, self.partition, self.offset


def records(logged: Sequence[Logged]) -> list[Record]:
    next_offset = [0, 0]
    found = []
    for one in logged:
        found.append(Record(one.stamped_ms, one.partition, next_offset[one.partition], one.prediction_id))
        next_offset[one.partition] += 1
    return sorted(found, key=lambda record: record.order)


def expected(logged: Sequence[Logged], batches: Sequence[Batch]) -> list[list[bytes | None]]:
    """The rule, over the whole of both logs."""
    log, horizon, outcome = records(logged), 0, []
    for batch in batches:
        horizon = max(horizon, *(at for at, _ in batch))
        past = [record for record in log if horizon - WINDOW_MS <= record.stamped_ms <= horizon][-MOST:]
        later = [record for record in log if record.stamped_ms > horizon]
        outcome.append([join([*past, *later], at, named) for at, named in batch])
    return outcome


def join(held: Sequence[Record], at: int, named: str) -> bytes | None:
    same = [record for record in held if record.prediction_id == named]
    before = [record for record in same if record.stamped_ms <= at]
    after = [record for record in same if at < record.stamped_ms <= at + WAIT_MS]
    chosen = before[-1] if before else after[0] if after else None
    return None if chosen is None else value_of(chosen.partition, chosen.offset)


def messages_of_batch(batch: Batch) -> tuple[list[KafkaMessage], list[LateLabel]]:
    messages = [KafkaMessage(b"", timestamp_ms=at, at_offset=place) for place, (at, _) in enumerate(batch)]
    return messages, [LateLabel(place, named) for place, (_, named) in enumerate(batch)]


def found(late: LateLabels, batch: Batch) -> list[bytes | None]:
    messages, labels = messages_of_batch(batch)
    late.begin(messages)
    for _ in range(1000):
        answer = late.find(messages, labels, 0.01)
        if answer is not None:
            return [answer.values.get(label) for label in labels]
    raise AssertionError("no answer")


@st.composite
def logs(draw: st.DrawFn) -> list[Logged]:
    """Stamps never fall; ids repeat; an id is always in one partition."""
    logged, now = [], START_MS
    for _ in range(draw(st.integers(0, 25))):
        now += draw(st.sampled_from([0, 0, 1, 50, 400, 600, 3000]))
        number = draw(st.integers(0, 12))
        logged.append(Logged(now, f"p{number}", number % 2))
    return logged


@st.composite
def label_batches(draw: st.DrawFn) -> list[Batch]:
    """More or less in the order of time."""
    batches, now = [], START_MS
    for _ in range(draw(st.integers(1, 6))):
        now += draw(st.sampled_from([-1500, 0, 30, 700, 2500]))
        batch = [
            (max(now + draw(st.sampled_from([-600, -1, 0, 10])), 1), f"p{draw(st.integers(0, 14))}")
            for _ in range(draw(st.integers(1, 4)))
        ]
        batches.append(batch)
    return batches


def chopped(sizes: Sequence[int]) -> Callable[[int], int]:
    endless: Iterator[int] = (sizes[at % len(sizes)] for at in range(10**9))
    return lambda most: min(most, next(endless))


SAME_STAMP = [Logged(START_MS, "p0"), Logged(START_MS, "p0")]
"""Both are there when the label is made: the later one counts."""


@settings(max_examples=300, deadline=None)
@given(logs(), label_batches(), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.sets(st.integers(0, 5)))
@example(SAME_STAMP, [[(START_MS, "p0")]], [1], set())
@example([Logged(START_MS - 3500, "p0")], [[(START_MS + 1000, "p1")], [(START_MS, "p0")]], [9], {1})
def test_read_again_from_any_batch_on_the_outcome_is_the_same(
    logged: list[Logged], batches: list[Batch], sizes: list[int], restarts: set[int]
) -> None:
    clock, outcome = SteppedClock(), []
    clock.seconds = START_MS / 1000 + 10_000  # all of it is long past
    late = LateLabels(ScriptedPredictions(logged, clock, chop=chopped(sizes)), CONFIG, clock, read_until_ms=0)
    for number, batch in enumerate(batches):
        if number in restarts:
            source = ScriptedPredictions(logged, clock, chop=chopped(sizes))
            late = LateLabels(source, CONFIG, clock, read_until_ms=late.horizon_ms)
        late.keep_up()
        outcome.append(found(late, batch))
    assert outcome == expected(logged, batches)


@settings(max_examples=300, deadline=None)
@given(logs(), label_batches(), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_joined_as_both_logs_grow_the_outcome_is_that_of_reading_them_later(
    logged: list[Logged], batches: list[Batch], sizes: list[int]
) -> None:
    clock = SteppedClock()
    late = LateLabels(ScriptedPredictions(logged, clock, chop=chopped(sizes)), CONFIG, clock, read_until_ms=0)
    outcome = []
    for batch in batches:
        clock.seconds = max(clock.seconds, max(at for at, _ in batch) / 1000)  # a label is read once it is there
        late.keep_up()
        outcome.append(found(late, batch))
    assert outcome == expected(logged, batches)


def ask(late: LateLabels, timeout_seconds: float, *labels: tuple[int, str]) -> FoundPredictions | None:
    """A micro-batch of these labels."""
    messages, named = messages_of_batch(list(labels))
    late.begin(messages)
    return late.find(messages, named, timeout_seconds)


def late_labels(*logged: Logged, **config: float) -> tuple[LateLabels, ScriptedPredictions, SteppedClock]:
    clock = SteppedClock()
    source = ScriptedPredictions(logged, clock)
    settings_ = LateLabelsConfig(**{"window_seconds": 4.0, "wait_seconds": 0.5, **config})  # type: ignore[arg-type]  # counts are whole here
    return LateLabels(source, settings_, clock, read_until_ms=0), source, clock


def test_a_label_that_overtook_its_prediction_waits_for_it_and_no_longer() -> None:
    late, _, clock = late_labels(Logged(START_MS + 300, "p"))
    answer = ask(late, 10.0, (START_MS, "p"))
    assert answer is not None
    assert list(answer.values.values()) == [value_of(0, 0)]
    assert clock.now_ms() <= START_MS + 300 + 50, "not a moment longer than it had to"


def test_a_label_without_a_prediction_is_given_up_once_none_can_come_any_more() -> None:
    late, _, clock = late_labels(Logged(START_MS - 10, "other"))
    assert ask(late, 0.4, (START_MS, "p")) is None
    assert clock.now_ms() == START_MS + 400, "the caller's timeout is kept"
    answer = ask(late, 10.0, (START_MS, "p"))
    assert answer is not None
    assert not answer.values
    assert answer.otherwise == "names no prediction logged in the 4 s before the label"
    assert START_MS + 500 + SKEW_MS < clock.now_ms() <= START_MS + 500 + SKEW_MS + 60


def test_nothing_is_given_up_while_the_prediction_topic_cannot_be_read() -> None:
    late, source, _ = late_labels(Logged(START_MS - 10, "q"), Logged(START_MS - 5, "p"))
    assert ask(late, 10.0, (START_MS, "q")) is not None
    source.is_away = True
    assert ask(late, 30.0, (START_MS, "unknown")) is None
    source.is_away = False
    answer = ask(late, 10.0, (START_MS, "unknown"))
    assert answer is not None
    assert not answer.values


def test_a_topic_that_is_away_at_first_is_read_from_the_right_place_later() -> None:
    late, source, _ = late_labels(Logged(START_MS - 5, "p"))
    source.is_away = True
    assert ask(late, 1.0, (START_MS, "p")) is None
    source.is_away = False
    answer = ask(late, 1.0, (START_MS, "p"))
    assert answer is not None
    assert list(answer.values.values()) == [value_of(0, 0)]


def test_a_label_stamped_in_the_future_does_not_close_the_window_for_the_others() -> None:
    late, _, clock = late_labels(Logged(START_MS - 5, "p"))
    answer = ask(late, 1.0, (START_MS + 3_600_000, "p"), (START_MS, "p"))
    assert answer is not None
    assert set(answer.values.values()) == {value_of(0, 0)}
    clock.seconds += 1
    again = ask(late, 1.0, (START_MS + 900, "p"))
    assert again is not None
    assert again.values


def test_predictions_ahead_of_the_labels_wait_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AHEAD_MESSAGES", 20)
    monkeypatch.setattr(module, "MESSAGES_A_POLL", 10)
    later = [Logged(START_MS + 10 * number, f"later{number}", number % 2) for number in range(1, 400)]
    late, source, clock = late_labels(Logged(START_MS - 5, "p"), *later)
    clock.seconds += 3600
    assert ask(late, 1.0, (START_MS, "p")) is not None
    for _ in range(100):
        late.keep_up()
    assert source.num_read <= 1 + 20 + 2 * 10
    assert source.paused == {0, 1}
    answer = ask(late, 1.0, (START_MS + 3995, "later399"))
    assert answer is not None
    assert answer.values, "and are read when their time comes"


def test_one_partition_that_is_far_ahead_waits_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AHEAD_MESSAGES", 20)
    busy = [Logged(START_MS - 3000 + number, f"b{number}", 0) for number in range(2000)]
    quiet = [Logged(START_MS - 3000 + 500 * number, f"q{number}", 1) for number in range(6)]
    clock = SteppedClock()
    source = ScriptedPredictions([*busy, *quiet], clock, chop=lambda most: min(most, 7))
    late = LateLabels(source, LateLabelsConfig(window_seconds=4, max_predictions=10**6), clock, read_until_ms=0)
    answer = ask(late, 1.0, (START_MS, "b3"), (START_MS, "q5"), (START_MS, "b1999"))
    assert answer is not None
    assert len(answer.values) == 3


def test_many_predictions_within_the_wait_are_all_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AHEAD_MESSAGES", 20)
    monkeypatch.setattr(module, "MESSAGES_A_POLL", 10)
    later = [Logged(START_MS + number, f"later{number}") for number in range(1, 400)]
    late, _, clock = late_labels(*later, Logged(START_MS + 450, "p"))
    clock.seconds += 60
    answer = ask(late, 5.0, (START_MS, "p"))
    assert answer is not None
    assert answer.values


def test_after_a_long_silence_only_what_can_be_held_is_read() -> None:
    old = [Logged(START_MS + number, f"old{number}", number % 2) for number in range(3000)]
    late, source, clock = late_labels(Logged(START_MS - 5, "p"), *old, max_predictions=10, window_seconds=600)
    assert ask(late, 1.0, (START_MS, "p")) is not None
    read = source.num_read
    clock.seconds += 300
    answer = ask(late, 5.0, (clock.now_ms(), "old2999"), (clock.now_ms(), "old5"))
    assert answer is not None
    assert list(answer.values.values()) == [value_of(1, 1499)]
    assert source.num_read - read <= 2 * 10


def under_one_id(first: int, number: int) -> list[KafkaMessage]:
    """Predictions stamped a millisecond apart."""
    numbers = range(first, first + number)
    return [KafkaMessage(bytes(40), at_offset=each, timestamp_ms=each, with_key=b"1") for each in numbers]


class Compared(int):
    """A timestamp that counts how often any is compared."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return int.__eq__(self, other)

    def __lt__(self, other: int) -> bool:
        Compared.times += 1
        return int.__lt__(self, other)

    def __le__(self, other: int) -> bool:
        Compared.times += 1
        return int.__le__(self, other)

    __hash__ = int.__hash__


def test_among_very_many_predictions_under_one_id_few_are_looked_at() -> None:
    same, most, rounds = SameId(), 20_000, 500
    predictions = [LoggedPrediction(Compared(number), 0, number, b"1", b"") for number in range(most + rounds)]
    for one in predictions[:most]:
        same.add(one)
    Compared.times = 0
    for number in range(rounds):
        same.add(predictions[most + number])
        same.remove(predictions[number])
        assert same.find(at_ms=Compared(most), latest_ms=most) is not None
    assert Compared.times <= 150 * rounds
    assert len(same) == most


def test_what_has_left_the_window_leaves_the_memory_under_one_id_too() -> None:
    index, size = PredictionIndex(max_predictions=1000, max_bytes=1 << 40), 1 << 20
    tracemalloc.start()
    try:
        index.add([KafkaMessage(bytes(size), at_offset=0, timestamp_ms=0, with_key=b"1")])
        index.add(under_one_id(1, 100))
        index.move_window(1, 1)
        assert tracemalloc.get_traced_memory()[0] < size
    finally:
        tracemalloc.stop()


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
    st.integers(0, 21),
    st.integers(0, 21),
)
def test_predictions_under_one_id_are_found_in_their_order_however_they_come_and_go(
    stamped: list[tuple[int, int]], random: Random, at_ms: int, latest_ms: int
) -> None:
    same, held = SameId(), list[LoggedPrediction]()
    for offset, (stamp, partition) in enumerate(stamped):
        one = LoggedPrediction(stamp, partition, offset, b"1", b"%d" % offset)
        same.add(one)
        held.append(one)
        if random.random() < 0.4:
            gone = min(held) if random.random() < 0.7 else random.choice(held)
            same.remove(gone)
            held.remove(gone)
        assert len(same) == len(held)
        before = [each for each in held if each.timestamp_ms <= at_ms]
        later = [each for each in held if each.timestamp_ms <= latest_ms]
        expected_one = max(before) if before else min(later, default=None)
        assert same.find(at_ms=at_ms, latest_ms=latest_ms) == expected_one
