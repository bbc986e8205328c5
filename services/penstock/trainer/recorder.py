"""Keeps the record for people (MLflow), on its own slower cadence; nothing waits for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock, Thread

import structlog

from penstock.clock import Clock
from penstock.errors import FencedError, PenstockError, UnavailableError
from penstock.flow import ModelUpdate, Recorded
from penstock.telemetry import Telemetry
from penstock.trainer.candidate import AnnouncedCandidate
from penstock.trainer.mailbox import Mailbox
from penstock.trainer.record_ports import ModelRecord, RecordedLog
from penstock.trainer.refusal import Refusal
from penstock.trainer.version_scores import RecordedScores

Pin = Callable[[Path, Path], Path]
"""Keep a checkpoint folder: `pin(folder, into)` returns a copy (of links) that pruning leaves alone."""

Draw = Callable[[Path], bytes]
"""The report on the checkpoint in a folder, as an HTML page."""

WAKE_SECONDS = 5.0
"""The gate's newest refusal is recorded this often, and what is due although nothing new is announced looked for."""

log = structlog.get_logger(__name__)


class Recorder:
    """A thread that records the newest announced candidate every `interval_seconds`, and the last one at the end.

    What was not recorded, as it was not due or failed, is recorded once it is due, announced anything new or not.
    Replicas are told through `update_log` what is on record.

    Every `report_interval_seconds`, and at the end, it draws the report as well; 0 never. With `record` None it records
    nothing.
    """

    def __init__(
        self,
        record: ModelRecord | None,
        *,
        pin: Pin,
        pinned_into: Path,
        interval_seconds: float,
        draw: Draw | None = None,
        report_interval_seconds: float = 0.0,
        telemetry: Telemetry,
        clock: Clock,
        run_id: str | None,
        update_log: RecordedLog | None = None,
    ) -> None:
        self._record = record
        self._update_log = update_log
        self._pin = pin
        self._pinned_into = pinned_into
        self._interval_seconds = interval_seconds
        self._draw = draw
        self._report_interval_seconds = report_interval_seconds
        self._report_due_at = clock.monotonic_seconds()
        self._telemetry = telemetry
        self._clock = clock
        self.run_id = run_id
        self.is_recording = False
        """True while a record is on its way: after `close`, one that MLflow has not taken in time."""
        self.failure: FencedError | None = None
        """Set once another trainer has been seen to have taken over."""
        self._due_at = clock.monotonic_seconds()
        self._newest: AnnouncedCandidate | None = None
        self._unreported: AnnouncedCandidate | None = None
        """What was recorded last, while there is no report on it."""
        self._scores = RecordedScores()
        self._keeping = Lock()
        self._refusal: Refusal | None = None
        self._waiting: Mailbox[AnnouncedCandidate] = Mailbox()
        self._thread = Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._record is not None:
            self._thread.start()

    def offer(self, announced: AnnouncedCandidate) -> None:
        """Record this one if it is time (announcer's thread)."""
        self._newest = announced
        with self._keeping:
            self._scores.announced(announced.update.metrics)
        if self._is_due and self._waiting.is_empty:
            self._hand_over(announced)

    def refused(self, refusal: Refusal) -> None:
        """Record that the gate refused a candidate, the newest such (writer's thread)."""
        self._refusal = refusal

    def close(self, timeout_seconds: float) -> None:
        """Record the newest announced, if it is not yet recorded and that succeeds in time, and stop."""
        if self._record is None:
            return
        if self._newest is not None:  # in place of an older one that may still wait
            self._hand_over(self._newest)
        self._waiting.close()
        self._thread.join(timeout_seconds)

    @property
    def _is_due(self) -> bool:
        return self._record is not None and self._clock.monotonic_seconds() >= self._due_at

    def _hand_over(self, announced: AnnouncedCandidate) -> None:
        pinned = self._pinned(announced)
        if pinned is not None:
            self._waiting.put(pinned)

    def _pinned(self, announced: AnnouncedCandidate) -> AnnouncedCandidate | None:
        """It with a folder that stays; None if that cannot be had, so that the next one must do."""
        with self._keeping:
            self._due_at = self._clock.monotonic_seconds() + self._interval_seconds
            try:
                folder = self._pin(announced.checkpoint_folder, self._pinned_into)
            except FileNotFoundError:
                self._due_at = 0.0  # pruned before it could be kept: the next one will do
                return None
            except OSError as error:
                log.warning("checkpoint not kept for MLflow, training goes on", reason=str(error))
                return None
            if self._newest is announced:
                self._newest = None
            return replace(announced, checkpoint_folder=folder, scored=self._scores.recorded(announced.update.version))

    def _next(self) -> AnnouncedCandidate | None:
        """What was handed over; else, when it is due, the newest that is not recorded."""
        announced = self._waiting.take(min(WAKE_SECONDS, self._interval_seconds))
        newest = self._newest
        if announced is None and newest is not None and self._is_due and not self._waiting.is_closed:
            announced = self._pinned(newest)
        return announced

    @property
    def _is_report_due(self) -> bool:
        return self._clock.monotonic_seconds() >= self._report_due_at

    def _report(self, record: ModelRecord) -> None:
        """On what was recorded last, unless there is a report on it already."""
        recorded, self._unreported = self._unreported, None
        if recorded is None or self._draw is None or not self._report_interval_seconds:
            return
        self._report_due_at = self._clock.monotonic_seconds() + self._report_interval_seconds
        try:
            record.keep_report(self._draw(recorded.checkpoint_folder))
        except UnavailableError as error:
            log.warning("report not kept in MLflow, the next one will be tried", reason=str(error))
        except Exception:  # a page for people must never end training
            log.exception("report not drawn, training goes on")

    def _record_refusal(self, record: ModelRecord) -> None:
        refusal, self._refusal = self._refusal, None
        if refusal is None:
            return
        try:
            record.note_refusal(refusal)
        except UnavailableError as error:
            log.warning("refused candidate not recorded in MLflow", reason=str(error))
        except Exception:  # nor a note of a refusal
            log.exception("refused candidate not recorded in MLflow, training goes on")

    def _run(self) -> None:
        assert self._record is not None  # start() sees to it
        while self.failure is None and not (self._waiting.is_closed and self._waiting.is_empty):
            announced = self._next()
            self._record_refusal(self._record)
            if announced is not None and self._has_recorded(self._record, announced):
                self._unreported = announced
                if self._is_report_due:
                    self._report(self._record)
        if self.failure is None:
            self._report(self._record)

    def _has_recorded(self, record: ModelRecord, announced: AnnouncedCandidate) -> bool:
        self.is_recording = True
        try:
            self.run_id = record.record(announced, announced.metrics)
        except FencedError as error:  # the learner's thread raises it
            self.failure = error
            return False
        except UnavailableError as error:
            log.warning("not recorded in MLflow, training goes on", reason=str(error))
        except Exception:  # nor the record: MLflow's client may raise anything
            log.exception("not recorded in MLflow, training goes on")
        else:
            self._telemetry.count("penstock_mlflow_records_total")
            log.info("recorded in MLflow", version=announced.update.version, run_id=self.run_id)
            if self._update_log is not None:
                tell_replicas(self._update_log, announced.update, record.mlflow_version)
            return True
        finally:
            self.is_recording = False
        self._telemetry.count("penstock_mlflow_failures_total")
        if self._newest is None:  # nothing newer was announced meanwhile: this one is tried again when it is due
            self._newest = announced
        return False


def tell_replicas(update_log: RecordedLog, update: ModelUpdate, mlflow_version: str | None) -> None:
    """That MLflow has this version; raises nothing: where that fails they answer without its number."""
    if mlflow_version is None:
        return
    recorded = Recorded(
        model=update.model,
        version=update.version,
        epoch=update.epoch,
        sha256=update.sha256,
        mlflow_version=mlflow_version,
    )
    try:
        update_log.note_recorded(recorded)
    except PenstockError as error:  # of a fence the next record or announcement hears as well
        log.warning("replicas not told what is on record", version=update.version, reason=str(error))
    except Exception:  # nor by a log that is closed already: the record stands
        log.exception("replicas not told what is on record", version=update.version)
