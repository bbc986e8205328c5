"""From requests to forward passes: what is small and quick is answered at once, the rest by one inference thread.

Requests that arrive together are joined, without any delay for others to come unless one is asked for. Passing a
request to another thread and its answer back costs more than a small forward pass, so the event loop makes these itself
while the thread has nothing to do; what would hold up the loop goes to the thread, behind a bounded queue.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

import torch

from penstock.clock import Clock
from penstock.learning.device import CPU, begin_computing
from penstock.learning.rows import Columns
from penstock.serving.inference import Answer, JoinedInference, Waiting
from penstock.serving.inputs import MOST_ROWS
from penstock.serving.pieces import Pieces
from penstock.serving.refusals import QueueFullError, RequestError
from penstock.serving.right_of_way import RightOfWay
from penstock.serving.slot import ServedModel, Slot
from penstock.telemetry import Telemetry

AT_ONCE_ROWS = 8
"""Of one pass that the event loop makes itself, at most;"""
AT_ONCE_SECONDS = 0.0005
"""and the time that such passes take by the last of them."""
_SMOOTHING = 0.1

T = TypeVar("T")


def never() -> bool:
    """Of a request whose caller cannot be seen leaving."""
    return False


class Batcher:
    """Answers from `start`, on the running event loop, to `close`."""

    def __init__(
        self,
        slot: Slot,
        *,
        max_queued_requests: int,
        max_batch_rows: int,
        telemetry: Telemetry,
        clock: Clock,
        max_batch_delay_seconds: float = 0.0,
        device: torch.device = CPU,
        right_of_way: RightOfWay | None = None,
    ) -> None:
        """`device` is where the models compute: the event loop waits for no other than the CPU.

        A request waits for others to join it for `max_batch_delay_seconds`, or until they make a full pass; one of more
        than `max_batch_rows` is computed in several, between which others go first. While one is made, `right_of_way`
        is taken.
        """
        self._right_of_way = right_of_way or RightOfWay()
        self._inference = JoinedInference(slot, max_batch_rows=max_batch_rows, telemetry=telemetry, clock=clock)
        self._max_queued_requests = max_queued_requests
        self._telemetry = telemetry
        self._gathered: list[Waiting] = []
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._held: Waiting | None = None
        self._in_thread = 0
        self._max_batch_rows = max_batch_rows
        self._delay_seconds = max_batch_delay_seconds
        self._delayed: asyncio.TimerHandle | None = None
        self._device = device
        self._small_pass_seconds = math.inf
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
        """Those in use of late: a new model is warmed for them."""
        return self._inference.batch_sizes()

    async def predict(
        self,
        columns: Columns,
        num_rows: int,
        *,
        pinned: ServedModel | None = None,
        deadline_seconds: float = math.inf,
    ) -> Answer:
        """Wait for the answer to these rows; as `submit`, with what is delivered returned or raised."""
        assert self._loop is not None  # started
        future: asyncio.Future[Answer] = self._loop.create_future()
        self.submit(
            columns,
            num_rows,
            partial(settle, future),
            pinned=pinned,
            deadline_seconds=deadline_seconds,
            is_given_up=future.cancelled,
        )
        return await future

    def submit(
        self,
        columns: Columns,
        num_rows: int,
        deliver: Callable[[Answer | RequestError], None],
        *,
        pinned: ServedModel | None = None,
        deadline_seconds: float = math.inf,
        is_given_up: Callable[[], bool] = never,
        pass_rows: int = MOST_ROWS,
    ) -> None:
        """Have these rows answered by the `pinned` model, or by the newest when their turn comes; on the event loop.

        More than `pass_rows` are computed in several passes, whatever `max_batch_rows` says.

        `deliver` is called later, never from within, with the answer or with the reason why there is none, such as
        `OverdueError`: the clock had passed `deadline_seconds` (monotonic) when its turn came, or
        `is_given_up`, asked from any thread, said that nobody waits any more. Neither raises.

        Raises:
            QueueFullError: too many requests wait already.
        """
        if self._queue.qsize() + len(self._gathered) >= self._max_queued_requests:
            raise QueueFullError(f"{self._max_queued_requests} requests wait for inference already; try again.")
        waiting = Waiting(columns, num_rows, pinned, deadline_seconds, deliver, is_given_up)
        if num_rows > pass_rows or num_rows > self._max_batch_rows:
            Pieces(waiting, piece_rows=min(pass_rows, self._max_batch_rows), queue=self._gather).queue_next()
        else:
            self._gather(waiting)

    def _gather(self, waiting: Waiting) -> None:
        assert self._loop is not None  # started
        self._gathered.append(waiting)
        is_first = len(self._gathered) == 1
        if self._delay_seconds and not self._is_full():
            if is_first:
                self._delayed = self._loop.call_later(self._delay_seconds, self._dispatch)
        elif is_first or self._delayed is not None:
            self._stop_waiting()
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Once all that arrived together is there."""
        self._stop_waiting()
        gathered, self._gathered = self._gathered, []
        if not self._in_thread and self._is_quick(sum(waiting.num_rows for waiting in gathered)):
            with self._right_of_way:
                for batch in self._joined(gathered):
                    _deliver(batch, self._outcomes(batch))
            return
        self._in_thread += len(gathered)
        for waiting in gathered:
            self._queue.put(waiting)

    def _stop_waiting(self) -> None:
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None

    def _is_full(self) -> bool:
        return sum(waiting.num_rows for waiting in self._gathered) >= self._max_batch_rows

    def _is_quick(self, num_rows: int) -> bool:
        return self._device.type == "cpu" and num_rows <= AT_ONCE_ROWS and self._small_pass_seconds <= AT_ONCE_SECONDS

    def _joined(self, gathered: Sequence[Waiting]) -> Iterator[list[Waiting]]:
        batch, num_rows = [gathered[0]], gathered[0].num_rows
        for waiting in gathered[1:]:
            if not self._inference.can_join(batch[0], num_rows, waiting):
                yield batch
                batch, num_rows = [], 0
            batch.append(waiting)
            num_rows += waiting.num_rows
        yield batch

    def _run(self) -> None:
        assert self._loop is not None  # started
        begin_computing(self._device)
        while (first := self._held or self._queue.get()) is not None:
            batch = self._joined_by(first)
            with self._right_of_way:
                outcomes = self._outcomes(batch)
            self._loop.call_soon_threadsafe(self._take_back, batch, outcomes)
            self._telemetry.gauge("penstock_queue_depth_requests", self._queue.qsize())
        self._telemetry.gauge("penstock_queue_depth_requests", 0)  # what closes it stood in the queue like a request

    def _joined_by(self, first: Waiting) -> list[Waiting]:
        """`first` and what waits behind it, up to the limit of rows; the first that does not fit is held for next."""
        batch, num_rows, self._held = [first], first.num_rows, None
        while not self._queue.empty():
            waiting = self._queue.get()
            if waiting is None:
                self._queue.put(None)  # closing: this batch first
                break
            if not self._inference.can_join(first, num_rows, waiting):
                self._held = waiting
                break
            batch.append(waiting)
            num_rows += waiting.num_rows
        return batch

    def _outcomes(self, batch: Sequence[Waiting]) -> list[Answer | RequestError]:
        began = time.perf_counter()
        outcomes = self._inference.outcomes(batch)
        is_small = sum(waiting.num_rows for waiting in batch) <= AT_ONCE_ROWS
        if is_small and any(isinstance(outcome, Answer) for outcome in outcomes):  # refusals say nothing of a pass
            # One pass that the machine itself held up says little of the next.
            seconds = min(time.perf_counter() - began, 2 * AT_ONCE_SECONDS)
            before = self._small_pass_seconds
            self._small_pass_seconds = seconds if before == math.inf else before + _SMOOTHING * (seconds - before)
        return outcomes

    def _take_back(self, batch: Sequence[Waiting], outcomes: Sequence[Answer | RequestError]) -> None:
        self._in_thread -= len(batch)
        _deliver(batch, outcomes)


def settle(future: "asyncio.Future[T]", outcome: "T | RequestError") -> None:
    """Give a future what was delivered for it, unless its caller has gone."""
    if future.done():
        return
    if isinstance(outcome, RequestError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _deliver(batch: Sequence[Waiting], outcomes: Sequence[Answer | RequestError]) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        waiting.deliver(outcome)
