"""Row 13: the same event delivered twice is learnt once within the window, and counted beyond it."""

import json
import sys
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kafka_messages import KafkaMessage
from penstock.features import Feature, FeatureSchema
from penstock.flow import EventBatch, RetractionRequest
from penstock.intake.config import IntakeConfig
from penstock.intake.intake import Intake
from penstock.intake.refusal import Refusal
from penstock.intake.repeated_events import RepeatedEvents
from penstock.intake.repeats import FORGET, Repeats
from penstock.learning.seen_events import SeenEvents
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_keys import NO_KEYS, Keys, keys_of
from penstock.wire.event_writer import arrow_message
from penstock.wire.replay import mark
from scripted_log import Letters, Reports, ScriptedLog
from stepped_clock import SteppedClock

SCHEMA = FeatureSchema(features=(Feature(name="n", kind="number"),))


def event(event_id: str, n: float = 1.0, **more: Any) -> bytes:
    return json.dumps({"event_id": event_id, "features": {"n": n}, "label": "x", **more}).encode()


class Line:
    """An intake that looks for repeats, over one partition unless told otherwise."""

    def __init__(
        self,
        *messages: KafkaMessage,
        window: int = 100,
        seen: Keys = NO_KEYS,
        max_events: int = 4,
        offsets: dict[int, int] | None = None,
        step: int = 0,
        ahead: int = 0,
        max_classes: int = sys.maxsize,
    ) -> None:
        self.reports, self.letters = Reports(), Letters()
        partitions: dict[int, list[KafkaMessage]] = {}
        for message in messages:
            partitions.setdefault(message.at_partition, []).append(message)
        clock = SteppedClock()
        self.intake = Intake(
            ScriptedLog(partitions, clock, offsets=offsets),
            self.letters,
            EventDecoder(SCHEMA, keeps_event_ids=True),
            IntakeConfig(max_events=max_events, max_age_seconds=0, dedupe_window_events=window),
            clock,
            self.reports,
            step=step,
            ahead=ahead,
            max_classes=max_classes,
            repeated=RepeatedEvents(window, seen, self.reports),
        )

    def batches(self) -> list[EventBatch]:
        found = []
        while (batch := self.intake.next_batch(10.0)) is not None:
            found.append(batch)
        return found

    def repeated(self, outcome: str) -> float:
        return self.reports.counts.get(("penstock_events_repeated_total", frozenset({("outcome", outcome)})), 0)


def retraction(event_id: str, of: str | dict[str, Any]) -> bytes:
    return event(event_id, retracts=of)


def refusal(offset: int, partition: int = 0) -> Refusal:
    return Refusal(partition=partition, offset=offset, row=0, reason="retracts", sentence="It has not come yet.")


def log(*values: bytes, partition: int = 0) -> list[KafkaMessage]:
    return [KafkaMessage(value, at_offset=offset, at_partition=partition) for offset, value in enumerate(values)]


def learnt(batches: list[EventBatch]) -> list[float]:
    return [n for batch in batches for n in batch.events.column("features.n").to_pylist()]


def test_a_repeat_is_passed_over_in_the_same_batch_and_in_a_later_one_and_offsets_move_on() -> None:
    line = Line(*log(event("a", 1), event("a", 2), event("b", 3), event("b", 4), event("a", 5), event("c", 6)))
    batches = line.batches()
    assert learnt(batches) == [1, 3, 6]
    assert [dict(batch.offsets.next) for batch in batches] == [{0: 4}, {0: 6}]
    assert line.repeated("passed_over") == 3
    assert line.letters.sent == []
    assert [name for name in batches[0].events.schema.names if "id" in name] == []


def test_rows_of_arrow_messages_and_events_of_other_partitions_are_told_apart_likewise() -> None:
    table = pa.table({"event_id": ["a", "b", "a"], "n": [1.0, 2.0, 3.0], "label": ["x", "y", "z"]})
    other = [KafkaMessage(event("b", 9), at_partition=1, at_offset=0)]
    line = Line(*log(arrow_message(table)), *other)
    assert learnt(line.batches()) == [1, 2]
    assert line.repeated("passed_over") == 2


def test_beyond_the_window_a_repeat_is_learnt_again_and_counted() -> None:
    between = [event(f"between-{number}") for number in range(10)]
    line = Line(*log(event("a", 7), *between, event("a", 8)), window=10)
    assert 8 in learnt(line.batches())
    assert (line.repeated("learnt_again"), line.repeated("passed_over")) == (1, 0)
    nearer = Line(*log(event("a", 7), *between[:9], event("a", 8)), window=10)
    assert 8 not in learnt(nearer.batches())


