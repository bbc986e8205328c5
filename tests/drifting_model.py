"""A small model whose classes change places halfway: it has learnt, been wrong, and learnt again."""

from collections.abc import Iterator
from pathlib import Path

from labelled_rows import PLANE, event_batch, points_of_classes
from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.flow import Checkpoint, EventBatch, StepReport, Weights
from penstock.learning.config import ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig

NAMES = ("a", "g", "m", "s")
SWAPPED = {"a": "g", "g": "a"}
LINEAR = ModelConfig(name=PLANE.name, features=PLANE.features, heads=("linear",))
ROWS = 32


def plane_learner(model: ModelConfig = LINEAR) -> Learner:
    """One that has learnt nothing."""
    training = TrainingConfig(device="cpu", learning_rate=0.01)
    return Learner(model, training, ReplayConfig(capacity=400), topic="plane.labels", max_events=256)


def drifting_batches(calm: int, swapped: int, rows: int = ROWS) -> Iterator[EventBatch]:
    """So many batches of four classes, then so many in which the labels `a` and `g` have changed places."""
    for number in range(calm + swapped):
        points, labels = points_of_classes(NAMES, rows, seed=number)
        told = labels if number < calm else [SWAPPED.get(label, label) for label in labels]
        yield event_batch(PLANE.schema, {"point": points}, told, first_offset=number * rows)


def learnt(learner: Learner, calm: int = 60, swapped: int = 60) -> list[StepReport]:
    """The report of every batch."""
    return [learner.learn(batch) for batch in drifting_batches(calm, swapped)]


def captured(learner: Learner, version: int = 3) -> tuple[Checkpoint, Weights]:
    """A whole checkpoint."""
    return learner.capture(epoch=1, version=version, mlflow_run_id=None, full_reservoir=True)


def saved(learner: Learner, state: Path, version: int = 3) -> Path:
    """The folder of its checkpoint under the state directory `state`."""
    store = DiskCheckpoints(state, model=PLANE.name, schema_digest=PLANE.schema.digest, kept=3)
    try:
        return store.save(*captured(learner, version))
    finally:
        store.close()
