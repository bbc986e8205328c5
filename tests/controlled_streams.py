"""Learners that are told things between events: a stream of points with controls at their places."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from labelled_rows import event_batch
from penstock.features import Feature
from penstock.flow import (
    Checkpoint,
    ClassRequest,
    ClassVerb,
    Control,
    ControlOutcome,
    EventBatch,
    EventPlace,
    ImportRequest,
    RetractionRequest,
    StepReport,
    Weights,
)
from penstock.learning.config import HeadName, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.learning.seen_events import FORGET
from penstock.learning.set_aside import HoldOut
from penstock.replay.config import ReplayConfig
from penstock.wire.event_keys import keys_of

TOPIC = "shop.labels"
WIDTH = 6
MODEL = ModelConfig(
    name="shop", features=(Feature(name="x", kind="vector", width=WIDTH), Feature(name="amount", kind="number"))
)
HEADS: tuple[HeadName, ...] = ("linear", "analytic", "instances")
CENTRES = np.random.default_rng(7).normal(size=(12, WIDTH)) * 1.5


def points(labels: Sequence[int], *, seed: int, drift: float = 0.0) -> dict[str, npt.NDArray[Any]]:
    """One row a label about the label's centre; `amount` moves with `drift` a row."""
    generator = np.random.default_rng(seed)
    chosen = np.asarray(labels, dtype=np.int64)
    x = CENTRES[chosen] + generator.normal(size=(len(chosen), WIDTH))
    amount = 100 + 5 * generator.normal(size=len(chosen)) + chosen + drift * np.arange(len(chosen))
    return {"x": x.astype(np.float32), "amount": amount}


def questions(labels: Sequence[int], seed: int = 99) -> dict[str, npt.NDArray[Any]]:
    """As a predictor takes them."""
    return points(labels, seed=seed)


