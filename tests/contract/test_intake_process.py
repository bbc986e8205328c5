"""The intake in a process of its own: what the trainer is promised of it, on both brokers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import pytest
from confluent_kafka import Producer

from counted_telemetry import CountedTelemetry
from kafka_brokers import Broker, new_name
from penstock.adapters.intake_process.client import IntakeProcess
from penstock.adapters.intake_process.messages import Start
from penstock.errors import ConfigurationError, IntakeEndedError, PoisonedStreamError
from penstock.features import Feature, FeatureSchema
from penstock.flow import ControlOutcome, EventBatch, Offsets
from penstock.intake.config import IntakeConfig
from penstock.processes.intake import COMMAND
from penstock.wire.control import CONTROL_TYPE
from waiting import PATIENCE_SECONDS, wait_for

SCHEMA = FeatureSchema(features=(Feature(name="n", kind="number"), Feature(name="v", kind="vector", width=3)))
CONFIG = IntakeConfig(max_events=4, max_age_seconds=0.0, idle_seconds=0.2)


def value(number: int) -> bytes:
    return json.dumps(
        {"event_id": f"e-{number}", "features": {"n": number, "v": [number, 0, 1]}, "label": f"c{number % 3}"}
    ).encode()


class Line:
    """A model's topics and a process that reads them."""

    def __init__(self, broker: Broker, config: IntakeConfig = CONFIG) -> None:
        self.model = new_name()
        self.telemetry = CountedTelemetry("trainer")
        self.process = IntakeProcess(COMMAND, SCHEMA, self.telemetry)
        self._broker = broker
        self._config = config

    def start(self, offsets: Offsets | None = None, step: int = 0) -> None:
        self.process.start(
            Start(
                model=self.model,
                features=SCHEMA.features,
                kafka=self._broker.options,
                intake=self._config,
                offsets=(offsets or Offsets()).next,
                step=step,
            )
        )

    def produce(self, *values: bytes, content_type: str = "application/json") -> None:
        producer = Producer(self._broker.options)
        for each in values:
            producer.produce(f"{self.model}.labels", each, partition=0, headers=[("content-type", content_type)])
        assert producer.flush(60) == 0

    def batch(self) -> EventBatch:
        batches: list[EventBatch] = []

        def arrives() -> bool:
            batch = self.process.next_batch(0.2)
            if batch is not None:
                batches.append(batch)
            return bool(batches)

        wait_for(arrives, "a micro-batch")
        return batches[0]

    @property
    def child(self) -> psutil.Process:
        return next(each for each in psutil.Process().children() if each.pid == self.process.pid)


@pytest.fixture
def opened(broker: Broker) -> Iterator[Callable[..., Line]]:
    """Lines with topics, closed at the end."""
    lines: list[Line] = []

    def make(**changes: object) -> Line:
        line = Line(broker, replace(CONFIG, **changes))  # type: ignore[arg-type]  # fields of the dataclass
        lines.append(line)
        broker.create_model_topics(line.model, label_partitions=1)
        return line

    yield make
    for line in lines:
        line.process.close()


Open = Callable[..., Line]


def test_micro_batches_arrive_with_every_column_offsets_and_the_ends_of_the_log(opened: Open) -> None:
    line = opened()
    line.produce(*map(value, range(6)))
    line.start()
    first, second = line.batch(), line.batch()
    assert (first.closed_by, first.offsets, second.closed_by) == ("size", Offsets(next={0: 4}), "end")
    assert first.events.column("features.n").to_pylist() == [0, 1, 2, 3]
    assert first.events.column("features.v").to_pylist()[3] == [3, 0, 1]
    assert second.events.column("label").to_pylist() == ["c1", "c2"]
    assert line.process.end_offsets() == Offsets(next={0: 6})
    assert line.telemetry.value("penstock_batch_events_count") == 2
    assert line.telemetry.value("penstock_batch_events_sum") == 6


def test_it_goes_on_from_the_offsets_it_is_given(opened: Open) -> None:
    line = opened()
    line.produce(*map(value, range(6)))
    line.start(Offsets(next={0: 3}), step=1)
    assert line.batch().events.column("features.n").to_pylist() == [3, 4, 5]


def test_an_event_that_arrives_beside_a_tenant_keeps_none(opened: Open) -> None:
    line = opened()
    line.produce(value(0), json.dumps({**json.loads(value(1)), "tenant": "acme"}).encode())
    line.start()
    assert line.batch().events.column("tenant").to_pylist() == [None, "acme"]


