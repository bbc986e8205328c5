"""Tells the replicas: weights out of line if need be, then the model-updated event, then the group offsets."""

from threading import Event, Thread
from typing import Literal

import structlog

from penstock import failpoints
from penstock.clock import Clock
from penstock.errors import UnavailableError
from penstock.flow import ModelUpdate, Offsets
from penstock.telemetry import Telemetry
from penstock.trainer.candidate import AnnouncedCandidate, Candidate, SavedCandidate
from penstock.trainer.config import PublishConfig
from penstock.trainer.deltas import Deltas
from penstock.trainer.mailbox import Mailbox
from penstock.trainer.ports import OffsetLog, UpdateLog, WeightsStore
from penstock.trainer.recorder import Recorder
from penstock.trainer.update import update_of

RETRY_SECONDS = 0.5

log = structlog.get_logger(__name__)


class Announcer:
    """A thread that announces the newest saved candidate, as soon as the outside lets it.

    It stays silent until a candidate is ahead of `announced`, the offsets of the last update on the topic, so that
    what replicas have learnt never goes back.
    """

    def __init__(
        self,
        *,
        update_log: UpdateLog,
        weights_store: WeightsStore,
        offset_log: OffsetLog,
        recorder: Recorder,
        telemetry: Telemetry,
        clock: Clock,
        config: PublishConfig,
        announced: Offsets,
    ) -> None:
        self._update_log = update_log
        self._weights_store = weights_store
        self._offset_log = offset_log
        self._recorder = recorder
        self._telemetry = telemetry
        self._clock = clock
        self._inline_max_bytes = config.inline_max_bytes
        self._deltas = Deltas(config, clock)
        self._announced = announced
        self._waiting: Mailbox[SavedCandidate] = Mailbox()
        self._closing = Event()
        self._thread = Thread(target=self._run, name="announcer", daemon=True)
        self.failure: BaseException | None = None

    def is_behind(self, offsets: Offsets) -> bool:
        """True if these offsets are ahead of what replicas have been told."""
        return offsets.is_ahead_of(self._announced)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def offer(self, saved: SavedCandidate) -> None:
        """Announce this one next, in place of one that still waits."""
        self._waiting.put(saved)

    def close(self, timeout_seconds: float) -> None:
        """Announce what waits, if its first try succeeds in time, and stop."""
        self._closing.set()
        self._waiting.close()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            while (saved := self._waiting.take()) is not None:
                if self.is_behind(saved.candidate.offsets):
                    self._announce_or_retry(saved)
        except BaseException as error:  # a fence or a defect: the learner's thread raises it
            self.failure = error

    def _announce_or_retry(self, saved: SavedCandidate) -> None:
        while True:
            try:
                self._announce(saved)
            except UnavailableError as error:
                self._telemetry.count("penstock_publish_failures_total")
                gives_up = self._closing.is_set()
                log.warning(f"update not announced{'' if gives_up else ', trying again'}", reason=str(error))
                if self._closing.wait(RETRY_SECONDS) or not self._waiting.is_empty:
                    return
            else:
                return

    def _announce(self, saved: SavedCandidate) -> None:
        candidate = saved.candidate
        update = update_of(
            candidate,
            weights_store=self._weights_store,
            inline_max_bytes=self._inline_max_bytes,
            announced_at_ms=self._clock.now_ms(),
            lag_events=self._lag_events(candidate.offsets),
            delta=self._deltas.delta_of(candidate.weights),
        )
        failpoints.reach("publication.stored")
        self._update_log.append(update)
        failpoints.reach("publication.announced")
        self._announced = update.offsets
        self._deltas.announced(candidate.weights, update)
        self._offset_log.commit(update.offsets)
        failpoints.reach("publication.committed")
        self._report(candidate, update)
        self._recorder.offer(AnnouncedCandidate.of(saved, update))

    def _lag_events(self, offsets: Offsets) -> float:
        ends = self._offset_log.end_offsets().next
        return float(sum(max(end - offsets[partition], 0) for partition, end in ends.items()))

    def _report(self, candidate: Candidate, update: ModelUpdate) -> None:
        seconds = self._clock.monotonic_seconds() - candidate.captured_at_seconds
        self._telemetry.observe("penstock_publish_seconds", seconds)
        self._telemetry.count("penstock_updates_published_total")
        num_bytes, way = _travelled(update)
        self._telemetry.count("penstock_announced_bytes_total", num_bytes, way=way)
        self._telemetry.gauge("penstock_model_version", update.version)
        self._telemetry.gauge("penstock_model_trained_until_timestamp_seconds", update.trained_until_ms / 1000)
        self._telemetry.identify(model=update.model, version=update.version, sha256=update.sha256)
        log.debug("update announced", version=update.version, epoch=update.epoch, seconds=round(seconds, 4))


def _travelled(update: ModelUpdate) -> tuple[int, Literal["inline", "uri", "delta"]]:
    """How many bytes of weights replicas must be given for an update, and in which way."""
    if update.delta is not None:
        return len(update.delta.content), "delta"
    return update.size_bytes, "inline" if update.inline is not None else "uri"
