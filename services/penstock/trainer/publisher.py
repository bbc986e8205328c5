"""From weights in training to weights on replicas, in an order that must not change.

1. capture model, optimizer, reservoir, generators and offsets together      (learner's thread)
2. write the checkpoint to disk, once its dead letters are acknowledged and
   the label topic is known not to have been made anew                       (writer thread)
3. gate: what is worse than the served version goes no further; weights that
   are not finite do not come this far, capture refuses them                 (writer thread)
4. put the weights where replicas can read them, if they do not go inline    (announcer thread)
5. append the model-updated event and wait for its acknowledgement           (announcer thread)
6. commit the group offsets, for lag tools only                              (announcer thread)
7. prune old checkpoints and uploads                                         (by their stores, as new ones come)

A crash between two steps repeats work and never skips an event. Training waits for none of it: while the writer is
busy no candidate is taken, and while the announcer is busy a newer candidate replaces the one that waits.
"""

from threading import Event, Thread

import structlog

from penstock import failpoints
from penstock.clock import Clock
from penstock.errors import StopError, UnavailableError
from penstock.flow import Offsets, StepReport
from penstock.learning.device import begin_computing
from penstock.learning.learner import Learner
from penstock.telemetry import Telemetry
from penstock.trainer.announcer import Announcer
from penstock.trainer.cadence import Cadence
from penstock.trainer.candidate import Candidate, SavedCandidate
from penstock.trainer.disk_trouble import DiskTrouble
from penstock.trainer.gate import Gate
from penstock.trainer.mailbox import Mailbox
from penstock.trainer.ports import CheckpointStore, DeadLetterOutbox, LabelTopic, Resumable
from penstock.trainer.recorder import Recorder
from penstock.trainer.scores import scores, standing
from penstock.trainer.version_scores import ACCURACY, VersionScores

ACKNOWLEDGEMENT_SECONDS = 1.0
WRITER_POLL_SECONDS = 0.005
LAST_SAVE_SECONDS = 20.0
"""How long a stopping trainer waits for a disk that is slow; for dead letters only as long as one look takes."""

LAST_ANNOUNCEMENT_SECONDS = 10.0
"""And for the broker, if it is slow; one that does not answer is not asked twice."""

LAST_RECORD_SECONDS = 10.0
"""And for MLflow, whose record a trainer with a new disk would go on from."""

log = structlog.get_logger(__name__)


