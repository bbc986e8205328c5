"""A replica's batcher in this process, and served models that wait or watch."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from counted_telemetry import CountedTelemetry
from penstock.adapters.http.server import run_on_uvloop
from penstock.clock import SystemClock
from penstock.serving.batching import Batcher
from penstock.serving.slot import Slot
from served_models import served
from waiting import PATIENCE_SECONDS, wait_for


def rows(num_rows: int, seed: int = 0) -> dict[str, Any]:
    """The column of `served_models.PIXELS`."""
    return {"pixels": np.random.default_rng(seed).normal(size=(num_rows, 64)).astype(np.float32)}


class Watched:
    """A served model that calls `on_pass` with the number of rows before each pass."""

    def __init__(self, on_pass: Callable[[int], object], version: int = 1) -> None:
        self._on_pass, self._served = on_pass, served(version)

    def probabilities(self, columns: Any) -> Any:
        self._on_pass(len(columns["pixels"]))
        return self._served.probabilities(columns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._served, name)


class Gate(Watched):
    """A served model that computes when it is let, and remembers how many rows each pass had."""

    def __init__(self, version: int = 1) -> None:
        super().__init__(self._pass, version)
        self.open = threading.Event()
        self.busy = threading.Event()
        self.passes: list[int] = []

    def _pass(self, num_rows: int) -> None:
        self.busy.set()
        assert self.open.wait(PATIENCE_SECONDS)
        self.passes.append(num_rows)


@asynccontextmanager
async def batching(
    model: Watched, *, slot: Slot | None = None, telemetry: CountedTelemetry | None = None, **more: Any
) -> AsyncIterator[Batcher]:
    """A batcher that answers by `model`; closed at the end. `more` of its options."""
    slot = slot or Slot()
    slot.current = model  # type: ignore[assignment]  # a served model that is watched
    options = {"max_queued_requests": 100, "max_batch_rows": 100} | more
    batcher = Batcher(slot, telemetry=telemetry or CountedTelemetry(), clock=SystemClock(), **options)
    batcher.start()
    try:
        yield batcher
    finally:
        if isinstance(model, Gate):
            model.open.set()
        await asyncio.to_thread(batcher.close)


async def asked(batcher: Batcher, gate: Gate) -> "asyncio.Future[Any]":
    """A request of one row that the inference thread is busy with."""
    first = asyncio.ensure_future(batcher.predict(rows(1), 1))
    assert await asyncio.to_thread(gate.busy.wait, PATIENCE_SECONDS)
    return first


async def queued(batcher: Batcher, num_requests: int) -> None:
    """Return when so many requests wait for the inference thread."""
    await asyncio.to_thread(
        wait_for, lambda: batcher._queue.qsize() == num_requests, f"{num_requests} requests wait", every_seconds=0.001
    )


def within_patience(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What it returns, run on an event loop of its own, of the kind that a replica has."""
    return run_on_uvloop(lambda: asyncio.wait_for(coroutine, PATIENCE_SECONDS))
