"""One inference thread and the queue before it: how long it is, who has left it, and how it ends."""

import asyncio
import threading
from typing import Any

import pytest

from counted_telemetry import CountedTelemetry
from running_batchers import Gate, Watched, asked, batching, queued, rows, within_patience
from served_models import served


def test_how_many_wait_is_shown_while_they_do() -> None:
    telemetry, shown = CountedTelemetry(), list[float]()

    class Looking(Gate):
        def probabilities(self, columns: Any) -> Any:
            shown.append(telemetry.value("penstock_queue_depth_requests"))
            return super().probabilities(columns)

    gate = Looking()

    async def ask() -> None:
        async with batching(gate, telemetry=telemetry, max_batch_rows=2) as batcher:
            first = await asked(batcher, gate)
            waiting = [asyncio.ensure_future(batcher.predict(rows(2), 2)) for _ in range(4)]
            await queued(batcher, 4)
            gate.open.set()
            await asyncio.gather(first, *waiting)

    within_patience(ask())
    assert gate.passes == [1, 2, 2, 2, 2]
    assert shown[:2] == [0, 4]
    assert telemetry.value("penstock_queue_depth_requests") == 0


def test_a_caller_that_goes_away_harms_nobody() -> None:
    gate = Gate()

    async def ask() -> int:
        async with batching(gate) as batcher:
            leaving = await asked(batcher, gate)
            staying = asyncio.ensure_future(batcher.predict(rows(2), 2))
            leaving.cancel()
            gate.open.set()
            return len((await staying).probabilities)

    assert within_patience(ask()) == 2


def test_what_nobody_waits_for_any_more_is_not_computed() -> None:
    gate = Gate()

    async def ask() -> None:
        async with batching(gate) as batcher:
            first = await asked(batcher, gate)
            leaving = asyncio.ensure_future(batcher.predict(rows(2), 2))
            staying = asyncio.ensure_future(batcher.predict(rows(4), 4))
            await queued(batcher, 2)
            leaving.cancel()
            await asyncio.wait([leaving])
            gate.open.set()
            await asyncio.gather(first, staying)

    within_patience(ask())
    assert gate.passes == [1, 4]


def test_what_waits_when_the_batcher_closes_is_answered() -> None:
    gate, telemetry = Gate(), CountedTelemetry()

    async def ask() -> list[Any]:
        async with batching(gate, telemetry=telemetry, max_batch_rows=2) as batcher:
            first = await asked(batcher, gate)
            waiting = [asyncio.ensure_future(batcher.predict(rows(2), 2)) for _ in range(3)]
            await queued(batcher, 3)
            closing = asyncio.ensure_future(asyncio.to_thread(batcher.close))
            await queued(batcher, 4)  # its end stands behind them
            gate.open.set()
            await closing
            return list(await asyncio.gather(first, *waiting))

    assert [len(answer.probabilities) for answer in within_patience(ask())] == [1, 2, 2, 2]
    assert telemetry.value("penstock_queue_depth_requests") == 0


def test_the_sizes_to_warm_are_those_of_late_rounded_up() -> None:
    async def ask() -> tuple[list[int], list[int]]:
        async with batching(Watched(lambda _: None), max_batch_rows=9) as batcher:
            before = list(batcher.batch_sizes())
            for num_rows in (3, 1, 9, 5, 20):
                await batcher.predict(rows(num_rows), num_rows)
            return before, list(batcher.batch_sizes())

    assert within_patience(ask()) == ([1], [1, 2, 4, 8, 9])


@pytest.mark.parametrize("pinned", [False, True])
def test_the_inference_thread_ends(pinned: bool) -> None:
    before = set(threading.enumerate())

    async def ask() -> list[threading.Thread]:
        async with batching(Watched(lambda _: None)) as batcher:
            await batcher.predict(rows(1), 1, pinned=served(1) if pinned else None)
            return [thread for thread in set(threading.enumerate()) - before if thread.name == "inference"]

    threads = within_patience(ask())
    assert [thread.is_alive() for thread in threads] == [False]
