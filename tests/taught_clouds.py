"""Learners taught clouds of points, task by task, and streams whose labels change their meaning."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from labelled_rows import event_batch
from penstock.features import Feature
from penstock.flow import Alarm
from penstock.learning.config import HEADS, HeadName, ModelConfig, TrainingConfig
from penstock.learning.heads.ensemble import Ensemble
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.replay.config import ReplayConfig

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

WIDTH = 6
COLUMNS = tuple(Feature(name=f"x{place}", kind="number") for place in range(WIDTH))


class Taught:
    """A learner of six number columns, and what it said on the way."""

    def __init__(self, capacity: int = 400, heads: tuple[HeadName, ...] = HEADS) -> None:
        self.model = ModelConfig(name="six", features=COLUMNS, heads=heads)
        replay = ReplayConfig(capacity=capacity)
        self.learner = Learner(self.model, TrainingConfig(device="cpu"), replay, topic="six.labels", max_events=256)
        self.alarms: list[Alarm] = []
        self.hits: list[npt.NDArray[np.bool_]] = []
        self._offset = 0

    @property
    def ensemble(self) -> Ensemble:
        assert self.learner._parts.ensemble is not None
        return self.learner._parts.ensemble

    def learn(self, rows: Floats, labels: Labels, batch_rows: int = 32) -> "Taught":
        for start in range(0, len(rows), batch_rows):
            some, theirs = rows[start : start + batch_rows], labels[start : start + batch_rows]
            names = [str(label) for label in theirs]
            report = self.learner.learn(
                event_batch(self.model.schema, self._columns(some), names, first_offset=self._offset)
            )
            self._offset += len(some)
            self.alarms += report.alarms
            self.hits.append(report.hits)
        return self

    def predictor(self) -> Predictor:
        content = self.learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)[1].content
        return Predictor.from_weights(content, model=self.model, device=torch.device("cpu"))

    def answers(self, rows: Floats) -> Labels:
        predictor = self.predictor()
        found = predictor.probabilities(predictor.encode(self._columns(rows))).argmax(axis=1)
        answers: Labels = np.array([int(name) for name in predictor.class_names])[found]
        return answers

    def accuracy(self, rows: Floats, labels: Labels) -> float:
        return float((self.answers(rows) == labels).mean())

    def accuracy_of_members(self, rows: Floats, labels: Labels) -> dict[str, float]:
        parts, ensemble = self.learner._parts, self.ensemble
        encoded = parts.encoder.encode(self._columns(rows))
        linear = parts.network.logits(*parts.network.to_tensors(encoded)).numpy().astype(np.float64)
        scores = ensemble.answer(parts.ledger.live).scores(ensemble.inputs(encoded), linear)
        names = np.array([int(name) for name in self.learner.class_names])
        return {
            member: float((names[scores[place].argmax(axis=1)] == labels).mean())
            for place, member in enumerate(ensemble.members)
        }

    def _columns(self, rows: Floats) -> dict[str, Floats]:
        return {feature.name: np.ascontiguousarray(column) for feature, column in zip(COLUMNS, rows.T, strict=True)}


def clouds(count: int, classes: Sequence[int], *, seed: int, spread: float = 0.7) -> tuple[Floats, Labels]:
    """A cloud about a place of its own for each class."""
    generator = np.random.default_rng(seed)
    places = np.random.default_rng(99).normal(size=(100, WIDTH))
    labels = generator.choice(np.asarray(classes), count)
    return places[labels] + spread * generator.normal(size=(count, WIDTH)), labels


def tasks(rows_each: int = 160, *, spread: float = 0.5) -> Taught:
    """Five tasks of two classes, each class only in its own."""
    taught = Taught()
    for task in range(5):
        taught.learn(*clouds(rows_each, [2 * task, 2 * task + 1], seed=task, spread=spread))
    return taught


def flips(count: int, *, seed: int) -> tuple[Floats, Labels]:
    """Two classes by the sign of a column; negate the labels for another meaning."""
    rows = np.random.default_rng(seed).normal(size=(count, WIDTH))
    return rows, (rows[:, 0] + 0.5 * rows[:, 1] > 0).astype(np.int64)