class Told:
    """A learner, the next offset, and what it has answered to controls."""

    def __init__(
        self,
        *,
        heads: tuple[HeadName, ...] = HEADS,
        capacity: int = 200,
        seed: int = 0,
        name: str = "shop",
        with_numbers: bool = True,
        analytic_forgetting: float = 1.0,
        dedupe_window: int = 0,
        hold_out: HoldOut | None = None,
    ) -> None:
        features = MODEL.features if with_numbers else MODEL.features[:1]
        self.model = replace(MODEL, heads=heads, name=name, features=features)
        self.arguments: dict[str, Any] = {
            "capacity": capacity,
            "seed": seed,
            "forgetting": analytic_forgetting,
            "dedupe_window": dedupe_window,
            "hold_out": hold_out,
        }
        self.learner = self._learner()
        self.offset = 0

    def _learner(self) -> Learner:
        return Learner(
            self.model,
            TrainingConfig(device="cpu", seed=self.arguments["seed"], analytic_forgetting=self.arguments["forgetting"]),
            ReplayConfig(capacity=self.arguments["capacity"]),
            topic=TOPIC,
            max_events=64,
            dedupe_window_events=self.arguments["dedupe_window"],
            hold_out=self.arguments["hold_out"],
        )

    def events(
        self,
        labels: Sequence[int],
        *,
        seed: int,
        batch: int = 32,
        tenant: str | None = None,
        weight: float = 1.0,
        drift: float = 0.0,
    ) -> list[StepReport]:
        """Learn rows of these classes, named `c<label>`, in batches."""
        features, reports = points(labels, seed=seed, drift=drift), []
        for start in range(0, len(labels), batch):
            rows = slice(start, start + batch)
            reports.append(
                self.learner.learn(
                    self.batch({name: v[rows] for name, v in features.items()}, labels[rows], tenant, weight)
                )
            )
        return reports

    def batch(
        self,
        features: dict[str, npt.NDArray[Any]],
        labels: Sequence[int],
        tenant: str | None = None,
        weight: float = 1.0,
        controls: Sequence[Control] = (),
    ) -> EventBatch:
        """The next events of the log."""
        batch = event_batch(
            self.model.schema,
            features,
            [f"c{label}" for label in labels],
            first_offset=self.offset,
            weights=[weight] * len(labels),
        )
        events = batch.events
        if tenant is not None:
            column = pa.array([tenant] * len(labels), pa.string())
            events = events.append_column("tenant", column)
        ids = (
            [f"e-{offset}" for offset in range(self.offset, self.offset + len(labels))]
            if self.arguments["dedupe_window"]
            else []
        )
        self.offset += len(labels)
        return replace(
            batch, events=events, controls=tuple(controls), seen=keys_of(pa.array(ids, pa.string())) & ~FORGET
        )

    def told(self, request: ClassRequest | ImportRequest | RetractionRequest) -> ControlOutcome:
        """Carry out one control, alone in its batch."""
        control = Control(at=0, partition=0, offset=self.offset, row=0, request=request)
        batch = self.batch(points([], seed=0), [], controls=[control])
        self.offset += 1
        (outcome,) = self.learner.learn(batch).controls
        return outcome

    def classes(self, verb: ClassVerb, *names: str, tenant: str | None = None) -> ControlOutcome:
        """The same for classes."""
        return self.told(ClassRequest(verb=verb, classes=names, tenant=tenant))

    def retract(
        self,
        features: dict[str, npt.NDArray[Any]],
        row: int,
        label: int,
        of: EventPlace | str,
        *,
        weight: float = 1.0,
    ) -> ControlOutcome:
        """Retract the event whose features stand in this row."""
        event = event_batch(
            self.model.schema,
            {name: values[row : row + 1] for name, values in features.items()},
            [f"c{label}"],
            weights=[weight],
        ).events
        return self.told(RetractionRequest(event=event, of=of))

    def capture(self) -> tuple[Checkpoint, Weights]:
        """Everything as it stands."""
        return self.learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)

    def restarted(self) -> "Told":
        """Another one that was restored from this one's checkpoint."""
        other = Told.__new__(Told)
        other.model, other.arguments, other.offset = self.model, self.arguments, self.offset
        other.learner = other._learner()
        other.learner.restore(self.capture()[0])
        return other

    def replica(self) -> Predictor:
        """What replicas would serve now."""
        return Predictor.from_weights(self.capture()[1].content, model=self.model, device=torch.device("cpu"))

    def answers(self, labels: Sequence[int], seed: int = 99) -> npt.NDArray[np.float32]:
        """What a replica answers, [n, classes]; it and the learner agree."""
        replica, asked = self.replica(), questions(labels, seed)
        found = replica.probabilities(replica.encode(asked))
        assert np.abs(found - self.learner.probabilities(asked)).max() < 1e-6
        assert np.abs(found.sum(axis=1) - 1).max() < 1e-5
        return found

    def accuracy(self, labels: Sequence[int], seed: int = 99) -> float:
        """Share of rows of these classes that are answered right."""
        found = self.answers(labels, seed).argmax(axis=1)
        names = self.learner.class_names
        return float(np.mean([names[place] == f"c{label}" for place, label in zip(found, labels, strict=True)]))


def every(labels: Sequence[int], times: int, seed: int = 0) -> list[int]:
    """Each of the labels so often, shuffled."""
    return list(np.random.default_rng(seed).permutation(list(labels) * times).tolist())


def place(offset: int, row: int = 0, partition: int = 0, topic: str = TOPIC) -> EventPlace:
    """That of an event of `Told`."""
    return EventPlace(topic=topic, partition=partition, offset=offset, row=row)


def state_of(told: Told) -> dict[str, bytes]:
    """Every byte that survives."""
    checkpoint, weights = told.capture()
    state = {name: array.tobytes() for name, array in checkpoint.tensors.items()}
    state |= {f"reservoir.{name}": array.tobytes() for name, array in checkpoint.reservoir.columns.items()}
    return state | {"state": repr(checkpoint.state).encode(), "weights": weights.content} | dict(checkpoint.packets)
