"""A learner that reads an in-memory log: the trainer's own code, from decoded micro-batches to the served answer."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from bench_learning.configuration import column_names, settings_for
from bench_learning.stream import Floats, Labels, Stream
from labelled_rows import event_batch
from penstock.flow import Checkpoint, ClassRequest, Control, ControlOutcome, EventBatch, StepReport
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor

Hits = npt.NDArray[np.bool_]

ASKED_AT_ONCE = 1024


class Lesson:
    """One learner, its log's next offset, and the replica that would serve it."""

    def __init__(
        self,
        stream: Stream,
        *,
        seed: int,
        batch_rows: int,
        overrides: Mapping[str, str] | None = None,
        events_per_ms: int = 1,
    ) -> None:
        """`events_per_ms` is how fast events came by their timestamps."""
        self._settings = settings_for(stream, seed=seed, batch_rows=batch_rows, overrides=overrides)
        self._kind, self._names = stream.kind, column_names(stream)
        self._next_offset = 0
        self._version = 0
        self._events_per_ms = events_per_ms
        self._width = stream.width
        self.batch_rows = batch_rows
        self.alarms = 0
        self.learner = self._new_learner()

    def fork(self) -> "Lesson":
        """Another lesson that goes on from a checkpoint of this one."""
        other = object.__new__(Lesson)
        other.__dict__.update(self.__dict__)
        other.learner = self._new_learner()
        other.learner.restore(self.checkpoint())
        return other

    def batches(self, rows: Floats, labels: Labels) -> Iterator[EventBatch]:
        """Micro-batches of these rows at the offsets that come next."""
        for start in range(0, len(labels), self.batch_rows):
            stop = start + self.batch_rows
            yield self.batch(rows[start:stop], labels[start:stop])

    def teach(self, rows: Floats, labels: Labels) -> Hits:
        """Learn rows [n, d], n ≥ 1, in micro-batches; which of them [n] were predicted right before they were learnt.

        The learner's own word, for rows of large micro-batches a sample; tests hold it to what a replica answers.
        """
        return np.concatenate([self.learn(batch).hits for batch in self.batches(rows, labels)])

    def learn(self, batch: EventBatch) -> StepReport:
        """Learn one micro-batch, and count alarms."""
        report = self.learner.learn(batch)
        self.alarms += len(report.alarms)
        return report

    def tell(self, request: ClassRequest) -> tuple[ControlOutcome, ...]:
        """Carry out a control that stands alone in its micro-batch."""
        control = Control(at=0, partition=0, offset=self._next_offset, row=0, request=request)
        self._next_offset += 1
        batch = self.batch(np.empty((0, self._width)), np.empty(0, dtype=str))
        return self.learn(replace(batch, controls=(control,))).controls

    def served_hits(self, rows: Floats, labels: Labels) -> Hits:
        """Which rows [n] a replica on the newest weights would answer right."""
        if not self.learner.class_names:
            return np.zeros(len(labels), dtype=np.bool_)
        right: Hits = self.answers(rows) == labels
        return right

    def predictor(self) -> Predictor:
        """What a replica serves once this state is announced: built from the weights file alone."""
        self._version += 1
        _, weights = self.learner.capture(epoch=1, version=self._version, mlflow_run_id=None, full_reservoir=False)
        return Predictor.from_weights(weights.content, model=self._settings.model, device=torch.device("cpu"))

    def probabilities(self, rows: Floats) -> Floats:
        """The replica's [n, classes], by the learner's class names."""
        predictor = self.predictor()
        found = [
            predictor.probabilities(predictor.encode(self._columns(rows[start : start + ASKED_AT_ONCE])))
            for start in range(0, len(rows), ASKED_AT_ONCE)
        ]
        return np.concatenate(found).astype(np.float64)

    def analytic_scores(self, rows: Floats) -> Floats:
        """[n, classes] of the analytic head of this moment, not rounded as in a weights file."""
        parts = self.learner._parts
        assert parts.ensemble is not None
        assert parts.ensemble.analytic is not None
        parts.ensemble.analytic.solve()
        encoded = parts.encoder.encode(self._columns(rows))
        return parts.ensemble.analytic.exact_scores(parts.ensemble.inputs(encoded))

    def encoded(self, rows: Floats) -> npt.NDArray[np.float32]:
        """[n, D] as rows are kept: numbers raw, all else as the network reads it."""
        dense: npt.NDArray[np.float32] = self.learner._parts.encoder.encode(self._columns(rows)).dense
        return dense

    def answers(self, rows: Floats) -> Labels:
        """The replica's labels [n]."""
        names: Labels = np.array(self.learner.class_names)
        found: Labels = names[self.probabilities(rows).argmax(axis=1)]
        return found

    def checkpoint(self) -> Checkpoint:
        """All that would survive."""
        return self.learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)[0]

    def _new_learner(self) -> Learner:
        settings = self._settings
        return Learner(
            settings.model,
            settings.training,
            settings.replay,
            topic=f"{settings.model.name}.labels",
            max_events=settings.intake.max_events,
        )

    def batch(self, rows: Floats, labels: Labels) -> EventBatch:
        """One micro-batch of these rows at the offsets that come next."""
        schema = self._settings.model.schema
        batch = event_batch(
            schema,
            self._columns(rows),
            labels.tolist(),
            first_offset=self._next_offset,
            events_per_ms=self._events_per_ms,
        )
        self._next_offset += len(labels)
        return batch

    def _columns(self, rows: Floats) -> dict[str, npt.NDArray[np.floating]]:
        if self._kind == "vector":
            return {self._names[0]: rows.astype(np.float32)}
        return dict(zip(self._names, rows.T, strict=True))