def test_an_invalid_event_leaves_its_id_to_the_event_put_right_and_a_replayed_letter_is_no_repeat() -> None:
    wrong = json.dumps({"event_id": "a", "features": {}, "label": "x"}).encode()
    line = Line(*log(wrong, event("a", 2), event("b", 3)))
    assert learnt(line.batches()) == [2, 3]
    replayed = KafkaMessage(event("b", 4), at_offset=1, with_headers=[mark("digits.dead-letters", 0, 5)])
    line = Line(KafkaMessage(event("b", 3)), replayed)
    assert learnt(line.batches()) == [3, 4]
    assert line.repeated("passed_over") == 0


def test_retractions_keep_their_ids_apart_are_carried_out_once_and_free_what_they_retract() -> None:
    line = Line(
        *log(
            event("a", 1),
            event("a", 1, retracts="a"),  # under the very id of the event
            event("a", 1, retracts="a"),  # delivered twice
            event("a", 2),  # put right under the old id
            event("a", 3),
            event("b", 4),
        ),
        max_events=6,
    )
    (batch,) = line.batches()
    assert learnt([batch]) == [1, 2, 4]
    (control,) = batch.controls
    assert isinstance(control.request, RetractionRequest)
    assert (control.request.of, control.at, control.offset) == ("a", 1, 1)
    assert "event_id" not in control.request.event.schema.names
    assert line.repeated("passed_over") == 2


def test_of_a_batch_with_a_correction_in_it_nothing_is_learnt_again_however_often_it_is_delivered() -> None:
    sent = (event("a", 1), retraction("undo", "a"), event("a", 2))
    line = Line(*log(*sent, *sent, *sent), max_events=3)
    batches = line.batches()
    assert [learnt([batch]) for batch in batches] == [[1, 2], [], []]
    assert [len(batch.controls) for batch in batches] == [1, 0, 0]


@pytest.mark.parametrize("max_events", [1, 3])
def test_a_retraction_that_is_replayed_from_the_dead_letters_is_no_repeat(max_events: int) -> None:
    at = {"topic": "digits.labels", "partition": 0, "offset": 2, "row": 0}
    replayed = KafkaMessage(
        retraction("undo", at), at_offset=1, with_headers=[mark("digits.dead-letters", partition=0, offset=5)]
    )
    line = Line(
        KafkaMessage(retraction("undo", at)),
        replayed,
        KafkaMessage(retraction("undo", at), at_offset=2),
        max_events=max_events,
    )
    assert [control.offset for batch in line.batches() for control in batch.controls] == [0, 1]


def test_an_event_that_the_learner_refuses_leaves_its_id_to_the_event_put_right() -> None:
    line = Line(*log(event("a", 1), event("a", 2), event("a", 3)), max_events=1, max_classes=0)
    first = line.intake.next_batch(10.0)
    assert first is not None
    line.intake.refuse([refusal(0)])
    assert learnt([first, *line.batches()]) == [1, 2]


def test_a_retraction_that_the_learner_refuses_leaves_its_id_free_and_that_of_its_event_known() -> None:
    line = Line(*log(event("a", 1), retraction("undo", "a"), event("a", 2), retraction("undo", "a")), max_events=2)
    first = line.intake.next_batch(10.0)
    assert first is not None
    line.intake.refuse([refusal(1)])
    (second,) = line.batches()
    assert learnt([second]) == []
    assert len(second.controls) == 1


def judged(batch: EventBatch, *, may_refuse_events: bool) -> list[Refusal]:
    """As a learner that refuses by offset alone."""
    offsets = [control.offset for control in batch.controls]
    if may_refuse_events:
        offsets += batch.events.column("offset").to_pylist()
    return [refusal(offset) for offset in offsets if offset % 5 == 2]