def test_dead_letters_of_the_batches_taken_are_waited_for_and_counted(opened: Open) -> None:
    line = opened(max_events=2)
    line.produce(value(0), b"junk")
    line.start()
    assert line.batch().events.num_rows == 1
    wait_for(lambda: line.process.wait_acknowledged(1), "the broker has the letter")
    assert line.telemetry.value("penstock_events_invalid_total", reason="decode") == 1


def test_a_refused_control_becomes_a_dead_letter_that_is_waited_for(opened: Open) -> None:
    line = opened()
    request = json.dumps({"control": "wake", "classes": ["nobody"]}).encode()
    line.produce(request, content_type=CONTROL_TYPE)
    line.produce(*map(value, range(40)))
    line.start()
    (control,) = line.batch().controls
    line.process.refuse([ControlOutcome(control=control, result="refused", classes=(), sentence="Nobody sleeps.")])
    wait_for(lambda: line.process.wait_acknowledged(1), "the broker has the letter")
    while line.batch().closed_by != "end":  # what has been counted comes with a later micro-batch
        continue
    assert line.telemetry.value("penstock_events_invalid_total", reason="control") == 1


def test_what_names_an_id_that_may_be_refused_comes_once_there_is_word_on_it(opened: Open) -> None:
    line = opened(max_events=2, dedupe_window_events=100)
    at = {"topic": f"{line.model}.labels", "partition": 0, "offset": 7, "row": 0}
    undone = json.dumps({**json.loads(value(0)), "event_id": "undo", "retracts": at}).encode()
    line.produce(undone, value(1), undone, value(2))
    line.start()
    batch = line.batch()
    (control,) = batch.controls
    assert batch.awaits_word
    assert line.process.next_batch(1.0) is None
    line.process.refuse([ControlOutcome(control=control, result="refused", classes=(), sentence="Not come yet.")])
    again = line.batch()
    assert [each.offset for each in again.controls] == [2]
    line.process.refuse([])
    wait_for(lambda: line.process.wait_acknowledged(1), "the broker has the letter")
    line.produce(undone, value(3))
    assert [len(each.controls) for each in (line.batch(),)] == [0]


def test_a_poisoned_stream_stops_the_trainer_with_the_intake_s_own_sentence(opened: Open) -> None:
    line = opened(max_invalid_run=8)
    line.produce(*[b"junk"] * 8)
    line.start()
    with pytest.raises(PoisonedStreamError, match="8 events in a row"):
        wait_for(lambda: line.process.next_batch(0.2) is None and False, "the stream stops")


def test_a_missing_topic_stops_the_trainer_with_a_sentence(broker: Broker) -> None:
    line = Line(broker)
    try:
        line.start()
        with pytest.raises(ConfigurationError, match=line.model):
            wait_for(lambda: line.process.next_batch(0.2) is None and False, "it stops")
    finally:
        line.process.close()


def test_a_process_that_is_killed_stops_the_trainer_with_a_sentence(opened: Open) -> None:
    line = opened()
    line.start()
    os.kill(line.process.pid, signal.SIGKILL)
    with pytest.raises(IntakeEndedError, match="ended by signal 9"):
        wait_for(lambda: line.process.next_batch(0.2) is None and False, "it is noticed")
    line.process.commit(Offsets(next={0: 1}))  # another thread may still try


def test_ctrl_c_on_the_terminal_is_the_trainer_s_alone(opened: Open) -> None:
    line = opened()
    assert os.getsid(line.process.pid) != os.getsid(0)


def test_it_runs_ahead_of_a_trainer_that_is_busy_but_not_without_bound(opened: Open) -> None:
    line = opened()
    line.produce(*map(value, range(400)))
    line.start()
    taken = [line.batch()]
    wait_for(lambda: line.child.status() == psutil.STATUS_SLEEPING, "it has done what it may")
    producer_is_ahead = line.process.end_offsets()
    taken += [line.batch() for _ in range(99)]
    assert producer_is_ahead == Offsets(next={0: 400})
    numbers = [number for each in taken for number in each.events.column("features.n").to_pylist()]
    assert numbers == list(range(400))


def test_it_ends_when_the_trainer_is_killed(broker: Broker) -> None:
    program = (
        "import sys, time; from penstock.adapters.intake_process.client import IntakeProcess;"
        "from penstock.features import Feature, FeatureSchema; from penstock.processes.intake import COMMAND;"
        "p = IntakeProcess(COMMAND, FeatureSchema(features=(Feature(name='n', kind='number'),)), None);"
        "print(p.pid, flush=True); time.sleep(600)"
    )
    trainer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert trainer.stdout is not None
    child = psutil.Process(int(trainer.stdout.readline()))
    trainer.kill()
    trainer.wait()
    trainer.stdout.close()
    child.wait(PATIENCE_SECONDS)
