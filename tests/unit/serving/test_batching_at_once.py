"""Small quick passes are made where requests arrive; what would hold up the event loop is not."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterable

import torch

from penstock.learning.device import CPU
from penstock.serving.batching import AT_ONCE_ROWS, AT_ONCE_SECONDS
from running_batchers import Watched, batching, rows, within_patience
from waiting import PATIENCE_SECONDS


class Timed(Watched):
    """A served model that says on which thread each pass was made, and how many rows it had."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(self._note)
        self.passes: list[tuple[str, int]] = []
        self._pause = threading.Event()
        self._seconds = seconds

    def _note(self, num_rows: int) -> None:
        self.passes.append((threading.current_thread().name, num_rows))
        self._pause.wait(self._seconds)


def passes_of(
    model: Timed,
    asked: Iterable[list[int]],
    until: tuple[str, int] | None = None,
    device: torch.device = CPU,
) -> list[tuple[str, int]]:
    """The passes for groups of requests of so many rows; each group arrives together, when the last is answered.

    No more are asked once there was the pass `until`.
    """

    async def ask() -> None:
        async with batching(model, max_batch_rows=64, device=device) as batcher:
            for group in asked:
                if until in model.passes:
                    break
                answers = [batcher.predict(rows(num_rows), num_rows) for num_rows in group]
                for num_rows, answer in zip(group, await asyncio.gather(*answers), strict=True):
                    assert len(answer.probabilities) == num_rows

    within_patience(ask())
    return model.passes


def test_the_first_pass_is_made_by_the_thread_since_nobody_knows_yet_how_long_it_takes() -> None:
    assert passes_of(Timed(), [[1]]) == [("inference", 1)]


def test_requests_that_arrive_together_are_one_pass_on_the_event_loop() -> None:
    wanted = ("MainThread", 4)
    assert wanted in passes_of(Timed(), itertools.cycle([[1], [1, 2, 1]]), until=wanted)


def test_many_rows_are_left_to_the_thread() -> None:
    passes = passes_of(Timed(), itertools.chain(itertools.repeat([1], 60), [[AT_ONCE_ROWS + 1]]))
    assert passes[-1] == ("inference", AT_ONCE_ROWS + 1)


def test_the_event_loop_waits_for_no_other_device() -> None:
    passes = passes_of(Timed(), itertools.repeat([1], 60), device=torch.device("meta"))
    assert {thread for thread, _ in passes} == {"inference"}


def test_a_slow_model_never_holds_up_the_event_loop() -> None:
    passes = passes_of(Timed(seconds=4 * AT_ONCE_SECONDS), [[1]] * 20)
    assert {thread for thread, _ in passes} == {"inference"}


def passes_with_delay(seconds: float, groups: list[list[int]], max_batch_rows: int) -> list[int]:
    """The rows of each pass, for groups of requests of so many rows that arrive one turn of the event loop apart."""
    model = Timed()

    async def ask() -> None:
        async with batching(model, max_batch_rows=max_batch_rows, max_batch_delay_seconds=seconds) as batcher:
            waiting = []
            for group in groups:
                waiting += [asyncio.ensure_future(batcher.predict(rows(num_rows), num_rows)) for num_rows in group]
                for _ in range(5):
                    await asyncio.sleep(0)  # no wait: turns of the event loop, in which a group arrives
            await asyncio.gather(*waiting)

    within_patience(ask())
    return [num_rows for _, num_rows in model.passes]


def test_with_a_delay_requests_that_come_one_after_the_other_are_one_pass_as_soon_as_it_is_full() -> None:
    assert passes_with_delay(2 * PATIENCE_SECONDS, [[1], [2], [1]], max_batch_rows=4) == [4]


def test_with_a_delay_one_request_that_is_a_full_pass_waits_for_nobody() -> None:
    assert passes_with_delay(2 * PATIENCE_SECONDS, [[4]], max_batch_rows=4) == [4]


def test_a_delay_ends_though_nobody_joins() -> None:
    began = time.monotonic()
    assert passes_with_delay(0.05, [[1]], max_batch_rows=64) == [1]
    assert time.monotonic() - began >= 0.05