def run_behind(
    line: Line, lag: int, seen: SeenEvents, *, may_refuse_events: bool
) -> list[tuple[list[float], int, list[int]]]:
    """All batches of an intake whose learner is `lag` behind: what is learnt, controls, and what is kept after each."""
    found: list[tuple[list[float], int, list[int]]] = []
    waiting = deque[EventBatch]()
    while True:
        batch = line.intake.next_batch(10.0)
        if batch is not None:
            waiting.append(batch)
        elif not waiting:
            return found
        if batch is None or len(waiting) > lag:
            oldest = waiting.popleft()
            refused = judged(oldest, may_refuse_events=may_refuse_events)
            seen.add(oldest)
            seen.take_back(oldest, {(each.partition, each.offset, each.row) for each in refused})
            found.append((learnt([oldest]), len(oldest.controls), seen.entries().tolist()))
            line.intake.refuse(refused)
            if oldest.awaits_word:
                line.intake.judged()


@pytest.mark.parametrize("may_refuse_events", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_with_refusals_it_decides_alike_however_far_ahead_it_is_and_wherever_it_is_taken_up_again(
    seed: int, may_refuse_events: bool
) -> None:
    """P2: word on what is refused comes some batches late, and none comes after a restart."""
    generator = np.random.default_rng(seed)

    def value(offset: int) -> bytes:
        of = {"retracts": f"e-{generator.integers(12)}"} if generator.random() < 0.3 else {}
        return event(f"{'r' if of else 'e'}-{generator.integers(12)}", offset, **of)

    messages = [
        KafkaMessage(
            value(offset),
            at_offset=offset,
            with_headers=[mark("digits.dead-letters", 0, 5)] if generator.random() < 0.05 else [],
        )
        for offset in range(150)
    ]
    window, max_classes = 15, 0 if may_refuse_events else sys.maxsize

    def run(seen: SeenEvents, step: int, lag: int) -> list[tuple[list[float], int, list[int]]]:
        line = Line(
            *messages,
            window=window,
            seen=seen.entries(),
            max_events=4,
            offsets={0: 4 * step},
            step=step,
            ahead=8,
            max_classes=max_classes,
        )
        return run_behind(line, lag, seen, may_refuse_events=may_refuse_events)

    whole = run(SeenEvents(window), 0, 0)
    assert len(whole) == 38
    for lag in (1, 3, 8):
        assert run(SeenEvents(window), 0, lag) == whole
    for step in range(1, len(whole), 4):
        kept = SeenEvents(window)
        kept.restore({"seen.entries": np.array(whole[step - 1][2], dtype=np.uint64)})
        assert run(kept, step, 2) == whole[step:]


def test_an_event_without_its_twin_is_untouched_when_ids_are_not_looked_at() -> None:
    clock, reports = SteppedClock(), Reports()
    source = ScriptedLog({0: log(event("a", 1), event("a", 2))}, clock)
    plain = Intake(source, Letters(), EventDecoder(SCHEMA), IntakeConfig(max_events=2), clock, reports)
    batch = plain.next_batch(10.0)
    assert batch is not None
    assert learnt([batch]) == [1, 2]
    assert len(batch.seen) == 0


@pytest.mark.parametrize("seed", range(4))
def test_taken_up_again_behind_any_batch_it_decides_as_if_it_had_never_stopped(seed: int) -> None:
    """P2: what was seen travels in the checkpoint, so the same events are learnt wherever a run is broken off."""
    generator = np.random.default_rng(seed)
    messages = [
        KafkaMessage(
            event(f"e-{generator.integers(120)}", offset, **({"retracts": "e-3"} if offset % 37 == 5 else {})),
            at_partition=partition,
            at_offset=offset,
        )
        for partition in range(2)
        for offset in range(150)
    ]
    window = 40
    whole = Line(*messages, window=window, max_events=7).batches()
    kept, offsets = SeenEvents(window), {0: 0, 1: 0}
    for step, batch in enumerate(whole):
        resumed = Line(
            *messages, window=window, max_events=7, seen=kept.entries(), offsets=offsets, step=step
        ).batches()
        assert learnt(resumed) == learnt(whole[step:])
        assert [len(each.controls) for each in resumed] == [len(each.controls) for each in whole[step:]]
        kept.add(batch)
        restored = SeenEvents(window)
        restored.restore(kept.tensors())
        kept = restored
        offsets |= batch.offsets.next
        assert int(np.count_nonzero((kept.entries() & FORGET) == 0)) <= window


def test_memory_is_bounded_however_many_ids_come() -> None:
    repeats = Repeats(10)
    for start in range(0, 10_000, 50):
        repeats.note(keys_of(pa.array([str(number) for number in range(start, start + 50)])))
        assert len(repeats) <= 90
    assert not replace(repeats.note(keys_of(pa.array(["9995"])))).is_new[0]
