"""Micro-batches with late labels: joined, dead-lettered if unmatched, and held while that is not certain."""

import pytest

from kafka_messages import KafkaMessage
from penstock.errors import PoisonedStreamError
from penstock.features import Feature, FeatureSchema
from penstock.intake.config import IntakeConfig, LateLabelsConfig
from penstock.intake.intake import Intake
from penstock.intake.late_labels import LateLabels
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import json_event
from scripted_log import Letters, Reports, ScriptedLog
from scripted_predictions import Logged, ScriptedPredictions
from stepped_clock import SteppedClock

SCHEMA = FeatureSchema(features=(Feature(name="n", kind="number"),))
NOW_MS = 100_000


def good(label: str) -> bytes:
    return json_event(event_id="e", features={"n": 1}, label=label)


def late(label: str, prediction_id: str = "p") -> bytes:
    return json_event(event_id="e", prediction_id=prediction_id, label=label)


def logged(stamped_ms: int, prediction_id: str = "p", n: object = 7) -> Logged:
    value = b'{"prediction_id": "-", "features": {"n": %b}, "label": "x"}' % str(n).encode()
    return Logged(stamped_ms, prediction_id, value=value)


class Line:
    """An intake and all that it touches, at `NOW_MS`."""

    def __init__(self, *values: bytes, predictions: tuple[Logged, ...] | None = (), max_invalid_run: int = 99) -> None:
        self.clock, self.letters, self.reports = SteppedClock(), Letters(), Reports()
        messages = [
            KafkaMessage(value, at_offset=offset, timestamp_ms=NOW_MS - len(values) + offset)
            for offset, value in enumerate(values)
        ]
        self.predictions = ScriptedPredictions(predictions or (), self.clock, num_partitions=1)
        late_labels = LateLabels(self.predictions, LateLabelsConfig(wait_seconds=1.0), self.clock, read_until_ms=0)
        self.intake = Intake(
            ScriptedLog({0: messages}, self.clock),
            self.letters,
            EventDecoder(SCHEMA),
            IntakeConfig(max_events=2, max_invalid_run=max_invalid_run),
            self.clock,
            self.reports,
            late_labels=None if predictions is None else late_labels,
        )

    def reasons(self) -> list[bytes | None]:
        return [dict(letter.headers)["penstock.invalid-reason"] for letter in self.letters.sent]


def test_late_labels_and_others_are_learnt_in_one_batch() -> None:
    line = Line(good("a"), late("b"), predictions=(logged(NOW_MS - 50),))
    batch = line.intake.next_batch(10.0)
    assert batch is not None
    assert batch.events.column("label").to_pylist() == ["a", "b"]
    assert batch.events.column("features.n").to_pylist() == [1.0, 7.0]
    assert batch.read_until_ms == NOW_MS - 1
    assert line.reports.counts[("penstock_late_labels_joined_total", frozenset())] == 1
    assert line.letters.sent == []


def answered(version: int, label: str, prediction_id: str) -> Logged:
    value = b'{"model_version": %d, "label": "%b", "features": {"n": 7}}' % (version, label.encode())
    return Logged(NOW_MS - 50, prediction_id, value=value)


def test_late_labels_judge_the_version_that_answered() -> None:
    predictions = (
        answered(3, "b", "p1"),
        answered(3, "c", "p2"),
        answered(2, "b", "p3"),
        Logged(NOW_MS - 50, "p4", value=b'{"features": {"n": "not a number"}, "model_version": 2, "label": "b"}'),
        Logged(NOW_MS - 50, "p5", value=b'{"features": {"n": 1}, "model_version": "two", "label": "b"}'),
    )
    values = [late("b", f"p{number}") for number in range(1, 6)]
    line = Line(good("b"), *values, predictions=predictions)
    batches = [line.intake.next_batch(10.0) for _ in range(3)]
    judged = [one for batch in batches if batch is not None for one in batch.judged]
    assert sum(batch.events.num_rows for batch in batches if batch is not None) == 5
    assert sorted((one.version, one.events, one.right) for one in judged) == [(2, 1, 1), (3, 1, 0), (3, 1, 1)]


def test_a_batch_is_held_until_it_is_certain_and_the_caller_gets_its_turn_meanwhile() -> None:
    line = Line(good("a"), late("b", "unknown"), good("c"), good("d"))
    turns = 0
    while (batch := line.intake.next_batch(0.1)) is None:
        turns += 1
        assert line.letters.sent == []
    assert turns > 5, "the publisher must not wait for a prediction that never comes"
    assert batch.events.column("label").to_pylist() == ["a"]
    assert dict(batch.offsets.next) == {0: 2}
    assert line.reasons() == [b"unmatched"]
    sentence = dict(line.letters.sent[0].headers)["__connect.errors.exception.message"]
    assert sentence == b"prediction_id 'unknown' names no prediction logged in the 3600 s before the label."
    assert line.reports.counts[("penstock_events_invalid_total", frozenset({("reason", "unmatched")}))] == 1
    following = line.intake.next_batch(1.0)
    assert following is not None
    assert following.events.column("label").to_pylist() == ["c", "d"]


def test_without_a_prediction_log_late_labels_are_refused_at_once_with_the_key_to_set() -> None:
    line = Line(late("b"), good("a"), predictions=None)
    batch = line.intake.next_batch(0.0)
    assert batch is not None
    assert batch.events.column("label").to_pylist() == ["a"]
    assert batch.read_until_ms == 0
    assert line.reasons() == [b"unmatched"]
    sentence = dict(line.letters.sent[0].headers)["__connect.errors.exception.message"]
    assert sentence is not None
    assert b"serving.prediction_log.enabled is false" in sentence


def test_too_many_unmatched_labels_stop_the_trainer_before_they_drain_the_topic() -> None:
    line = Line(*[late("b", "unknown")] * 4, max_invalid_run=4)
    assert line.intake.next_batch(10.0) is not None
    with pytest.raises(PoisonedStreamError, match="names no prediction logged"):
        line.intake.next_batch(10.0)