class Publisher:
    """Takes candidates when they are due and sees them through the steps above."""

    def __init__(
        self,
        *,
        checkpoints: CheckpointStore,
        dead_letters: DeadLetterOutbox,
        label_topic: LabelTopic,
        resumable: Resumable,
        announcer: Announcer,
        recorder: Recorder,
        cadence: Cadence,
        telemetry: Telemetry,
        clock: Clock,
        epoch: int,
        last_version: int,
        gate: Gate | None = None,
        disk_trouble: DiskTrouble | None = None,
    ) -> None:
        self._checkpoints = checkpoints
        self._dead_letters = dead_letters
        self._label_topic = label_topic
        self._resumable = resumable
        self._announcer = announcer
        self._recorder = recorder
        self._cadence = cadence
        self._telemetry = telemetry
        self._clock = clock
        self._epoch = epoch
        self._version = last_version
        self._gate = gate
        self._disk_trouble = disk_trouble or DiskTrouble(telemetry, clock, pauses=False)
        self._saved_offsets: Offsets | None = None
        self._last_report: StepReport | None = None
        self._version_scores = VersionScores()
        self._waiting: Mailbox[Candidate] = Mailbox()
        self._writer_idle = Event()
        self._writer_idle.set()
        self._stopping = Event()
        self._failure: BaseException | None = None
        self._writer = Thread(target=self._write_checkpoints, name="checkpoint-writer", daemon=True)

    def start(self, saved: Offsets | None) -> None:
        """Begin; `saved` are the offsets that the learner begins with, None if no checkpoint holds them yet."""
        self._saved_offsets = None if saved is None or self._announcer.is_behind(saved) else saved
        self._writer.start()
        self._announcer.start()
        self._recorder.start()

    def seconds_until_due(self, learner: Learner) -> float:
        """How long until `publish_when_due` may have something to do; infinite while nothing is new."""
        if not self._has_news(learner):
            return float("inf")
        until_due = max(self._cadence.seconds_until_due(), self._disk_trouble.seconds_until_retry())
        return max(until_due, WRITER_POLL_SECONDS)

    def holds_up(self, timeout_seconds: float) -> bool:
        """True, after the timeout, while nothing more may be learnt as checkpoints cannot be written."""
        return self._disk_trouble.holds_up(timeout_seconds)

    def publish_when_due(self, learner: Learner, report: StepReport | None) -> None:
        """Between two micro-batches: take a candidate if something is new, it is due, and the writer is free.

        Raises:
            StopError: publishing failed for good (fenced, state folder unusable).
        """
        if report is not None:
            self._last_report = report
            self._version_scores.add(report)
        self._raise_failure()
        if self._is_due and self._writer_idle.is_set() and self._has_news(learner):
            self._capture(learner)

    def publish_last(self, learner: Learner) -> None:
        """When stopping: see the newest state onto disk and, if the broker answers in time, to the replicas."""
        self._stopping.set()
        deadline = self._clock.monotonic_seconds() + LAST_SAVE_SECONDS
        if self._writer_idle.wait(LAST_SAVE_SECONDS) and self._has_news(learner):
            self._capture(learner)
        self._waiting.close()
        self._writer.join(max(deadline - self._clock.monotonic_seconds(), 0.0))
        self._announcer.close(LAST_ANNOUNCEMENT_SECONDS)
        self._recorder.close(LAST_RECORD_SECONDS)
        self._raise_failure()
        all_saved = self._writer_idle.is_set() and not self._has_news(learner)
        log.info("ended", step=learner.step, events_learnt=learner.events_learnt, all_saved=all_saved)

    def close(self) -> None:
        """Where training failed, in place of `publish_last`: stop, so that what is used here may be closed.

        What is being saved still is, and may be announced; nothing more is taken.
        """
        if not self._waiting.is_closed:
            self._stopping.set()
            self._waiting.close()
            self._writer.join(LAST_SAVE_SECONDS)
            self._announcer.close(LAST_ANNOUNCEMENT_SECONDS)

    def _has_news(self, learner: Learner) -> bool:
        return self._saved_offsets is None or learner.offsets.is_ahead_of(self._saved_offsets)

    @property
    def _is_due(self) -> bool:
        return self._cadence.is_due and not self._disk_trouble.seconds_until_retry()

    def _raise_failure(self) -> None:
        failure = self._failure or self._announcer.failure or self._recorder.failure
        if failure is not None:
            raise failure

    def _capture(self, learner: Learner) -> None:
        failpoints.reach("publication.due")
        began = self._clock.monotonic_seconds()
        self._version += 1
        checkpoint, weights = learner.capture(
            epoch=self._epoch,
            version=self._version,
            mlflow_run_id=self._recorder.run_id,
            full_reservoir=self._checkpoints.wants_full_reservoir(),
        )
        failpoints.reach("publication.captured")
        of_previous = self._version_scores.take(self._version)
        if of_previous:
            self._telemetry.gauge("penstock_previous_version_accuracy_ratio", of_previous[ACCURACY])
        self._cadence.captured(began_at_seconds=began)
        self._saved_offsets = checkpoint.offsets
        self._writer_idle.clear()
        self._waiting.put(
            Candidate(
                checkpoint=checkpoint,
                weights=weights,
                class_names=tuple(learner.class_names),
                metrics=scores(learner, self._last_report) | of_previous,
                standing=standing(learner),
                drift=learner.watch.alarms.newest,
                judged=learner.watch.judged.by_version(),
                captured_at_seconds=began,
                held_out=learner.held_out_rows() if self._gate is not None else None,
            )
        )

    def _write_checkpoints(self) -> None:
        begin_computing()
        while (candidate := self._waiting.take()) is not None:
            try:
                self._save_and_pass_on(candidate)
            except StopError as error:
                self._failure = error
            except OSError as error:
                self._saved_offsets = None
                self._disk_trouble.failed(error)
            except UnavailableError as error:
                self._saved_offsets = None
                log.error("checkpoint not written", reason=str(error))
            except BaseException as error:  # a defect must end the process, not just this thread
                self._failure = error
            finally:
                self._writer_idle.set()

    def _save_and_pass_on(self, candidate: Candidate) -> None:
        while not self._dead_letters.wait_acknowledged(ACKNOWLEDGEMENT_SECONDS):
            log.warning("the dead-letter topic has not acknowledged yet; the checkpoint waits")
            if self._stopping.is_set():
                raise UnavailableError("the dead-letter topic has not acknowledged before the trainer stopped")
        failpoints.reach("publication.letters_acknowledged")
        self._label_topic.confirm(candidate.checkpoint.label_log.topic_id)
        began = self._clock.monotonic_seconds()
        folder = self._checkpoints.save(candidate.checkpoint, candidate.weights)
        self._telemetry.observe("penstock_checkpoint_seconds", self._clock.monotonic_seconds() - began)
        self._disk_trouble.written()
        self._resumable.saved(candidate.offsets)
        failpoints.reach("publication.saved")
        if self._may_be_announced(candidate):
            failpoints.reach("publication.judged")
            self._announcer.offer(SavedCandidate(candidate=candidate, checkpoint_folder=folder))

    def _may_be_announced(self, candidate: Candidate) -> bool:
        if self._gate is None or candidate.held_out is None:
            return True
        refusal = self._gate.judge(
            candidate.checkpoint.version,
            candidate.weights,
            candidate.held_out,
            candidate.class_names,
            self._clock.now_ms(),
        )
        if refusal is not None:
            self._recorder.refused(refusal)
        return refusal is None
