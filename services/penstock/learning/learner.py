"""The learner: micro-batches in, reports out, and on request everything that must survive."""

from contextlib import nullcontext

import numpy as np
import numpy.typing as npt

from penstock.clock import Clock, SystemClock
from penstock.flow import AcceptedLoss, Checkpoint, Control, EventBatch, LabelLog, Offsets, StepReport, Weights
from penstock.learning.admission import Admission
from penstock.learning.captured_parts import captured_state, captured_tensors, restored_parts
from penstock.learning.carrying_out import Desk
from penstock.learning.class_changes import ClassChanges
from penstock.learning.class_packets import ClassPackets
from penstock.learning.config import ModelConfig, TrainingConfig
from penstock.learning.device import choose_device, denormals_flushed
from penstock.learning.event_rows import newest_ms
from penstock.learning.finite import check_finite
from penstock.learning.lessons import Lessons
from penstock.learning.parts import new_parts
from penstock.learning.retraction import Retractions
from penstock.learning.rows import Columns
from penstock.learning.seen_events import SeenEvents
from penstock.learning.served_weights import served_weights
from penstock.learning.set_aside import HeldRows, HoldOut
from penstock.learning.step_reports import Learnt, Progress, report_of
from penstock.learning.tensors import host_copies
from penstock.learning.warm_start import Mapped, start_from
from penstock.learning.watching.watch import Watch
from penstock.replay.config import ReplayConfig
from penstock.replay.priority import EventPriorities


