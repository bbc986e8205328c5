"""The replica's one thread that follows the update topic and replaces what is served.

1. From the end of the log back to the newest update; then whatever is appended.
2. Of all that is queued, the newest is tried first: a replica that is behind never works through a backlog.
3. Fetch, verify, build aside, warm (`ModelBuilder`).
4. Replace one reference (`Slot`).

A bad update leaves the current model in place and is counted; an older one in the queue may still be newer than what is
served. While the broker is away the replica serves what it has.
"""

from collections import deque
from collections.abc import Callable
from threading import Event, Thread

import structlog

from penstock import failpoints
from penstock.clock import Clock
from penstock.errors import RefusedUpdateError, StopError, UnavailableError
from penstock.flow import LogRecord, Recorded, Withdrawal
from penstock.learning.device import begin_computing
from penstock.make_way import MakeWay, go_on
from penstock.serving.backlog import Backlog, Candidate
from penstock.serving.builder import ModelBuilder
from penstock.serving.ports import UpdateFeed
from penstock.serving.slot import ServedModel, Slot
from penstock.telemetry import Telemetry

POLL_SECONDS = 0.2
RETRY_SECONDS = 1.0
MAX_DRAIN_POLLS = 1000
CLOSE_SECONDS = 2.5
MAX_RECORDED = 16
"""Versions on record that are remembered, as their models may be served only later."""

log = structlog.get_logger(__name__)


