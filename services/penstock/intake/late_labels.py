"""Late labels: events that name a prediction are joined to the log of predictions, as a function of both logs alone.

Every micro-batch has a horizon: the newest timestamp of its messages and of all before it. A label is joined to the
newest prediction under its id up to its own timestamp; else to the first within `wait_seconds` after that. Predictions
older than `window_seconds` before the horizon, or beyond the limits, counted back from it, are forgotten. None of this
depends on when anything was read, provided that brokers stamp predictions as they append them and that no label is
stamped in the future. What the clock decides is only when a prediction that did not come is given up: at a time from
which on none can be stamped early enough any more.
"""

from collections.abc import Sequence

import structlog

from penstock.clock import Clock
from penstock.errors import UnavailableError
from penstock.flow import Offsets
from penstock.intake.config import LateLabelsConfig
from penstock.intake.ports import PredictionSource
from penstock.intake.prediction_index import PredictionIndex
from penstock.wire.late_labels import FoundPredictions, LateLabel
from penstock.wire.message import Message

SKEW_MS = 250
"""By how much the trainer's clock may be ahead of the brokers' without changing any outcome."""
FAR_MS = 60_000
"""A horizon that moves on by more than this may leave predictions behind that need not be read."""
MESSAGES_A_POLL = 4096
POLLS_TO_KEEP_UP = 2
"""In passing, so that labels are not held up."""
AHEAD_MESSAGES, AHEAD_BYTES = 65_536, 33_554_432
"""What is read ahead of the horizon, over all partitions, before reading waits for it."""
RETRY_SECONDS = 0.05

log = structlog.get_logger(__name__)


