"""One inference thread: what waits is joined, answered by one version, and split back exactly."""

import asyncio
import math
import threading
import time
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counted_telemetry import CountedTelemetry
from penstock.clock import SystemClock
from penstock.serving.batching import Batcher
from penstock.serving.inference import Answer
from penstock.serving.refusals import BadInputError, InferenceError, OverdueError, QueueFullError
from penstock.serving.slot import Slot
from served_models import served


def rows(num_rows: int, seed: int = 0) -> dict[str, Any]:
    return {"pixels": np.random.default_rng(seed).normal(size=(num_rows, 64)).astype(np.float32)}


class Gate:
    """A served model that computes when it is let, and remembers how many rows each pass had."""

    def __init__(self, version: int = 1) -> None:
        self.open = threading.Event()
        self.busy = threading.Event()
        self.passes: list[int] = []
        self.fails_on: float | None = None
        self._served = served(version)

    def probabilities(self, columns: Any) -> Any:
        self.busy.set()
        assert self.open.wait(60)
        pixels = columns["pixels"]
        self.passes.append(len(pixels))
        if self.fails_on is not None and (pixels == self.fails_on).any():
            raise ValueError("these rows break the model")
        return self._served.probabilities(columns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._served, name)


def run(
    gate: Gate,
    requests: list[dict[str, Any]],
    *,
    pinned: list[Any] | None = None,
    deadlines: list[float] | None = None,
    max_batch_rows: int = 100,
    max_queued_requests: int = 100,
) -> list[Any]:
    """Answers, or errors, to requests that all wait while a first one is computed."""
    slot = Slot()
    slot.current = gate  # type: ignore[assignment]  # a served model with a gate

    async def ask() -> list[Any]:
        batcher = Batcher(
            slot,
            max_queued_requests=max_queued_requests,
            max_batch_rows=max_batch_rows,
            telemetry=CountedTelemetry(),
            clock=SystemClock(),
        )
        batcher.start()
        try:
            first = asyncio.ensure_future(batcher.predict(rows(1), 1))
            await asyncio.to_thread(gate.busy.wait, 10)
            waiting = [
                asyncio.ensure_future(
                    batcher.predict(columns, len(columns["pixels"]), pinned=model, deadline_seconds=deadline)
                )
                for columns, model, deadline in zip(
                    requests,
                    pinned or [None] * len(requests),
                    deadlines or [math.inf] * len(requests),
                    strict=True,
                )
            ]
            await asyncio.sleep(0)
            gate.open.set()
            await first
            return await asyncio.gather(*waiting, return_exceptions=True)
        finally:
            gate.open.set()
            await asyncio.to_thread(batcher.close)

    return asyncio.run(within(ask()))


async def within(coroutine: Coroutine[Any, Any, Any], seconds: float = 20) -> Any:
    return await asyncio.wait_for(coroutine, seconds)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_requests_of_any_sizes_get_their_own_rows_back(sizes: list[int]) -> None:
    gate = Gate()
    requests = [rows(size, seed) for seed, size in enumerate(sizes)]
    answers = run(gate, requests, max_batch_rows=20)
    for request, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, Answer)
        np.testing.assert_allclose(answer.probabilities, served(1).probabilities(request), rtol=0, atol=1e-6)
    assert sum(gate.passes) == 1 + sum(sizes)
    assert max(gate.passes) <= 20


def test_what_waits_is_joined_to_one_pass() -> None:
    gate = Gate()
    run(gate, [rows(2), rows(3), rows(4)])
    assert gate.passes == [1, 9]


def test_a_pass_takes_no_more_rows_than_configured() -> None:
    gate = Gate()
    run(gate, [rows(2), rows(3), rows(4), rows(25)], max_batch_rows=5)
    assert gate.passes == [1, 5, 4, 5, 5, 5, 5, 5]


