"""Partitions added while a rotation is under way: none of their events is passed over, and P2 holds all the same."""

import random
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_messages import KafkaMessage
from penstock.features import Feature, FeatureSchema
from penstock.flow import EventBatch, Offsets
from penstock.intake.config import IntakeConfig
from penstock.intake.intake import Intake
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import json_event
from scripted_log import Letters, Reports, ScriptedLog
from stepped_clock import SteppedClock

SCHEMA = FeatureSchema(features=(Feature(name="n", kind="number"),))
VALUE = json_event(event_id="e", features={"n": 1}, label="x")
Log = Mapping[int, Sequence[KafkaMessage]]
Batch = list[tuple[int, int]]


def log_of(*sizes: int) -> dict[int, list[KafkaMessage]]:
    return {
        partition: [KafkaMessage(VALUE, at_partition=partition, at_offset=offset) for offset in range(size)]
        for partition, size in enumerate(sizes)
    }


def intake_over(source: ScriptedLog, clock: SteppedClock, *, step: int, offsets: Offsets, max_events: int) -> Intake:
    config = IntakeConfig(max_events=max_events, max_age_seconds=0)
    return Intake(source, Letters(), EventDecoder(SCHEMA), config, clock, Reports(), step=step, offsets=offsets)


def begun(log: Log, max_events: int, *, step: int = 0, offsets: Offsets | None = None) -> tuple[ScriptedLog, Intake]:
    """A source over the log and an intake, as a trainer that starts has them."""
    clock = SteppedClock()
    start = Offsets(next={partition: (offsets or Offsets())[partition] for partition in log})
    source = ScriptedLog(log, clock, offsets=start.next)
    return source, intake_over(source, clock, step=step, offsets=start, max_events=max_events)


def places(batch: EventBatch) -> Batch:
    columns = (batch.events.column(name).to_pylist() for name in ("partition", "offset"))
    return list(zip(*columns, strict=True))


def rest(intake: Intake) -> list[Batch]:
    found = []
    while (batch := intake.next_batch(5.0)) is not None:
        found.append(places(batch))
    return found


def test_nothing_is_handed_out_until_what_was_handed_out_before_is_saved() -> None:
    log = log_of(6, 6)
    source, intake = begun(log, max_events=2)
    first = intake.next_batch(1.0)
    assert first is not None
    source.add_partition(2, log_of(0, 0, 3)[2])
    assert intake.next_batch(1.0) is None
    intake.saved(Offsets(next={0: 0, 1: 0}))
    assert intake.next_batch(1.0) is None, "that checkpoint is older"
    intake.saved(Offsets(next={0: 1, 1: 1}))
    assert rest(intake)[:4] == [[(1, 1), (2, 0)], [(2, 1), (0, 1)], [(0, 2), (1, 2)], [(1, 3), (2, 2)]]


def test_one_that_is_added_before_the_first_batch_joins_at_once() -> None:
    source, intake = begun(log_of(1), max_events=2)
    source.add_partition(1, log_of(0, 1)[1])
    assert rest(intake) == [[(0, 0), (1, 0)]]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=3),
    st.lists(st.integers(0, 8), min_size=1, max_size=2),
    st.integers(1, 5),
    st.integers(0, 4),
    st.randoms(use_true_random=False),
)
def test_whoever_resumes_behind_the_join_learns_the_same_batches_and_every_event_once(
    sizes: list[int], added: list[int], max_events: int, before: int, chance: random.Random
) -> None:
    log, whole = log_of(*sizes), log_of(*sizes, *added)
    source, intake = begun(log, max_events)
    batches: list[Batch] = []
    taken = [Offsets(next=dict.fromkeys(log, 0))]

    def take() -> bool:
        batch = intake.next_batch(5.0)
        if batch is None:
            return False
        batches.append(places(batch))
        taken.append(taken[-1].advanced_to(batch.offsets))
        return True

    while len(batches) < before and take():
        pass
    source.poll(chance.randint(1, 9), 0.0)  # what is polled here is lost on purpose: a run that is taken up again
    source, intake = begun(log, max_events, step=len(batches), offsets=taken[-1])
    for partition in range(len(sizes), len(whole)):
        source.add_partition(partition, whole[partition])
    joined_at = len(batches)
    while take():
        pass
    assert sorted(place for batch in batches for place in batch) == [
        (partition, offset) for partition, messages in whole.items() for offset in range(len(messages))
    ]
    resumed_at = chance.randint(joined_at, len(batches))
    _, resumed = begun(whole, max_events, step=resumed_at, offsets=taken[resumed_at])
    assert rest(resumed) == batches[resumed_at:]
