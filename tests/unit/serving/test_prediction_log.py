"""Predictions are logged off the request path: bounded, counted when dropped, never waited for."""

import json
import threading
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from counted_telemetry import CountedTelemetry
from penstock.clock import SystemClock
from penstock.serving import prediction_log as module
from penstock.serving.inference import Answer
from penstock.serving.prediction_log import PredictionLog
from served_models import MIXED, served
from waiting import wait_for

COLUMNS = {
    "amount": np.array([1.0, 2.0]),
    "x": np.zeros((2, 3), np.float32),
    "country": pa.array(["de", "fr"]),
    "note": pa.array(["a", "b"]),
}


class Sink:
    """A `PredictionSink` that takes nothing while it is shut."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes]] = []
        self.opened = threading.Event()
        self.opened.set()
        self.closed = False

    def send(self, key: bytes, value: bytes) -> None:
        self.opened.wait(60)
        self.sent.append((key, value))

    def serve(self) -> None:
        pass

    def flush(self, timeout_seconds: float) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Replica:
    """A log and what it touches."""

    def __init__(self, sample: float = 1.0) -> None:
        self.sink, self.telemetry = Sink(), CountedTelemetry()
        self.chances: Iterator[float] = iter([0.0, 0.2, 0.5, 0.9] * 10)
        self.log = PredictionLog(
            self.sink, sample=sample, telemetry=self.telemetry, clock=SystemClock(), chance=lambda: next(self.chances)
        )
        self.answer = Answer(
            served=served(1, MIXED),
            probabilities=np.array([[0.1, 0.6, 0.1, 0.1, 0.1], [0.5, 0.5, 0, 0, 0]], np.float32),
        )

    def records(self) -> dict[str, dict[str, object]]:
        return {key.decode(): json.loads(value) for key, value in self.sink.sent}


@pytest.fixture
def replica() -> Iterator[Replica]:
    made = Replica()
    made.log.start()
    yield made
    made.sink.opened.set()
    made.log.close()


def test_each_row_is_logged_under_the_id_that_the_request_gave(replica: Replica) -> None:
    assert replica.log.take("mine", COLUMNS, replica.answer) == "mine"
    wait_for(lambda: len(replica.sink.sent) == 2, "both rows")
    records = replica.records()
    assert list(records) == ["mine#0", "mine#1"]
    first = records["mine#0"]
    assert first["features"] == {"amount": 1.0, "x": [0.0, 0.0, 0.0], "country": "de", "note": "a"}
    assert (first["label"], round(float(str(first["probability"])), 3)) == ("c1", 0.6)
    assert (first["model"], first["model_version"]) == ("mixed", 1)


@pytest.mark.parametrize("request_id", [None, "", "x" * 201])
def test_a_request_without_a_usable_id_gets_one_of_its_own(replica: Replica, request_id: str | None) -> None:
    ids = {replica.log.take(request_id, COLUMNS, replica.answer) for _ in range(2)}
    assert len(ids) == 2
    wait_for(lambda: len(replica.sink.sent) == 4, "all rows")
    assert {key.partition("#")[0] for key in replica.records()} == ids


def test_only_the_sample_is_logged_and_only_its_answers_carry_an_id() -> None:
    replica = Replica(sample=0.5)
    ids = [replica.log.take(f"q{number}", COLUMNS, replica.answer) for number in range(4)]
    assert ids == ["q0", "q1", None, None]
    assert replica.telemetry.value("penstock_predictions_dropped_total", reason="queue") == 0


@pytest.mark.parametrize("limit", ["MAX_QUEUED_REQUESTS", "MAX_QUEUED_BYTES"])
def test_while_the_sink_takes_nothing_predictions_are_dropped_and_counted(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    num_bytes = sum(column.nbytes for column in COLUMNS.values())
    monkeypatch.setattr(module, limit, 3 if limit == "MAX_QUEUED_REQUESTS" else 3 * num_bytes)
    replica.sink.opened.clear()
    ids = [replica.log.take(f"q{number}", COLUMNS, replica.answer) for number in range(30)]
    taken = [one for one in ids if one is not None]
    assert 3 <= len(taken) <= 4, "and the one that the thread had taken already"
    dropped = replica.telemetry.value("penstock_predictions_dropped_total", reason="queue")
    assert dropped == 2 * (30 - len(taken)), "rows, not requests"
    replica.sink.opened.set()
    wait_for(lambda: len(replica.sink.sent) == 2 * len(taken), "what was taken is logged")
    assert replica.log.take("again", COLUMNS, replica.answer) == "again"


def test_a_record_that_fails_does_not_end_the_log(replica: Replica) -> None:
    assert replica.log.take("\ud800", COLUMNS, replica.answer)
    replica.log.take("fine", COLUMNS, replica.answer)
    wait_for(lambda: len(replica.sink.sent) == 2, "the next one")
    assert replica.telemetry.value("penstock_predictions_dropped_total", reason="failed") == 1


def test_what_waits_is_logged_when_the_replica_ends() -> None:
    replica = Replica()
    replica.log.take("last", COLUMNS, replica.answer)
    replica.log.start()
    replica.log.close()
    assert list(replica.records()) == ["last#0", "last#1"]
    assert replica.sink.closed
