"""One inference thread behind a bounded queue: it takes what waits when it is free, and adds no delay.

Waiting requests for the same version are joined to one forward pass, which one model computes, and split back.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import structlog

from penstock.clock import Clock
from penstock.learning.rows import Columns
from penstock.serving.refusals import (
    BadInputError,
    InferenceError,
    OverdueError,
    QueueFullError,
    RequestError,
)
from penstock.serving.slot import ServedModel, Slot
from penstock.telemetry import Telemetry

RECENT_BATCHES = 64

Probabilities = npt.NDArray[np.float32]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """`probabilities` float32 [n, classes], computed by `served`."""

    served: ServedModel
    probabilities: Probabilities


@dataclass(frozen=True, kw_only=True, slots=True)
class _Waiting:
    columns: Columns
    num_rows: int
    pinned: ServedModel | None
    deadline_seconds: float
    future: "asyncio.Future[Answer]"


class Batcher:
    """Answers from `start`, on the running event loop, to `close`."""

    def __init__(
        self, slot: Slot, *, max_queued_requests: int, max_batch_rows: int, telemetry: Telemetry, clock: Clock
    ) -> None:
        self._slot = slot
        self._clock = clock
        self._max_queued_requests = max_queued_requests
        self._max_batch_rows = max_batch_rows
        self._telemetry = telemetry
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._held: _Waiting | None = None
        self._recent_rows: deque[int] = deque(maxlen=RECENT_BATCHES)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=self._run, name="inference", daemon=True)

    def start(self) -> None:
        """Begin to answer; futures are resolved on the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        """Answer what waits, then stop."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def batch_sizes(self) -> Sequence[int]:
        """The largest number of rows of late: a new model is warmed for it."""
        return (max(list(self._recent_rows), default=1),)

    async def predict(
        self,
        columns: Columns,
        num_rows: int,
        *,
        pinned: ServedModel | None = None,
        deadline_seconds: float = math.inf,
    ) -> Answer:
        """Wait for the answer to these rows, of the `pinned` model or of the newest when its turn comes.

        Raises:
            OverdueError: the clock had passed `deadline_seconds` (monotonic) when its turn came.
            QueueFullError: too many requests wait already.
            RequestError: see `refusals`.
        """
        if self._queue.qsize() >= self._max_queued_requests:
            raise QueueFullError(f"{self._max_queued_requests} requests wait for inference already; try again.")
        assert self._loop is not None  # started
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._queue.put(
            _Waiting(
                columns=columns, num_rows=num_rows, pinned=pinned, deadline_seconds=deadline_seconds, future=future
            )
        )
        return await future

    def _run(self) -> None:
        assert self._loop is not None  # started
        with np.errstate(over="ignore"):  # values that are too large are clipped or refused, not warned about
            while (first := self._held or self._queue.get()) is not None:
                batch = self._joined_by(first)
                outcomes = self._outcomes(batch)
                self._loop.call_soon_threadsafe(_resolve, batch, outcomes)
                self._telemetry.gauge("penstock_queue_depth_requests", self._queue.qsize())

    def _joined_by(self, first: _Waiting) -> list[_Waiting]:
        """`first` and what waits behind it, up to the limit of rows; the first that does not fit is held for next."""
        batch, num_rows, self._held = [first], first.num_rows, None
        while not self._queue.empty():
            waiting = self._queue.get()
            if waiting is None:
                self._queue.put(None)  # closing: this batch first
                break
            if waiting.pinned is not first.pinned or num_rows + waiting.num_rows > self._max_batch_rows:
                self._held = waiting
                break
            batch.append(waiting)
            num_rows += waiting.num_rows
        return batch

    def _outcomes(self, batch: Sequence[_Waiting]) -> list[Answer | RequestError]:
        """One per request, in order, of one model."""
        now = self._clock.monotonic_seconds()
        if any(waiting.deadline_seconds < now for waiting in batch):
            return self._without_overdue(batch, now)
        try:
            served = batch[0].pinned or self._slot.newest()
        except RequestError as error:
            return [error] * len(batch)
        try:
            probabilities = self._forward(served, _joined([waiting.columns for waiting in batch]))
        except Exception:
            if len(batch) > 1:  # one of them may be at fault; the others must not pay for it
                return [outcome for waiting in batch for outcome in self._outcomes([waiting])]
            log.exception("inference failed", version=served.version, rows=batch[0].num_rows)
            return [InferenceError(f"Version {served.version_text} failed on this request; the reason is in the log.")]
        return _split(served, probabilities, batch)

    def _without_overdue(self, batch: Sequence[_Waiting], now: float) -> list[Answer | RequestError]:
        in_time = [waiting for waiting in batch if waiting.deadline_seconds >= now]
        outcomes = iter(self._outcomes(in_time) if in_time else ())
        overdue = OverdueError("The request's time was over before its turn came; it was not computed.")
        return [overdue if waiting.deadline_seconds < now else next(outcomes) for waiting in batch]

    def _forward(self, served: ServedModel, columns: Columns) -> Probabilities:
        """In as many passes as the limit of rows asks for."""
        num_rows = len(next(iter(columns.values())))
        self._recent_rows.append(min(num_rows, self._max_batch_rows))
        self._telemetry.observe("penstock_inference_rows", num_rows)
        if num_rows <= self._max_batch_rows:
            return served.probabilities(columns)
        starts = range(0, num_rows, self._max_batch_rows)
        parts = [{name: rows[at : at + self._max_batch_rows] for name, rows in columns.items()} for at in starts]
        return np.concatenate([served.probabilities(part) for part in parts])


def _joined(parts: Sequence[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, object] = {}
    for name, first in parts[0].items():
        columns = [part[name] for part in parts]
        joined[name] = np.concatenate(columns) if isinstance(first, np.ndarray) else pa.concat_arrays(columns)
    return joined


def _split(served: ServedModel, probabilities: Probabilities, batch: Sequence[_Waiting]) -> list[Answer | RequestError]:
    outcomes: list[Answer | RequestError] = []
    finite = bool(np.isfinite(probabilities).all())
    start = 0
    for waiting in batch:
        rows = probabilities[start : start + waiting.num_rows]
        start += waiting.num_rows
        if finite or np.isfinite(rows).all():
            outcomes.append(Answer(served=served, probabilities=rows))
        else:
            outcomes.append(BadInputError("The inputs are so large that the model's answer to them is not finite."))
    return outcomes


def _resolve(batch: Sequence[_Waiting], outcomes: Sequence[Answer | RequestError]) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        if waiting.future.done():  # its caller has gone
            continue
        if isinstance(outcome, Answer):
            waiting.future.set_result(outcome)
        else:
            waiting.future.set_exception(outcome)
