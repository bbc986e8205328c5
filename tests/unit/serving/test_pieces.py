"""A request of more rows than one pass takes lets others in between its passes, and is answered whole."""

import asyncio
import math
from typing import Any

import numpy as np
import pytest

from penstock.serving.inference import Answer
from penstock.serving.refusals import OverdueError
from running_batchers import Gate, asked, batching, queued, rows, within_patience
from served_models import served


def ask_behind_a_pass(gate: Gate, *requests: Any, deadlines: tuple[float, ...] = ()) -> list[Any]:
    """What becomes of requests that come one by one while another is computed; a pass takes five rows."""

    async def ask() -> list[Any]:
        async with batching(gate, max_batch_rows=5) as batcher:
            first = await asked(batcher, gate)
            waiting = []
            for place, request in enumerate(requests):
                deadline = deadlines[place] if deadlines else math.inf
                coming = batcher.predict(request, len(request["pixels"]), deadline_seconds=deadline)
                waiting.append(asyncio.ensure_future(coming))
                await queued(batcher, place + 1)
            gate.open.set()
            return (await asyncio.gather(first, *waiting, return_exceptions=True))[1:]

    outcomes: list[Any] = within_patience(ask())
    return outcomes


def test_who_comes_behind_a_large_request_is_answered_behind_its_first_pass() -> None:
    gate = Gate()
    large, small = ask_behind_a_pass(gate, rows(12), rows(2, seed=1))
    assert gate.passes == [1, 5, 2, 5, 2]
    np.testing.assert_allclose(large.probabilities, served(1).probabilities(rows(12)), rtol=0, atol=1e-6)
    np.testing.assert_allclose(small.probabilities, served(1).probabilities(rows(2, seed=1)), rtol=0, atol=1e-6)


def test_two_large_requests_take_turns() -> None:
    gate = Gate()
    answers = ask_behind_a_pass(gate, rows(11), rows(13, seed=1))
    assert gate.passes[:5] == [1, 5, 5, 5, 5]
    assert sum(gate.passes) == 25
    assert [len(answer.probabilities) for answer in answers] == [11, 13]


def test_the_rest_of_a_large_request_that_nobody_waits_for_any_more_is_not_computed() -> None:
    gate = Gate()

    async def ask() -> None:
        async with batching(gate, max_batch_rows=5) as batcher:
            leaving = asyncio.ensure_future(batcher.predict(rows(25), 25))
            await asyncio.to_thread(gate.busy.wait)
            leaving.cancel()
            gate.open.set()
            await asyncio.wait([leaving])
            await batcher.predict(rows(1), 1)

    within_patience(ask())
    assert gate.passes == [5, 1]


def test_a_large_request_whose_time_is_over_is_not_computed() -> None:
    gate = Gate()
    outcomes = ask_behind_a_pass(gate, rows(25), rows(2), deadlines=(-math.inf, math.inf))
    assert isinstance(outcomes[0], OverdueError)
    assert isinstance(outcomes[1], Answer)
    assert gate.passes == [1, 2]


@pytest.mark.parametrize(("pass_rows", "passes"), [(4, [4, 4, 4, 1]), (99, [13])])
def test_a_request_may_ask_for_smaller_passes(pass_rows: int, passes: list[int]) -> None:
    gate = Gate()
    gate.open.set()

    async def ask() -> Any:
        async with batching(gate, max_batch_rows=50) as batcher:
            outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            batcher.submit(rows(13), 13, outcome.set_result, pass_rows=pass_rows)
            return await outcome

    answer = within_patience(ask())
    assert gate.passes == passes
    np.testing.assert_allclose(answer.probabilities, served(1).probabilities(rows(13)), rtol=0, atol=1e-6)
