"""Logs what was asked and answered, off the request path, so that a label may later name the prediction.

A request only puts references into a bounded queue; where that is full its predictions are dropped and counted, and its
answer carries no id. One thread turns them into records and hands those to the sink, which may wait for the broker.
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

import structlog

from penstock.clock import Clock
from penstock.learning.rows import Columns
from penstock.serving.inference import Answer
from penstock.serving.ports import PredictionSink
from penstock.telemetry import Telemetry
from penstock.wire.prediction import MAX_REQUEST_ID_CHARACTERS, encode_predictions

MAX_QUEUED_BYTES = 67_108_864
"""Of columns that wait to be logged …"""
MAX_QUEUED_REQUESTS = 8192
"""… and of requests."""
CLOSE_SECONDS = 2.0
IDLE_SECONDS = 0.2
"""How often the sink is served while nothing is asked."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    prediction_id: str
    columns: Columns
    answer: Answer
    answered_at_ms: int
    num_bytes: int


class PredictionLog:
    """Works from `start` to `close`; `take` belongs to one event loop.

    Args:
        sink: the prediction topic.
        sample: the share of requests that are logged, above 0 and at most 1.
        telemetry: for what is dropped.
        clock: for `answered_at`.
        chance: uniform in [0, 1), for the sample.
    """

    def __init__(
        self,
        sink: PredictionSink,
        *,
        sample: float,
        telemetry: Telemetry,
        clock: Clock,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._sink = sink
        self._sample = sample
        self._telemetry = telemetry
        self._clock = clock
        self._chance = chance
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._bytes_taken = 0
        self._bytes_logged = 0
        self._is_dropping = False
        self._thread = Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def take(self, request_id: str | None, columns: Columns, answer: Answer) -> str | None:
        """Have one request's predictions logged; never waits.

        Returns the id under which they will be found, the request's own if it gave one that is usable; None if they
        are not logged.
        """
        if self._chance() >= self._sample:
            return None
        num_bytes = sum(column.nbytes for column in columns.values())
        if self._is_full(num_bytes):
            self._drop(len(answer.probabilities))
            return None
        self._is_dropping = False
        is_usable = request_id and len(request_id) <= MAX_REQUEST_ID_CHARACTERS
        prediction_id = request_id if request_id and is_usable else uuid.uuid4().hex
        self._bytes_taken += num_bytes
        self._queue.put(
            _Waiting(
                prediction_id=prediction_id,
                columns=columns,
                answer=answer,
                answered_at_ms=self._clock.now_ms(),
                num_bytes=num_bytes,
            )
        )
        return prediction_id

    def close(self) -> None:
        """Log what waits, for as long as `CLOSE_SECONDS`, and stop."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
        self._sink.flush(CLOSE_SECONDS)
        self._sink.close()

    def _is_full(self, num_bytes: int) -> bool:
        waiting_bytes = self._bytes_taken - self._bytes_logged
        return waiting_bytes + num_bytes > MAX_QUEUED_BYTES or self._queue.qsize() >= MAX_QUEUED_REQUESTS

    def _drop(self, num_rows: int) -> None:
        self._telemetry.count("penstock_predictions_dropped_total", num_rows, reason="queue")
        if not self._is_dropping:
            self._is_dropping = True
            log.warning("predictions are not logged: too many wait already", requests=self._queue.qsize())

    def _run(self) -> None:
        while True:
            try:
                waiting = self._queue.get(timeout=IDLE_SECONDS)
            except Empty:
                self._sink.serve()
                continue
            if waiting is None:
                return
            try:
                self._log(waiting)
            except Exception:  # a defect here must not end the logging of all others
                log.exception("a prediction was not logged")
                self._telemetry.count("penstock_predictions_dropped_total", reason="failed")
            self._bytes_logged += waiting.num_bytes

    def _log(self, waiting: _Waiting) -> None:
        served, best = waiting.answer.served, waiting.answer.probabilities.argmax(axis=1).tolist()
        for key, value in encode_predictions(
            prediction_id=waiting.prediction_id,
            model=served.model,
            version=served.version,
            answered_at_ms=waiting.answered_at_ms,
            columns=waiting.columns,
            labels=[served.class_names[index] for index in best],
            probabilities=waiting.answer.probabilities.max(axis=1).tolist(),
        ):
            self._sink.send(key, value)
