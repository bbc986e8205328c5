"""From messages to micro-batches of valid events, everything real but the broker."""

import pyarrow as pa
import pytest

from kafka_messages import KafkaMessage
from penstock.errors import PoisonedStreamError
from penstock.features import Feature, FeatureSchema
from penstock.flow import EventBatch
from penstock.intake.config import IntakeConfig
from penstock.intake.intake import Intake
from penstock.wire.dead_letter import invalid_rows
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import arrow_message, json_event
from scripted_log import Letters, Reports, ScriptedLog, SteppedClock

SCHEMA = FeatureSchema(features=(Feature(name="n", kind="number"),))


def good(label: str = "x") -> bytes:
    return json_event(event_id="e", features={"n": 1}, label=label)


def partition(*values: bytes, number: int = 0) -> list[KafkaMessage]:
    return [KafkaMessage(value, at_partition=number, at_offset=offset) for offset, value in enumerate(values)]


class Line:
    """An intake and all that it touches."""

    def __init__(self, *partitions: list[KafkaMessage], step: int = 0, **config: float) -> None:
        self.clock, self.letters, self.reports = SteppedClock(), Letters(), Reports()
        self.source = ScriptedLog(dict(enumerate(partitions)), self.clock)
        settings = IntakeConfig(**{"max_events": 4, **config})  # type: ignore[arg-type]  # counts are whole here
        self.intake = Intake(
            self.source, self.letters, EventDecoder(SCHEMA), settings, self.clock, self.reports, step=step
        )

    def batch(self) -> EventBatch:
        batch = self.intake.next_batch(10.0)
        assert batch is not None
        return batch

    def invalid(self, reason: str) -> float:
        return self.reports.counts.get(("penstock_events_invalid_total", frozenset({("reason", reason)})), 0)


def test_a_batch_carries_its_events_and_the_next_offsets_of_the_partitions_it_took_from() -> None:
    line = Line(partition(good("a"), good("b"), number=0), partition(good("c"), good("d"), number=1))
    batch = line.batch()
    assert sorted(batch.events.column("label").to_pylist()) == ["a", "b", "c", "d"]
    assert dict(batch.offsets.next) == {0: 2, 1: 2}
    assert batch.closed_by == "size"
    assert line.reports.observed == {"penstock_batch_events": [4], "penstock_batch_age_seconds": [0.0]}


def test_an_old_batch_closes_by_age_although_nothing_arrives() -> None:
    line = Line(partition(good()), max_age_seconds=0.25)
    batch = line.batch()
    assert (batch.closed_by, batch.age_seconds) == ("age", 0.25)
    assert line.clock.seconds == 100.25, "the poll waited for what was left of the age"


def test_a_batch_stays_open_over_the_callers_timeout() -> None:
    line = Line(partition(good()), max_age_seconds=0.25)
    assert line.intake.next_batch(0.125) is None
    assert line.clock.seconds == 100.125
    assert line.intake.next_batch(0.0) is None
    assert line.batch().age_seconds == 0.25


def test_invalid_events_go_to_the_dead_letters_and_the_offsets_move_past_them() -> None:
    line = Line(partition(good("a"), b"junk", good(""), good("b")))
    batch = line.batch()
    assert batch.events.column("label").to_pylist() == ["a", "b"]
    assert dict(batch.offsets.next) == {0: 4}
    assert [letter.value for letter in line.letters.sent] == [b"junk", good("")]
    assert [dict(letter.headers)["__connect.errors.offset"] for letter in line.letters.sent] == [b"1", b"2"]
    assert (line.invalid("decode"), line.invalid("label")) == (1, 1)


def test_a_batch_of_nothing_but_invalid_events_is_a_batch() -> None:
    line = Line(partition(*[b"junk"] * 4, *[good()] * 4))
    batch = line.batch()
    assert batch.events.num_rows == 0
    assert dict(batch.offsets.next) == {0: 4}
    assert line.batch().events.num_rows == 4
    assert line.reports.observed["penstock_batch_events"] == [0, 4]


def test_of_an_arrow_message_only_the_refused_rows_are_named_in_its_letter() -> None:
    value = arrow_message(pa.table({"event_id": ["a", "b", "c"], "label": ["x", "", None], "n": [1, 2, 3]}))
    line = Line(partition(value, good()))
    batch = line.batch()
    assert batch.events.column("row").to_pylist() == [0, 0]
    (letter,) = line.letters.sent
    assert letter.value == value
    assert invalid_rows(letter.headers) == (1, 2)
    assert line.invalid("label") == 2


def test_a_poisoned_stream_stops_before_its_last_batch_is_dead_lettered() -> None:
    line = Line(partition(*[b"junk"] * 8), max_invalid_run=8)
    line.batch()
    with pytest.raises(PoisonedStreamError, match="8 events in a row"):
        line.intake.next_batch(10.0)
    assert len(line.letters.sent) == 4


def test_a_fixed_rotation_goes_on_with_the_step_of_the_checkpoint() -> None:
    def first_batch(step: int) -> list[int]:
        line = Line(*[partition(*[good()] * 4, number=number) for number in range(3)], step=step, max_age_seconds=0)
        partitions: list[int] = line.batch().events.column("partition").to_pylist()
        return partitions

    assert first_batch(0) == [0, 1, 2, 0]
    assert first_batch(7) == [1, 2, 0, 1]


def test_the_unfilled_last_batch_of_a_rotation_closes_by_end() -> None:
    line = Line(partition(good(), good()), max_age_seconds=0, idle_seconds=0.5)
    batch = line.batch()
    assert (batch.closed_by, batch.events.num_rows) == ("end", 2)
    assert line.clock.seconds == 100.5
    assert line.intake.next_batch(3.0) is None
