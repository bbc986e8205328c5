"""From messages to micro-batches of valid events, everything real but the broker."""

import pyarrow as pa
import pytest

from kafka_messages import KafkaMessage
from penstock.errors import PoisonedStreamError
from penstock.features import Feature, FeatureSchema
from penstock.flow import ClassRequest, ControlOutcome, EventBatch
from penstock.intake.config import IntakeConfig
from penstock.intake.intake import Intake
from penstock.intake.refusal import Refusal
from penstock.wire.control import CONTROL_TYPE, encode_control
from penstock.wire.dead_letter import invalid_rows
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import arrow_message, json_event
from scripted_log import Letters, Reports, ScriptedLog
from stepped_clock import SteppedClock

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


def test_batches_that_are_decoded_together_are_handed_out_one_by_one_with_their_own_letters() -> None:
    line = Line(partition(*(b"junk" if number in (9, 14) else good(str(number)) for number in range(24))))
    for first in range(0, 24, 4):
        batch = line.batch()
        numbers = [number for number in range(first, first + 4) if number not in (9, 14)]
        assert batch.events.column("label").to_pylist() == [str(number) for number in numbers]
        assert batch.events.column("offset").to_pylist() == numbers
        assert dict(batch.offsets.next) == {0: first + 4}
        assert len(line.letters.sent) == sum(number < first + 4 for number in (9, 14)), "not before its batch"
    assert [wanted for wanted, _ in line.source.polls] == [4, 512], (
        "all that waited behind the first batch was polled and decoded at once"
    )


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


def control(offset: int, *classes: str, number: int = 0) -> KafkaMessage:
    value = encode_control(ClassRequest(verb="hibernate", classes=classes))
    headers: list[tuple[str, bytes | None]] = [("content-type", CONTROL_TYPE.encode())]
    return KafkaMessage(value, at_partition=number, at_offset=offset, with_headers=headers)


@pytest.mark.parametrize("max_age_seconds", [0, 0.02])
def test_a_control_counts_as_one_event_of_its_batch_and_keeps_its_place(max_age_seconds: float) -> None:
    messages = partition(*[good(label) for label in "abcdef"])
    messages[1], messages[4] = control(1, "x"), control(4, "y")
    line = Line(messages, max_events=3, max_age_seconds=max_age_seconds)
    first, second = line.batch(), line.batch()
    assert [batch.events.column("label").to_pylist() for batch in (first, second)] == [["a", "c"], ["d", "f"]]
    assert [(each.at, each.offset) for batch in (first, second) for each in batch.controls] == [(1, 1), (1, 4)]
    assert dict(second.offsets.next) == {0: 6}
    assert line.letters.sent == []


def test_with_several_partitions_a_control_has_the_place_that_the_rotation_gives_it() -> None:
    def batches(chop: int) -> list[tuple[list[tuple[int, int]], list[tuple[int, int, int]]]]:
        parts = [partition(*[good()] * 4, number=number) for number in range(3)]
        parts[1][2] = control(2, "x", number=1)
        line = Line(*parts, max_events=4, max_age_seconds=0)
        line.source = ScriptedLog(dict(enumerate(parts)), line.clock, chop=lambda most: min(most, chop))
        line.intake = Intake(
            line.source,
            line.letters,
            EventDecoder(SCHEMA),
            IntakeConfig(max_events=4, max_age_seconds=0),
            line.clock,
            line.reports,
        )
        made = []
        for batch in [line.batch() for _ in range(3)]:
            places = zip(
                batch.events.column("partition").to_pylist(), batch.events.column("offset").to_pylist(), strict=True
            )
            made.append((list(places), [(each.at, each.partition, each.offset) for each in batch.controls]))
        return made

    assert batches(1) == batches(2) == batches(100)
    assert [controls for _, controls in batches(1)] == [[], [(3, 1, 2)], []]


def test_a_control_that_cannot_be_carried_out_goes_to_the_dead_letters_with_the_sentence() -> None:
    retracting = arrow_message(
        pa.table({"event_id": ["a", "b"], "label": ["x", "y"], "n": [1, 2], "retracts": [None, "e"]})
    )
    line = Line([control(0, "x"), KafkaMessage(retracting, at_offset=1), KafkaMessage(good(), at_offset=2)])
    batch = line.batch()
    line.intake.refuse(
        [
            Refusal.of(ControlOutcome(control=each, result="refused", classes=(), sentence=f"No {number}."))
            for number, each in enumerate(batch.controls)
        ]
    )
    first, second = line.letters.sent
    assert (first.value, second.value) == (control(0, "x").value(), retracting)
    assert (first.headers[0], invalid_rows(first.headers)) == (("content-type", CONTROL_TYPE.encode()), None)
    assert dict(first.headers)["__connect.errors.exception.message"] == b"No 0."
    assert invalid_rows(second.headers) == (1,)
    assert (line.invalid("control"), line.invalid("retracts")) == (1, 1)