class Updater:
    """Keeps the slot on the newest good model from `start` to `close`."""

    def __init__(
        self,
        feed: UpdateFeed,
        slot: Slot,
        builder: ModelBuilder,
        *,
        model: str,
        telemetry: Telemetry,
        clock: Clock,
        give_up: Callable[[StopError], None],
        retry_seconds: float = RETRY_SECONDS,
        make_way: MakeWay = go_on,
    ) -> None:
        """`give_up` is called, from the updater's thread, with the reason why this replica cannot follow the topic.

        `make_way` is called between the small steps of what the builder does not do.
        """
        self._feed = feed
        self._slot = slot
        self._builder = builder
        self._backlog = Backlog(model)
        self._telemetry = telemetry
        self._clock = clock
        self._give_up = give_up
        self._retry_seconds = retry_seconds
        self._make_way = make_way
        self._following = False
        self._away = False
        self._unfetched: tuple[int, int] | None = None
        self._fetch_again_seconds = 0.0
        self._recorded: deque[Recorded] = deque(maxlen=MAX_RECORDED)
        self._stop = Event()
        self._thread = Thread(target=self._run, name="updater", daemon=True)

    def start(self) -> None:
        """Begin to follow the topic."""
        self._thread.start()

    def close(self) -> None:
        """Stop and leave the broker; returns when both are done, or after `CLOSE_SECONDS`."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        begin_computing()
        while not self._stop.is_set():
            try:
                self.follow()
            except StopError as error:
                self._give_up(error)
                break
            except Exception:  # whatever a sender put on the topic, the replica goes on serving
                log.exception("updater failed; the current model stays")
                self._stop.wait(self._retry_seconds)
        self._feed.close()

    def follow(self) -> None:
        """One round: take in what is new on the topic, and serve the newest good update of it.

        Raises:
            StopError: this replica cannot follow the topic.
        """
        was_following = self._following
        records = self._read(POLL_SECONDS)
        for _ in range(MAX_DRAIN_POLLS):
            for record in records:
                self._take(record)
            if not records:
                break
            records = self._read(0)
        self._serve_newest(measure_freshness=was_following)
        self._flag_withdrawal()

    def _read(self, timeout_seconds: float) -> list[LogRecord]:
        """What is new on the topic; empty, after a while, if there is nothing or the broker is away."""
        try:
            records = self._feed.poll(timeout_seconds) if self._following else self._feed.newest()
        except UnavailableError as error:
            if not self._away:
                log.warning("update topic away; what is served stays", reason=str(error))
            self._away = True
            self._stop.wait(self._retry_seconds)
            return []
        if self._away:
            log.info("update topic back")
        self._away, self._following = False, True
        return records

    def _take(self, record: LogRecord) -> None:
        reason = self._backlog.add(record, arrived_seconds=self._clock.monotonic_seconds())
        if reason is not None:
            self._telemetry.count("penstock_swaps_total", result=reason)
            if reason != "skipped":
                log.info("update dropped", reason=reason, update=record)
        if isinstance(record, Recorded):
            self._recorded.append(record)
            self._slot.note_recorded(record)
        if isinstance(record, Withdrawal):
            log.warning("model withdrawn; serving goes on", model=record.model)

    def _serve_newest(self, *, measure_freshness: bool) -> None:
        for candidate in self._backlog.candidates:
            waits = self._clock.monotonic_seconds() < self._fetch_again_seconds
            if waits and self._builder.needs_fetch(candidate.update):
                continue
            served = self._built(candidate)
            if served is not None:
                self._swap(candidate, served, measure_freshness=measure_freshness)
                return

    def _built(self, candidate: Candidate) -> ServedModel | None:
        """The candidate's model, or None with the reason counted and logged."""
        failpoints.reach("swap.received")
        try:
            return self._builder.build(candidate.update)
        except RefusedUpdateError as error:
            self._refuse(candidate, error.reason, str(error))
        except UnavailableError as error:
            self._postpone(candidate, str(error))
        except Exception as error:  # of the weights, or of the operator's factory; another update may do better
            if isinstance(error, StopError) and self._slot.current is None:
                raise
            log.exception("update failed", version=candidate.update.version)
            self._refuse(candidate, "failed", f"{type(error).__name__}: {error}")
        return None

    def _swap(self, candidate: Candidate, served: ServedModel, *, measure_freshness: bool) -> None:
        first = self._slot.current is None
        for recorded in self._recorded:
            served = served.recorded_as(recorded)
        self._slot.current = served  # which frees one before
        failpoints.reach("swap.swapped")
        self._make_way()
        skipped = self._backlog.served(candidate)
        now_ms = self._clock.now_ms()
        count, gauge, observe = self._telemetry.count, self._telemetry.gauge, self._telemetry.observe
        count("penstock_swaps_total", result="swapped")
        self._count_delta(candidate, "applied")
        if skipped:
            count("penstock_swaps_total", skipped, result="skipped")
        observe("penstock_swap_seconds", self._clock.monotonic_seconds() - candidate.arrived_seconds)
        if measure_freshness:  # a model found at start is as old as it is
            observe("penstock_freshness_seconds", max(0.0, (now_ms - served.trained_until_ms) / 1000))
        self._make_way()
        gauge("penstock_model_version", served.version)
        gauge("penstock_model_trained_until_timestamp_seconds", served.trained_until_ms / 1000)
        gauge("penstock_classes", len(served.class_names))
        self._telemetry.identify(model=served.model, version=served.version, sha256=served.sha256)
        say = log.info if first else log.debug
        say(
            "ready" if first else "swapped",
            version=served.version,
            epoch=served.epoch,
            trained_until=served.trained_until,
            classes=len(served.class_names),
        )

    def _refuse(self, candidate: Candidate, reason: str, sentence: str) -> None:
        self._backlog.refused(candidate)
        self._telemetry.count("penstock_swaps_total", result=reason)
        self._count_delta(candidate, reason)
        log.warning("update refused", version=candidate.update.version, reason=reason, sentence=sentence)

    def _postpone(self, candidate: Candidate, sentence: str) -> None:
        """The weights cannot be fetched now: the candidate stays, and is tried again."""
        self._telemetry.count("penstock_swaps_total", result="fetch")
        self._count_delta(candidate, "fetch")
        if self._unfetched != candidate.place:
            log.warning("weights out of reach; trying again", version=candidate.update.version, sentence=sentence)
        self._unfetched = candidate.place
        self._fetch_again_seconds = self._clock.monotonic_seconds() + self._retry_seconds

    def _count_delta(self, candidate: Candidate, result: str) -> None:
        if candidate.update.delta is not None:
            self._telemetry.count("penstock_deltas_total", result=result)

    def _flag_withdrawal(self) -> None:
        if self._slot.withdrawn != self._backlog.withdrawn:
            self._slot.withdrawn = self._backlog.withdrawn
            self._telemetry.gauge("penstock_model_withdrawn", float(self._slot.withdrawn))
