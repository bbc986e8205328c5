"""Threads of a replica that compute use as many threads as were configured: not those of the machine, nor of OpenMP."""

from computing_threads import computing_threads, num_computing_threads
from counted_telemetry import CountedTelemetry
from large_updates import Store
from penstock.clock import SystemClock
from penstock.errors import StopError
from penstock.flow import LogRecord
from penstock.learning.device import CPU
from penstock.serving.builder import ModelBuilder
from penstock.serving.slot import Slot
from penstock.serving.updater import Updater
from running_batchers import Watched, batching, rows, within_patience
from served_models import PIXELS, QueuedFeed, update_of
from waiting import wait_for

COUNT = 3


def test_the_inference_thread() -> None:
    seen: list[int] = []
    model = Watched(lambda _: seen.append(num_computing_threads()))

    async def ask() -> None:
        async with batching(model) as batcher:
            await batcher.predict(rows(9), 9)  # too many for the event loop to compute them itself

    with computing_threads(COUNT):
        within_patience(ask())
    assert seen == [COUNT]


def test_the_thread_that_builds_new_models() -> None:
    seen: list[int] = []

    class Feed(QueuedFeed):
        def newest(self) -> list[LogRecord]:
            seen.append(num_computing_threads())
            return super().newest()

    feed, stopped_by = Feed([update_of(1)]), list[StopError]()
    slot = Slot()
    updater = Updater(
        feed,
        slot,
        ModelBuilder(PIXELS, device=CPU, fetcher=Store()),
        model=PIXELS.name,
        telemetry=CountedTelemetry(),
        clock=SystemClock(),
        give_up=stopped_by.append,
    )
    with computing_threads(COUNT):
        updater.start()
        wait_for(lambda: slot.current is not None, "version 1 is served", every_seconds=0.002)
        updater.close()
    assert seen == [COUNT]
