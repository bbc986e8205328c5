"""Small quick passes are made where requests arrive; what would hold up the event loop is not."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from counted_telemetry import CountedTelemetry
from penstock.clock import SystemClock
from penstock.learning.device import CPU
from penstock.serving.batching import AT_ONCE_ROWS, AT_ONCE_SECONDS, Batcher
from penstock.serving.slot import Slot
from served_models import served

WITHIN_SECONDS = 30


class Watched:
    """A served model that says on which thread each pass was made, and how many rows it had."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.passes: list[tuple[str, int]] = []
        self._served = served(1)
        self._pause = threading.Event()
        self._seconds = seconds

    def probabilities(self, columns: Any) -> Any:
        self.passes.append((threading.current_thread().name, len(columns["pixels"])))
        self._pause.wait(self._seconds)
        return self._served.probabilities(columns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._served, name)


def passes_of(
    model: Watched,
    asked: Iterable[list[int]],
    until: tuple[str, int] | None = None,
    device: torch.device = CPU,
) -> list[tuple[str, int]]:
    """The passes for groups of requests of so many rows; each group arrives together, when the last is answered.

    No more are asked once there was the pass `until`.
    """
    slot = Slot()
    slot.current = model  # type: ignore[assignment]  # a served model that is watched

    async def ask() -> None:
        batcher = Batcher(
            slot,
            max_queued_requests=99,
            max_batch_rows=64,
            telemetry=CountedTelemetry(),
            clock=SystemClock(),
            device=device,
        )
        batcher.start()
        for group in asked:
            if until in model.passes:
                break
            pixels = [np.zeros((num_rows, 64), dtype=np.float32) for num_rows in group]
            answers = [batcher.predict({"pixels": rows}, len(rows)) for rows in pixels]
            for rows, answer in zip(pixels, await asyncio.gather(*answers), strict=True):
                assert len(answer.probabilities) == len(rows)
        await asyncio.to_thread(batcher.close)

    asyncio.run(asyncio.wait_for(ask(), WITHIN_SECONDS))
    return model.passes


def test_the_first_pass_is_made_by_the_thread_since_nobody_knows_yet_how_long_it_takes() -> None:
    assert passes_of(Watched(), [[1]]) == [("inference", 1)]


def test_requests_that_arrive_together_are_one_pass_on_the_event_loop() -> None:
    wanted = ("MainThread", 4)
    assert wanted in passes_of(Watched(), itertools.cycle([[1], [1, 2, 1]]), until=wanted)


def test_many_rows_are_left_to_the_thread() -> None:
    passes = passes_of(Watched(), itertools.chain(itertools.repeat([1], 60), [[AT_ONCE_ROWS + 1]]))
    assert passes[-1] == ("inference", AT_ONCE_ROWS + 1)


def test_the_event_loop_waits_for_no_other_device() -> None:
    passes = passes_of(Watched(), itertools.repeat([1], 60), device=torch.device("meta"))
    assert {thread for thread, _ in passes} == {"inference"}


def test_a_slow_model_never_holds_up_the_event_loop() -> None:
    passes = passes_of(Watched(seconds=4 * AT_ONCE_SECONDS), [[1]] * 20)
    assert {thread for thread, _ in passes} == {"inference"}


def passes_with_delay(seconds: float, groups: list[list[int]], max_batch_rows: int) -> list[int]:
    """The rows of each pass, for groups of requests of so many rows that arrive one turn of the event loop apart."""
    slot, model = Slot(), Watched()
    slot.current = model  # type: ignore[assignment]  # a served model that is watched

    async def ask() -> None:
        batcher = Batcher(
            slot,
            max_queued_requests=99,
            max_batch_rows=max_batch_rows,
            max_batch_delay_seconds=seconds,
            telemetry=CountedTelemetry(),
            clock=SystemClock(),
        )
        batcher.start()
        waiting = []
        for group in groups:
            for num_rows in group:
                rows = np.zeros((num_rows, 64), dtype=np.float32)
                waiting.append(asyncio.ensure_future(batcher.predict({"pixels": rows}, num_rows)))
            for _ in range(5):
                await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        await asyncio.to_thread(batcher.close)

    asyncio.run(asyncio.wait_for(ask(), WITHIN_SECONDS))
    return [num_rows for _, num_rows in model.passes]


def test_with_a_delay_requests_that_come_one_after_the_other_are_one_pass_as_soon_as_it_is_full() -> None:
    assert passes_with_delay(2 * WITHIN_SECONDS, [[1], [2], [1]], max_batch_rows=4) == [4]


def test_a_delay_ends_though_nobody_joins() -> None:
    began = time.monotonic()
    assert passes_with_delay(0.05, [[1]], max_batch_rows=64) == [1]
    assert time.monotonic() - began >= 0.05
