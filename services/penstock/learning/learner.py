"""The learner: micro-batches in, reports out, and on request everything that must survive."""

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penstock.clock import Clock, SystemClock
from penstock.errors import DivergedError
from penstock.flow import Array, Checkpoint, EventBatch, Offsets, StepReport, Weights
from penstock.learning.backbones import backbone_json
from penstock.learning.config import ModelConfig, TrainingConfig
from penstock.learning.device import choose_device
from penstock.learning.mixing import mixed
from penstock.learning.parts import captured_state, captured_tensors, new_parts, restored_parts
from penstock.learning.reservoir import TrainRows
from penstock.learning.rows import EncodedRows, columns_of
from penstock.learning.tensors import host_copies
from penstock.learning.weights import card_of, encode_weights
from penstock.replay.config import ReplayConfig
from penstock.replay.priority import EventPriorities
from penstock.wire import columns as column

Int64s = npt.NDArray[np.int64]

_LEAST_WEIGHT, _LARGEST_WEIGHT = 1e-9, 1e9  # beyond these, sums of weights leave float32


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
    ) -> None:
        """`topic` is where the events come from: part of their priority. `max_events` bounds what is learnt at once.

        Raises:
            ConfigurationError: there is no such device, or the backbone's factory does not work.
        """
        self.device = choose_device(training.device)
        self.offsets = Offsets()
        self.step = 0
        self.events_learnt = 0
        self.trained_until_ms = 0
        self._model, self._training, self._replay = model, training, replay
        self._schema = model.schema
        self._priorities = EventPriorities(topic)
        self._max_events = max_events
        self._clock = clock or SystemClock()
        self._last_loss = 0.0
        self._parts = new_parts(model, training, replay, self.device)

    @property
    def class_names(self) -> tuple[str, ...]:
        """By index."""
        return self._parts.ledger.names

    def recall_by_class(self) -> dict[str, float]:
        """Faded share of each class's rows that were predicted right before they were learnt."""
        return dict(zip(self.class_names, self._parts.score.recall.tolist(), strict=True))

    def learn(self, batch: EventBatch) -> StepReport:
        """Learn every event of the batch; without events only offsets and step move on.

        Raises:
            DivergedError: the loss is no longer finite; the learner must not be used any more.
        """
        started = self._clock.monotonic_seconds()
        known = len(self._parts.ledger)
        with self._parts.randomness.in_use() if self._parts.network.backbone.mode_matters else nullcontext():
            classes = [self._learn_events(events) for events in batch.slices(self._max_events)]
        self.step += 1
        self.offsets = self.offsets.advanced_to(batch.offsets)
        self.events_learnt += batch.events.num_rows
        return self._report(classes, known, self._clock.monotonic_seconds() - started)

    def capture(
        self, *, epoch: int, version: int, mlflow_run_id: str | None, full_reservoir: bool
    ) -> tuple[Checkpoint, Weights]:
        """All of it as host copies, and the weights file; the same state gives the same bytes of weights.

        Raises:
            DivergedError: a weight is no longer finite.
        """
        parts = self._parts
        network = host_copies(parts.network.tensors())
        self._check_finite(network)
        card = card_of(
            self._model.name,
            self._schema,
            parts.encoder.constants,
            backbone_json(self._model.backbone),
            parts.ledger,
        )
        checkpoint = Checkpoint(
            model=self._model.name,
            schema_digest=self._schema.digest,
            epoch=epoch,
            version=version,
            step=self.step,
            events_learnt=self.events_learnt,
            offsets=self.offsets,
            trained_until_ms=self.trained_until_ms,
            tensors=captured_tensors(parts, network),
            state=captured_state(parts, self._model) | {"last_loss": self._last_loss},
            reservoir=parts.reservoir.capture(full=full_reservoir),
            mlflow_run_id=mlflow_run_id,
        )
        return checkpoint, encode_weights(card, network)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become the learner that was captured: what it learns from here on is what that one would have learnt.

        Raises:
            StateError: the checkpoint is of another model, schema or backbone; this learner is then unchanged.
        """
        self._parts = restored_parts(checkpoint, self._model, self._training, self._replay, self.device)
        self.offsets = checkpoint.offsets
        self.step = checkpoint.step
        self.events_learnt = checkpoint.events_learnt
        self.trained_until_ms = checkpoint.trained_until_ms
        self._last_loss = float(checkpoint.state["last_loss"])  # type: ignore[arg-type]  # written by capture

    def _learn_events(self, events: Any) -> Int64s:
        """One slice, at least one row. Returns class indices int64 [n]."""
        parts = self._parts
        rows = self._encode(events)
        dense, tokens = parts.network.to_tensors(rows)
        if parts.moments.width:  # of the inputs alone, so they may move before the labels are looked at
            parts.moments.merge(rows.dense[:, : parts.moments.width])
            parts.network.standardiser.follow(parts.moments)
        known = len(parts.ledger)
        partitions, offsets = _numpy(events, column.PARTITION), _numpy(events, column.OFFSET)
        classes, new = parts.ledger.look_up(events.column(column.LABEL), partitions, offsets)
        weights = np.clip(_numpy(events, column.WEIGHT), _LEAST_WEIGHT, _LARGEST_WEIGHT).astype(np.float32)
        fresh = TrainRows(dense=dense, tokens=tokens, classes=classes, weights=weights)
        predicted = parts.network.logits(dense, tokens) if parts.network.backbone.mode_matters else None
        if new:
            self._imprint(fresh, known, len(new))
        first_logits = self._descend(fresh)
        self._score(first_logits if predicted is None else predicted, classes, known)
        parts.reservoir.add(fresh, self._priorities.at(partitions, offsets, _numpy(events, column.ROW)))
        self.trained_until_ms = max(self.trained_until_ms, int(_numpy(events, column.TIMESTAMP_MS).max()))
        return classes

    def _encode(self, events: Any) -> EncodedRows:
        columns = columns_of(events, self._schema)
        if not self._parts.encoder.is_fitted:
            self._parts.encoder = self._parts.encoder.fitted_to(columns)
        return self._parts.encoder.encode(columns)

    def _imprint(self, fresh: TrainRows, known: int, num_new: int) -> None:
        """Rows of the head for new classes, from the mean feature of each."""
        network = self._parts.network
        rows = fresh.at(np.flatnonzero(fresh.classes >= known))
        born = rows.classes - known
        with torch.no_grad():
            features = network.features(network.standardiser(rows.dense), rows.tokens)
            sums = features.new_zeros(num_new, features.shape[1])
            sums.index_add_(0, torch.from_numpy(born).to(self.device), features)
            counts = torch.from_numpy(np.bincount(born)).to(self.device)
            network.head.imprint(sums / counts.unsqueeze(1))

    def _descend(self, fresh: TrainRows) -> Tensor:
        """`inner_steps` steps on the fresh rows, each with other rows of the reservoir beside them.

        Returns the fresh rows' logits [n, capacity] before the first step.
        """
        parts, backbone = self._parts, self._parts.network.backbone
        num_steps, num_drawn = self._training.inner_steps, self._replay.rows_per_step
        drawn = parts.reservoir.draw(num_steps * num_drawn, parts.draws) if num_drawn and len(parts.reservoir) else None
        rows = mixed(fresh, drawn, num_steps, parts.network.standardiser)
        if backbone.mode_matters:
            backbone.train(rows.classes.shape[1] > 1)  # one row alone has no batch statistics
        first_logits, loss = parts.descent.run(rows)
        if backbone.mode_matters:
            backbone.eval()
        self._last_loss = float(loss)
        if not math.isfinite(self._last_loss):
            raise DivergedError(
                f"The loss is {self._last_loss} at step {self.step + 1}; training.learning_rate is"
                f" {self._training.learning_rate}: lower it and start again from the last checkpoint."
            )
        return first_logits[: len(fresh.classes)]

    def _score(self, logits: Tensor, classes: Int64s, known: int) -> None:
        """Score predictions made before learning: `logits` [n, ≥ known].

        A row of a class not known yet is missed, at the loss of an even guess, ln(C + 1).
        """
        log_probabilities = torch.log_softmax(logits[:, :known], dim=1).cpu().numpy()
        seen = np.flatnonzero(classes < known)
        if len(seen) == len(classes):
            of_labels = log_probabilities[seen, classes]
            hits, losses = log_probabilities.max(axis=1) == of_labels, -of_labels
        else:
            hits = np.zeros(len(classes), dtype=np.bool_)
            losses = np.full(len(classes), math.log(known + 1))
            if len(seen):
                hits[seen] = log_probabilities[seen].argmax(axis=1) == classes[seen]
                losses[seen] = -log_probabilities[seen, classes[seen]]
        self._parts.score.update(classes, hits, losses)

    def _report(self, classes: list[Int64s], known: int, seconds: float) -> StepReport:
        parts, names = self._parts, self.class_names
        counts = np.bincount(np.concatenate(classes)).tolist() if classes else []
        return StepReport(
            step=self.step,
            num_events=sum(counts),
            loss=self._last_loss,
            prequential_accuracy=parts.score.accuracy,
            prequential_loss=parts.score.loss,
            events_by_class={name: count for name, count in zip(names, counts, strict=False) if count},
            num_classes=len(names),
            new_classes=names[known:],
            reservoir_rows=len(parts.reservoir),
            trained_until_ms=self.trained_until_ms,
            step_seconds=seconds,
        )

    def _check_finite(self, tensors: dict[str, Array]) -> None:
        for name, tensor in tensors.items():
            if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
                raise DivergedError(
                    f"The weights {name!r} are no longer finite at step {self.step}; training.learning_rate is"
                    f" {self._training.learning_rate}: lower it and start again from the last checkpoint."
                )


def _numpy(events: Any, name: str) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = events.column(name).to_numpy()
    return values
