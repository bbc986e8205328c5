"""The label topic read until a micro-batch closes, by arrival or in a fixed rotation of its partitions."""

from collections.abc import Iterator

from penstock.clock import Clock
from penstock.flow import Offsets
from penstock.intake.arrival import ArrivalBatcher
from penstock.intake.batching import EVENTS_TOGETHER, Batcher, ClosedBatch, CountEvents
from penstock.intake.config import IntakeConfig
from penstock.intake.growth import Growth
from penstock.intake.ports import MessageSource
from penstock.intake.rotation import RotationBatcher


class Reading:
    """Used by one thread.

    Args:
        source: the label topic, at the offsets to go on from.
        config: the `[intake]` section.
        clock: for ages.
        count_events: how many a message holds.
        step: number of micro-batches learnt so far, with which a fixed rotation goes on.
        offsets: those that the source begins with, of every partition.
    """

    def __init__(
        self,
        source: MessageSource,
        config: IntakeConfig,
        clock: Clock,
        count_events: CountEvents,
        *,
        step: int,
        offsets: Offsets,
    ) -> None:
        self._source = source
        self._clock = clock
        self._batcher, self._growth = _batcher(config, source, step, offsets, count_events)
        self._max_events = config.max_events
        self._paused: frozenset[int] = frozenset()

    def next_closed(self, timeout_seconds: float) -> ClosedBatch | None:
        """The next micro-batch, or None if it has not closed by the timeout; raises what the source does."""
        now = self._clock.monotonic_seconds()
        deadline = now + timeout_seconds
        closed = self._close(now)
        while closed is None:
            wait_seconds = min(deadline - now, self._batcher.seconds_until_due(now))
            self._hold_back_full_partitions()
            messages = self._source.poll(self._batcher.wanted_messages(), max(wait_seconds, 0.0))
            now = self._clock.monotonic_seconds()
            self._batcher.add(messages, now)
            closed = self._close(now)
            if now >= deadline:
                break
        return closed

    def closed_behind(self, closed: ClosedBatch) -> Iterator[ClosedBatch]:
        """Micro-batches that wait and can be decoded along with this one."""
        if self._growth is not None and self._source.added_partitions():
            return
        num_events, now = closed.num_events, self._clock.monotonic_seconds()
        while num_events + self._max_events <= EVENTS_TOGETHER:
            behind = self._batcher.close(now, self._source.partitions_at_end)
            if behind is None:
                return
            num_events += behind.num_events
            yield behind

    def handed_out(self, offsets: Offsets) -> None:
        """A micro-batch went out; its next offsets."""
        if self._growth is not None:
            self._growth.handed_out(offsets)

    def saved(self, offsets: Offsets) -> None:
        """A checkpoint with these offsets is on disk."""
        if self._growth is not None:
            self._growth.saved(offsets)

    def _close(self, now_seconds: float) -> ClosedBatch | None:
        if self._growth is not None and self._growth.must_wait():
            return None
        return self._batcher.close(now_seconds, self._source.partitions_at_end)

    def _hold_back_full_partitions(self) -> None:
        full = self._batcher.full_partitions()
        if full == self._paused:
            return
        self._source.pause(full - self._paused)
        self._source.resume(self._paused - full)
        self._paused = full


def _batcher(
    config: IntakeConfig, source: MessageSource, step: int, offsets: Offsets, count_events: CountEvents
) -> tuple[Batcher, Growth | None]:
    if config.max_age_seconds > 0:
        arrivals = ArrivalBatcher(
            max_events=config.max_events, max_age_seconds=config.max_age_seconds, count_events=count_events
        )
        return arrivals, None
    rotation = RotationBatcher(
        source.partitions(),
        step=step,
        max_events=config.max_events,
        idle_seconds=config.idle_seconds,
        count_events=count_events,
    )
    return rotation, Growth(source, rotation, offsets)