def test_a_request_of_several_passes_is_answered_by_one_version_though_another_comes_between_them() -> None:
    slot = Slot()

    class Replaced(Gate):
        def probabilities(self, columns: Any) -> Any:
            slot.current = served(2)
            return super().probabilities(columns)

    gate = Replaced()
    gate.open.set()
    slot.current = gate  # type: ignore[assignment]  # a served model with a gate

    async def ask() -> Answer:
        batcher = Batcher(
            slot, max_queued_requests=9, max_batch_rows=5, telemetry=CountedTelemetry(), clock=SystemClock()
        )
        batcher.start()
        try:
            return await batcher.predict(rows(12), 12)
        finally:
            await asyncio.to_thread(batcher.close)

    answer = asyncio.run(within(ask()))
    assert answer.served.version == 1
    assert gate.passes == [5, 5, 2]
    np.testing.assert_allclose(answer.probabilities, served(1).probabilities(rows(12)), rtol=0, atol=1e-6)


def test_requests_for_different_versions_are_not_joined_and_each_is_answered_by_its_own() -> None:
    gate, older = Gate(version=3), served(2)
    answers = run(gate, [rows(1), rows(2), rows(3), rows(4)], pinned=[None, older, older, None])
    assert [answer.served.version for answer in answers] == [3, 2, 2, 3]
    assert [len(answer.probabilities) for answer in answers] == [1, 2, 3, 4]
    np.testing.assert_allclose(answers[1].probabilities, older.probabilities(rows(2)), rtol=0, atol=1e-6)
    assert gate.passes == [1, 1, 4]


def test_a_request_whose_time_is_over_is_not_computed_and_the_others_are() -> None:
    gate, now = Gate(), time.monotonic()
    answers = run(gate, [rows(1), rows(2), rows(4)], deadlines=[now + 60, now - 0.001, now + 60])
    assert isinstance(answers[1], OverdueError)
    assert [len(answers[index].probabilities) for index in (0, 2)] == [1, 4]
    assert gate.passes == [1, 5]


def test_a_request_that_breaks_the_model_fails_alone() -> None:
    gate = Gate()
    gate.fails_on = 123.0
    broken = {"pixels": np.full((2, 64), 123.0, dtype=np.float32)}
    answers = run(gate, [rows(1), broken, rows(3)])
    assert isinstance(answers[1], InferenceError)
    assert [len(answers[index].probabilities) for index in (0, 2)] == [1, 3]


def test_an_answer_that_is_not_finite_is_its_own_requests_fault() -> None:
    class Overflowing(Gate):
        def probabilities(self, columns: Any) -> Any:
            answer = super().probabilities(columns)
            answer[(columns["pixels"] == 9.0).any(axis=1)] = np.nan
            return answer

    nines = {"pixels": np.full((1, 64), 9.0, dtype=np.float32)}
    answers = run(Overflowing(), [rows(1), nines, rows(2)])
    assert isinstance(answers[1], BadInputError)
    assert [len(answers[index].probabilities) for index in (0, 2)] == [1, 2]


def test_a_full_queue_refuses_at_once() -> None:
    answers = run(Gate(), [rows(1)] * 5, max_queued_requests=3)
    assert [isinstance(answer, QueueFullError) for answer in answers] == [False] * 3 + [True] * 2


def test_how_many_wait_is_shown_while_they_do() -> None:
    telemetry, shown = CountedTelemetry(), list[float]()

    class Looking(Gate):
        def probabilities(self, columns: Any) -> Any:
            shown.append(telemetry.value("penstock_queue_depth_requests"))
            return super().probabilities(columns)

    gate, slot = Looking(), Slot()
    slot.current = gate  # type: ignore[assignment]  # a served model with a gate

    async def ask() -> None:
        batcher = Batcher(slot, max_queued_requests=9, max_batch_rows=2, telemetry=telemetry, clock=SystemClock())
        batcher.start()
        first = asyncio.ensure_future(batcher.predict(rows(2), 2))
        await asyncio.to_thread(gate.busy.wait, 60)
        waiting = [asyncio.ensure_future(batcher.predict(rows(2), 2)) for _ in range(4)]
        for _ in range(2):  # they are asked, and passed on to the thread
            await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, *waiting)
        await asyncio.to_thread(batcher.close)

    asyncio.run(within(ask()))
    assert gate.passes == [2] * 5
    assert shown[:2] == [0, 4]
    assert telemetry.value("penstock_queue_depth_requests") == 0


