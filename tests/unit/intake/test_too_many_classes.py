"""Events of a class too many: the learner refuses them, the intake dead-letters them, and a flood of them stops it."""

import json

import pyarrow as pa
import pytest

from kafka_messages import KafkaMessage
from penstock.errors import PoisonedStreamError
from penstock.features import Feature, FeatureSchema
from penstock.flow import EventBatch, Offsets, RefusedEvent, StepReport
from penstock.intake.config import IntakeConfig
from penstock.intake.intake import Intake
from penstock.intake.refusal import Refusal
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig
from penstock.wire.dead_letter import invalid_rows
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import arrow_message
from scripted_log import Letters, Reports, ScriptedLog
from stepped_clock import SteppedClock

FEATURES = (Feature(name="n", kind="number"),)
SCHEMA = FeatureSchema(features=FEATURES)


def event(label: str) -> bytes:
    return json.dumps({"event_id": "e", "features": {"n": 1.0}, "label": label}).encode()


def new_learner(max_classes: int) -> Learner:
    model = ModelConfig(name="m", features=FEATURES, backbone=BackboneConfig(hidden=(4,)), max_classes=max_classes)
    training = TrainingConfig(device="cpu", learning_rate=0.01, inner_steps=1)
    return Learner(model, training, ReplayConfig(capacity=50), topic="m.labels", max_events=4)


class Line:
    """Intake and learner, with the loop between them."""

    def __init__(self, *values: bytes, max_classes: int, **config: float) -> None:
        self.learner = new_learner(max_classes)
        self.letters, self.reports, clock = Letters(), Reports(), SteppedClock()
        messages = [KafkaMessage(value, at_offset=offset) for offset, value in enumerate(values)]
        self.intake = Intake(
            ScriptedLog({0: messages}, clock),
            self.letters,
            EventDecoder(SCHEMA),
            IntakeConfig(**{"max_events": 4, **config}),  # type: ignore[arg-type]  # counts are whole here
            clock,
            self.reports,
            ahead=2,
            max_classes=max_classes,
        )

    def learn(self) -> list[StepReport]:
        """Everything; refusals come two batches late, as from another process."""
        reports: list[StepReport] = []
        while (batch := self.intake.next_batch(10.0)) is not None:
            reports.append(self.learner.learn(batch))
            if len(reports) > 2:
                self._refuse(reports[-3])
        for report in reports[-2:]:
            self._refuse(report)
        return reports

    def _refuse(self, report: StepReport) -> None:
        self.intake.refuse([Refusal.of(refused) for refused in report.refused])


def test_an_event_of_a_class_too_many_is_dead_lettered_and_known_classes_are_learnt_on() -> None:
    labels = ["a", "b", "c", "a", "d", "b", "c", "b", "a", "a"]
    line = Line(*map(event, labels), max_classes=2)
    reports = line.learn()
    assert line.learner.class_names == ("a", "b")
    assert line.learner.events_learnt == labels.count("a") + labels.count("b")
    assert sum(report.num_events for report in reports) == line.learner.events_learnt
    assert [letter.value for letter in line.letters.sent] == [event("c"), event("d"), event("c")]
    headers = dict(line.letters.sent[0].headers)
    assert headers["penstock.invalid-reason"] == b"classes"
    assert headers["__connect.errors.exception.message"] == (
        b"label is 'c', a new class; there are 2 already, as many as model.max_classes allows."
    )
    assert line.reports.counts["penstock_events_invalid_total", frozenset({("reason", "classes")})] == 3


def test_an_arrow_message_becomes_one_letter_that_names_its_rows() -> None:
    table = pa.table({"event_id": list("123456"), "n": [1.0] * 6, "label": ["a", "x", "b", "y", "x", "a"]})
    line = Line(event("a"), event("b"), arrow_message(table), max_classes=2)
    line.learn()
    (letter,) = line.letters.sent
    assert invalid_rows(letter.headers) == (1, 3, 4)
    assert letter.value == arrow_message(table)


def test_a_flood_of_new_classes_stops_the_trainer() -> None:
    flood = [event(f"new-{number}") for number in range(100)]
    line = Line(event("a"), *flood, max_classes=1, max_invalid_run=50)
    with pytest.raises(PoisonedStreamError, match="events in a row were invalid"):
        line.learn()
    assert len(line.letters.sent) < 65
    half = [event("a" if number % 3 == 0 else f"new-{number}") for number in range(200)]
    line = Line(event("a"), *half, max_classes=1, invalid_window=60, max_invalid_ratio=0.5)
    with pytest.raises(PoisonedStreamError, match="of the last 60 events were invalid"):
        line.learn()


def test_a_resumed_learner_refuses_the_same_events() -> None:
    """P2: the class ledger decides, and it is in the checkpoint."""
    rows = [(number, f"c-{number % 7}") for number in range(40)]

    def batch(part: list[tuple[int, str]]) -> EventBatch:
        messages = [KafkaMessage(event(label), at_offset=offset) for offset, label in part]
        decoded = EventDecoder(SCHEMA).decode(messages)
        return EventBatch(
            events=decoded.events, offsets=Offsets(next={0: part[-1][0] + 1}), closed_by="size", age_seconds=0
        )

    def refused(learner: Learner, part: list[tuple[int, str]]) -> tuple[RefusedEvent, ...]:
        return learner.learn(batch(part)).refused_events

    whole, broken_off = new_learner(5), new_learner(5)
    first = refused(whole, rows[:11])
    refused(broken_off, rows[:11])
    checkpoint, _ = broken_off.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    resumed = new_learner(5)
    resumed.restore(checkpoint)
    assert [each.offset for each in first] == [5, 6]
    assert refused(resumed, rows[11:]) == refused(whole, rows[11:])
    assert resumed.class_names == whole.class_names
    assert len(whole.class_names) == 5
