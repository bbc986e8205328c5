"""What waits is joined, answered by one version, and split back exactly."""

import asyncio
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.serving.inference import Answer
from penstock.serving.refusals import BadInputError, InferenceError, OverdueError, QueueFullError
from penstock.serving.slot import Slot
from running_batchers import Gate, asked, batching, queued, rows, within_patience
from served_models import served


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
    options = zip(requests, pinned or [None] * len(requests), deadlines or [math.inf] * len(requests), strict=True)

    async def ask() -> list[Any]:
        async with batching(gate, max_batch_rows=max_batch_rows, max_queued_requests=max_queued_requests) as batcher:
            first = await asked(batcher, gate)
            waiting = [
                asyncio.ensure_future(
                    batcher.predict(columns, len(columns["pixels"]), pinned=model, deadline_seconds=deadline)
                )
                for columns, model, deadline in options
            ]
            await queued(batcher, min(len(requests), max_queued_requests))
            gate.open.set()
            await first
            return await asyncio.gather(*waiting, return_exceptions=True)

    answers: list[Any] = within_patience(ask())
    return answers


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

    async def ask() -> Answer:
        async with batching(gate, slot=slot, max_batch_rows=5) as batcher:
            return await batcher.predict(rows(12), 12)

    answer = within_patience(ask())
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
    class Breaking(Gate):
        def probabilities(self, columns: Any) -> Any:
            answer = super().probabilities(columns)
            if (columns["pixels"] == 123.0).any():
                raise ValueError("these rows break the model")
            return answer

    broken = {"pixels": np.full((2, 64), 123.0, dtype=np.float32)}
    answers = run(Breaking(), [rows(1), broken, rows(3)])
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


def test_requests_that_were_not_computed_say_nothing_of_how_long_a_pass_takes() -> None:
    """Or the event loop would make the first real one itself, and answer nobody meanwhile."""
    gate = Gate()

    async def ask() -> None:
        async with batching(gate) as batcher:
            for _ in range(3):
                with pytest.raises(OverdueError):
                    await batcher.predict(rows(1), 1, deadline_seconds=-math.inf)
            first = await asked(batcher, gate)
            gate.open.set()
            await first

    within_patience(ask())
    assert gate.passes == [1]