class LateLabels:
    """Used by the intake's thread.

    Args:
        source: the prediction topic.
        config: the `[intake.late_labels]` section.
        clock: for the time from which on a prediction cannot come any more.
        read_until_ms: the horizon of the last micro-batch that was learnt; 0 before the first.
    """

    def __init__(self, source: PredictionSource, config: LateLabelsConfig, clock: Clock, *, read_until_ms: int) -> None:
        self._source = source
        self._config = config
        self._clock = clock
        self._index = PredictionIndex(max_predictions=config.max_predictions, max_bytes=config.max_bytes)
        self._horizon_ms = read_until_ms
        self._followed_ms: int | None = None  # a horizon up to which all was read; None before anything is
        self._latest_ms = 0  # no label of the batch is joined to a prediction stamped later
        self._ends = Offsets()
        self._ends_asked_ms = 0
        self._held_back: frozenset[int] = frozenset()

    @property
    def horizon_ms(self) -> int:
        """Of the micro-batch that was begun last."""
        return self._horizon_ms

    def begin(self, messages: Sequence[Message]) -> None:
        """Move the horizon to a micro-batch: never back, nor into the future, where a wrong clock puts a label."""
        newest_ms = max(message.timestamp()[1] for message in messages)
        self._horizon_ms = max(self._horizon_ms, min(newest_ms, self._clock.now_ms()))

    def keep_up(self) -> None:
        """Read some of what has been logged meanwhile, without waiting."""
        if self._followed_ms is None:
            return
        for _ in range(POLLS_TO_KEEP_UP):
            if not self._read(0.0, self._horizon_ms):
                return

    def find(
        self, messages: Sequence[Message], labels: Sequence[LateLabel], timeout_seconds: float
    ) -> FoundPredictions | None:
        """What the late labels of the batch that was begun name; None if it is not certain by the timeout: ask again.

        `messages` are all of the batch.
        """
        deadline = self._clock.monotonic_seconds() + timeout_seconds
        stamps = [min(messages[label.message].timestamp()[1], self._horizon_ms) for label in labels]
        self._latest_ms = max(stamps) + self._wait_ms
        while True:
            found = self._look_up(labels, stamps) if self._is_following() else None
            if found is not None:
                return found
            remaining = deadline - self._clock.monotonic_seconds()
            if remaining <= 0:
                return None
            self._read(min(remaining, RETRY_SECONDS), max(self._latest_ms, self._horizon_ms))

    def _is_following(self) -> bool:
        """Reading goes on near enough to the horizon; where it does not, it is taken there."""
        if self._followed_ms is not None and self._horizon_ms <= self._followed_ms + FAR_MS:
            return True
        try:
            self._source.skip_to(
                since_ms=self._since_ms, until_ms=self._horizon_ms, max_messages=self._config.max_predictions
            )
        except UnavailableError as error:
            log.warning("the prediction topic cannot be read now, late labels wait", reason=str(error))
            return False
        self._followed_ms = self._horizon_ms
        return True

    def _look_up(self, labels: Sequence[LateLabel], stamps: Sequence[int]) -> FoundPredictions | None:
        """None while a prediction that would change the answer may still come."""
        if self._read_until_ms < self._horizon_ms:
            return None
        self._move_window()
        values: dict[LateLabel, bytes] = {}
        for label, at_ms in zip(labels, stamps, strict=True):
            value = self._index.find(label.prediction_id, at_ms=at_ms, latest_ms=at_ms + self._wait_ms)
            if value is not None:
                values[label] = value
        if len(values) < len(set(labels)) and not self._nothing_more_can_come():
            return None
        return FoundPredictions(
            values=values,
            otherwise=f"names no prediction logged in the {self._config.window_seconds:g} s before the label",
        )

    def _nothing_more_can_come(self) -> bool:
        """True once everything stamped up to `_latest_ms` has been read."""
        unfinished = [p for p in self._source.partitions() if self._index.newest_ms(p) <= self._latest_ms]
        if not unfinished:
            return True
        if self._ends_asked_ms <= self._latest_ms + SKEW_MS:
            now_ms = self._clock.now_ms()
            if now_ms <= self._latest_ms + SKEW_MS:
                return False
            try:
                self._ends, self._ends_asked_ms = self._source.end_offsets(), now_ms
            except UnavailableError as error:
                log.warning("the prediction topic cannot be read now, late labels wait", reason=str(error))
                return False
        return all(self._source.position(partition) >= self._ends[partition] for partition in unfinished)

    def _read(self, timeout_seconds: float, until_ms: int) -> bool:
        """Read on, up to `until_ms` and, as far as there is room, ahead of it. False if nothing came."""
        self._hold_back(until_ms)
        messages = self._source.poll(MESSAGES_A_POLL, timeout_seconds)
        self._index.add(messages)
        self._move_window()
        return bool(messages)

    def _move_window(self) -> None:
        """To the horizon, or as far towards it as everything has been read."""
        read_until_ms = self._read_until_ms
        self._index.move_window(self._since_ms, min(read_until_ms, self._horizon_ms))
        if self._followed_ms is not None and read_until_ms >= self._horizon_ms:
            self._followed_ms = self._horizon_ms

    def _hold_back(self, until_ms: int) -> None:
        """Pause the partitions that are far enough ahead, of `until_ms` or of another partition."""
        partitions = self._source.partitions()
        behind_ms = min(until_ms, self._read_until_ms + 1)
        held_back = frozenset(
            partition
            for partition in partitions
            if self._index.newest_ms(partition) > behind_ms and self._is_full(partition, len(partitions))
        )
        if held_back != self._held_back:
            self._source.pause(held_back - self._held_back)
            self._source.resume(self._held_back - held_back)
            self._held_back = held_back

    def _is_full(self, partition: int, num_partitions: int) -> bool:
        num_messages, num_bytes = self._index.ahead_of(partition)
        return num_messages * num_partitions >= AHEAD_MESSAGES or num_bytes * num_partitions >= AHEAD_BYTES

    @property
    def _read_until_ms(self) -> int:
        """All predictions stamped up to then have been read, as far as is known."""
        at_end = self._source.partitions_at_end()
        unfinished = [self._index.newest_ms(p) - 1 for p in self._source.partitions() if p not in at_end]
        return min(unfinished, default=self._clock.now_ms())

    @property
    def _wait_ms(self) -> int:
        return round(self._config.wait_seconds * 1000)

    @property
    def _since_ms(self) -> int:
        return self._horizon_ms - round(self._config.window_seconds * 1000)