class Learner:
    """Learns each micro-batch as it comes: predict, make room for new classes, step, remember.

    A pure function of its configuration, of the events and of how they are cut into batches: on one device and one
    thread the same calls give the same weights to the bit. Not thread-safe.
    """

    def __init__(
        self,
        model: ModelConfig,
        training: TrainingConfig,
        replay: ReplayConfig,
        *,
        topic: str,
        max_events: int,
        clock: Clock | None = None,
        hold_out: HoldOut | None = None,
        dedupe_window_events: int = 0,
    ) -> None:
        """`topic` is where the events come from: part of their priority. `max_events` bounds what is learnt at once.

        Events of `hold_out` are not learnt, but kept to compare versions on. `dedupe_window_events` are those of the
        intake, whose memory survives with ours.

        Raises:
            ConfigurationError: there is no such device, or the backbone's factory does not work.
        """
        self.device = choose_device(training.device)
        self.offsets = Offsets()
        self.label_log = LabelLog()
        self.step = 0
        self.events_learnt = 0
        self.trained_until_ms = 0
        self.read_until_ms = 0
        self._model, self._training, self._replay = model, training, replay
        self._schema = model.schema
        self._topic = topic
        self._priorities = EventPriorities(topic)
        self._max_events = max_events
        self._clock = clock or SystemClock()
        self._last_loss = 0.0
        self._hold_out = hold_out
        self.seen = SeenEvents(dedupe_window_events)
        self._parts = new_parts(model, training, replay, self.device, hold_out)

    @property
    def class_names(self) -> tuple[str, ...]:
        """By index."""
        return self._parts.ledger.names

    @property
    def num_asleep(self) -> int:
        """Classes that are hibernated."""
        return len(self._parts.sleepers)

    @property
    def weights_by_head(self) -> dict[str, float]:
        """Weight of each head in the mixture; they sum to 1."""
        ensemble = self._parts.ensemble
        return {"linear": 1.0} if ensemble is None else ensemble.weights_by_head

    @property
    def watch(self) -> Watch:
        """What watches the stream: scores, alarms, history."""
        return self._parts.watch

    def kept_by_class(self) -> npt.NDArray[np.int64]:
        """[classes]: rows kept for replay, each once."""
        return self._parts.num_kept()

    def recall_by_class(self) -> dict[str, float]:
        """Faded share of each class's rows that were predicted right before they were learnt."""
        recall = self._parts.watch.details().classes.recall.tolist()
        unscored = [0.0] * (len(self.class_names) - len(recall))
        return dict(zip(self.class_names, recall + unscored, strict=True))

    @denormals_flushed()
    def learn(self, batch: EventBatch) -> StepReport:
        """Learn every event of the batch; without events only offsets and step move on.

        Raises:
            DivergedError: the loss is no longer finite; the learner must not be used any more.
        """
        started = self._clock.monotonic_seconds()
        known = len(self._parts.ledger)
        self.seen.add(batch)
        self._parts.descent.at_event(self.events_learnt)
        with self._parts.randomness.in_use() if self._parts.network.backbone.mode_matters else nullcontext():
            learnt = self._learn_pieces(batch)
        self.seen.take_back(batch, learnt.refused_places)
        self.step += 1
        if learnt.scored:
            self._last_loss = learnt.scored[-1].loss
        self.offsets = self.offsets.advanced_to(batch.offsets)
        self.read_until_ms = max(self.read_until_ms, batch.read_until_ms)
        self.events_learnt += learnt.num_events(batch)
        progress = Progress(
            step=self.step,
            loss=self._last_loss,
            num_known=known,
            trained_until_ms=self.trained_until_ms,
            seconds=self._clock.monotonic_seconds() - started,
            weights_by_head=self.weights_by_head,
        )
        return report_of(self._parts, batch, learnt, progress)

    def _learn_pieces(self, batch: EventBatch) -> Learnt:
        """Events and controls in their one order."""
        desk, admission, lessons = self._desk(), self._admission(), self._lessons()
        learnt, first = Learnt(), 0
        for piece in batch.pieces(self._max_events):
            if isinstance(piece, Control):
                learnt.controls.append(desk.carry_out(piece))
                continue
            desk.begin_learning()
            for events, places in admission.admitted(piece, learnt, self.events_learnt):
                self.trained_until_ms = max(self.trained_until_ms, newest_ms(events))
                learnt.scored += [one.moved_to(places + first) for one in lessons.learn(events)]
            first += piece.num_rows
        desk.finish()
        return learnt

    def held_out_rows(self) -> HeldRows | None:
        """Rows of live classes that were never learnt; None where none are held out."""
        parts = self._parts
        return parts.held_out.of_classes(parts.ledger.live) if parts.held_out.is_on else None

    def probabilities(self, columns: Columns) -> npt.NDArray[np.float32]:
        """[n, classes] as the weights of this moment answer; a class must be known."""
        rows = self._parts.encoder.encode(columns)
        return self._parts.probabilities(rows)

    def packet_of(self, name: str) -> bytes:
        """The packet of a class, live or asleep, as a file.

        Raises:
            InvalidEventError: there is no such class, or it is retired.
        """
        return ClassPackets(self._parts, self._model.name, self._schema).named(name)

    def capture(
        self, *, epoch: int, version: int, mlflow_run_id: str | None, full_reservoir: bool
    ) -> tuple[Checkpoint, Weights]:
        """All of it as host copies, and the weights file; the same state gives the same bytes of weights.

        Raises:
            DivergedError: a weight is no longer finite.
        """
        parts = self._parts
        network, served = host_copies(parts.network.tensors()), parts.descent.served
        check_finite(network, self.step, self._training.learning_rate)
        answering = network if served is parts.network else host_copies(served.tensors())
        checkpoint = Checkpoint(
            model=self._model.name,
            schema_digest=self._schema.digest,
            epoch=epoch,
            version=version,
            step=self.step,
            events_learnt=self.events_learnt,
            offsets=self.offsets,
            trained_until_ms=self.trained_until_ms,
            tensors=captured_tensors(parts, network) | self.seen.tensors(),
            state=captured_state(parts, self._model)
            | {"last_loss": self._last_loss, "read_until_ms": self.read_until_ms},
            reservoir=parts.reservoir.capture(full=full_reservoir),
            packets=parts.sleepers.packets(),
            mlflow_run_id=mlflow_run_id,
            label_log=self.label_log,
        )
        return checkpoint, served_weights(parts, self._model, answering)

    def start_from(self, content: bytes, uri: str) -> Mapped:
        """Begin with the weights of a safetensors file, before anything is learnt.

        Raises:
            ConfigurationError: they are not of this model; says why. This learner is then unchanged.
        """
        return start_from(self._parts, content, uri)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become the learner that was captured: what it learns from here on is what that one would have learnt.

        Raises:
            StateError: the checkpoint is of another model, schema or backbone; this learner is then unchanged.
        """
        self._parts = restored_parts(checkpoint, self._model, self._training, self._replay, self.device, self._hold_out)
        self.offsets = checkpoint.offsets
        self.label_log = checkpoint.label_log
        self.step = checkpoint.step
        self.events_learnt = checkpoint.events_learnt
        self.trained_until_ms = checkpoint.trained_until_ms
        self.read_until_ms = int(checkpoint.state.get("read_until_ms", 0))  # type: ignore[arg-type]  # as below
        self.seen.restore(checkpoint.tensors, self._parts.history.frontier)
        self._last_loss = float(checkpoint.state["last_loss"])  # type: ignore[arg-type]  # written by capture

    def seek(self, offsets: Offsets, label_log: LabelLog) -> None:
        """Go on from these next offsets, of every partition: where the checkpoint left off, less what was let go of.

        In a topic made anew, places of the old one come up again; there the topic's id is part of an event's priority.
        So do those beyond the end of one that was truncated, and have priorities of their own there.
        """
        for loss in label_log.losses[len(self.label_log.losses) :]:
            self._let_go(loss)
        self.offsets, self.label_log = offsets, label_log
        is_anew = any(loss.reason == "made-anew" for loss in label_log.losses)
        truncated = [(loss.partition, loss.resumed_at) for loss in label_log.losses if loss.reason == "truncated"]
        if is_anew or truncated:
            topic = f"{self._topic} {label_log.topic_id}" if is_anew else self._topic
            self._priorities = EventPriorities(topic, truncated)

    def _let_go(self, loss: AcceptedLoss) -> None:
        if loss.reason == "retention":  # what is gone there does not come again
            return
        resumed_at = None if loss.reason == "made-anew" else loss.resumed_at
        self._parts.history.let_go(loss.partition, resumed_at)
        self.seen.let_go(loss.partition, resumed_at)

    def _changes(self) -> ClassChanges:
        return ClassChanges(self._parts, self._model.name, self._schema)

    def _admission(self) -> Admission:
        return Admission(self._parts, self._changes(), self._priorities, max_classes=self._model.max_classes)

    def _desk(self) -> Desk:
        retractions = Retractions(self._parts, self._priorities, self.seen, self._topic)
        return Desk(self._parts, self._changes(), retractions, max_classes=self._model.max_classes)

    def _lessons(self) -> Lessons:
        return Lessons(self._parts, self._priorities, self._training, self._replay, step=self.step + 1)