def test_a_caller_that_goes_away_harms_nobody() -> None:
    gate, slot = Gate(), Slot()
    slot.current = gate  # type: ignore[assignment]  # a served model with a gate

    async def ask() -> int:
        batcher = Batcher(
            slot, max_queued_requests=9, max_batch_rows=9, telemetry=CountedTelemetry(), clock=SystemClock()
        )
        batcher.start()
        leaving = asyncio.ensure_future(batcher.predict(rows(1), 1))
        staying = asyncio.ensure_future(batcher.predict(rows(2), 2))
        await asyncio.to_thread(gate.busy.wait, 10)
        leaving.cancel()
        gate.open.set()
        answer = await staying
        await asyncio.to_thread(batcher.close)
        return len(answer.probabilities)

    assert asyncio.run(within(ask())) == 2


def test_what_nobody_waits_for_any_more_is_not_computed() -> None:
    gate, slot = Gate(), Slot()
    slot.current = gate  # type: ignore[assignment]  # a served model with a gate

    async def ask() -> None:
        batcher = Batcher(
            slot, max_queued_requests=9, max_batch_rows=9, telemetry=CountedTelemetry(), clock=SystemClock()
        )
        batcher.start()
        first = asyncio.ensure_future(batcher.predict(rows(1), 1))
        await asyncio.to_thread(gate.busy.wait, 10)
        leaving = asyncio.ensure_future(batcher.predict(rows(2), 2))
        staying = asyncio.ensure_future(batcher.predict(rows(4), 4))
        await asyncio.sleep(0)  # both wait for their turn
        leaving.cancel()
        await asyncio.wait([leaving])
        gate.open.set()
        await asyncio.gather(first, staying)
        await asyncio.to_thread(batcher.close)

    asyncio.run(within(ask()))
    assert gate.passes == [1, 4]


def test_what_waits_when_the_batcher_closes_is_answered() -> None:
    gate, slot = Gate(), Slot()
    slot.current = gate  # type: ignore[assignment]  # a served model with a gate

    async def ask() -> list[Any]:
        batcher = Batcher(
            slot, max_queued_requests=9, max_batch_rows=2, telemetry=CountedTelemetry(), clock=SystemClock()
        )
        batcher.start()
        waiting = [asyncio.ensure_future(batcher.predict(rows(2), 2)) for _ in range(4)]
        await asyncio.to_thread(gate.busy.wait, 10)
        closing = asyncio.ensure_future(asyncio.to_thread(batcher.close))
        gate.open.set()
        answers = await asyncio.gather(*waiting)
        await closing
        return answers

    assert len(asyncio.run(within(ask()))) == 4


def test_the_sizes_to_warm_are_those_of_late_rounded_up() -> None:
    slot = Slot()
    slot.current = served(1)
    batcher = Batcher(slot, max_queued_requests=9, max_batch_rows=9, telemetry=CountedTelemetry(), clock=SystemClock())
    assert batcher.batch_sizes() == [1]

    async def ask() -> None:
        batcher.start()
        for num_rows in (3, 1, 9, 5, 20):
            await batcher.predict(rows(num_rows), num_rows)
        await asyncio.to_thread(batcher.close)

    asyncio.run(within(ask()))
    assert batcher.batch_sizes() == [1, 4, 8, 9]


@pytest.mark.parametrize("pinned", [False, True])
def test_the_inference_thread_ends(pinned: bool) -> None:
    before = threading.active_count()
    run(Gate(), [rows(1)], pinned=[served(1) if pinned else None])
    assert threading.active_count() <= before
