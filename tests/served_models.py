"""Real models for tests of serving: learnt from a few events, in versions that differ."""

import functools
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import torch
from safetensors.numpy import load, save

from penstock.features import Feature
from penstock.flow import Array, EventBatch, LogRecord, ModelUpdate, Offsets, Weights
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.network import HEAD
from penstock.learning.predictor import Predictor
from penstock.replay.config import ReplayConfig
from penstock.serving.slot import ServedModel
from penstock.wire.columns import batch_schema

CPU = torch.device("cpu")
PIXELS = ModelConfig(
    name="digits",
    features=(Feature(name="pixels", kind="vector", width=64),),
    backbone=BackboneConfig(hidden=(16,)),
    heads=("linear",),
)
MIXED = ModelConfig(
    name="mixed",
    features=(
        Feature(name="amount", kind="number"),
        Feature(name="x", kind="vector", width=3),
        Feature(name="country", kind="category"),
        Feature(name="note", kind="text", buckets=16),
    ),
    backbone=BackboneConfig(hidden=(8,)),
)
TRAINED_UNTIL_MS = 1_700_000_000_000
COUNTRIES = ("de", "fr", "it")


def batch_of(model: ModelConfig, num_events: int, *, classes: int, seed: int) -> EventBatch:
    """Random events of classes `c0`, `c1`, …; the last learnt at `TRAINED_UNTIL_MS + seed`."""
    rng = np.random.default_rng(seed)
    columns: list[object] = []
    for feature in model.schema:
        if feature.kind == "number":
            columns.append(pa.array(rng.normal(size=num_events)))
        elif feature.kind == "vector":
            flat = pa.array(rng.normal(size=num_events * feature.dense_width).astype(np.float32))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, feature.dense_width))
        else:
            columns.append(pa.array([COUNTRIES[index] for index in rng.integers(0, 3, num_events)]))
    labels = [f"c{index % classes}" for index in range(num_events)]
    columns += [
        pa.array(labels),
        pa.array(np.ones(num_events)),
        pa.array(np.zeros(num_events, dtype=np.int32)),
        pa.array(np.arange(num_events, dtype=np.int64)),
        pa.array(np.zeros(num_events, dtype=np.int32)),
        pa.array(np.full(num_events, TRAINED_UNTIL_MS + seed, dtype=np.int64)),
    ]
    events = pa.RecordBatch.from_arrays(columns, schema=batch_schema(model.schema))
    return EventBatch(events=events, offsets=Offsets(next={0: num_events}), closed_by="size", age_seconds=0.0)


@functools.cache
def weights_of(model_name: str, num_versions: int = 4, classes: int = 5) -> tuple[Weights, ...]:
    """Weights after one more micro-batch each."""
    model = {PIXELS.name: PIXELS, MIXED.name: MIXED}[model_name]
    torch.set_num_threads(1)
    learner = Learner(
        model,
        TrainingConfig(device="cpu", learning_rate=0.05),
        ReplayConfig(capacity=0),
        topic=f"{model_name}.labels",
        max_events=64,
    )
    made = []
    for version in range(1, num_versions + 1):
        learner.learn(batch_of(model, 40, classes=classes, seed=version))
        made.append(learner.capture(epoch=1, version=version, mlflow_run_id=None, full_reservoir=True)[1])
    return tuple(made)


def update_with(
    weights: Weights, *, version: int, epoch: int = 1, model: str = PIXELS.name, trained_until_ms: int | None = None
) -> ModelUpdate:
    """The update that announces these weights."""
    return ModelUpdate(
        model=model,
        version=version,
        epoch=epoch,
        sha256=weights.sha256,
        size_bytes=weights.size_bytes,
        class_ledger_digest=weights.class_ledger_digest,
        trained_until_ms=TRAINED_UNTIL_MS + version if trained_until_ms is None else trained_until_ms,
        announced_at_ms=TRAINED_UNTIL_MS + version + 5,
        offsets=Offsets(next={0: version}),
        metrics=MappingProxyType({}),
        inline=weights.content,
    )


def update_of(version: int, *, epoch: int = 1, model: str = PIXELS.name) -> ModelUpdate:
    """A good update; versions beyond the learnt ones carry their weights in turn."""
    weights = weights_of(model)
    return update_with(weights[(version - 1) % len(weights)], version=version, epoch=epoch, model=model)


def corrupt(update: ModelUpdate) -> ModelUpdate:
    """The same with one byte of its weights flipped."""
    assert update.inline is not None
    content = bytearray(update.inline)
    content[-1] ^= 0xFF
    return replace(update, inline=bytes(content))


def with_tensors_spoilt(update: ModelUpdate, spoil: Callable[[Array], Array]) -> ModelUpdate:
    """Whole and announced truthfully, but with other numbers in its head."""
    assert update.inline is not None
    length = int.from_bytes(update.inline[:8], "little")
    metadata = json.loads(bytes(update.inline[8 : 8 + length]))["__metadata__"]
    tensors = load(bytes(update.inline))
    tensors[HEAD] = spoil(tensors[HEAD])
    content = save(tensors, metadata=metadata)
    return replace(update, inline=content, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def served(version: int, model: ModelConfig = PIXELS) -> ServedModel:
    """A model ready for the slot."""
    update = update_of(version, model=model.name)
    assert update.inline is not None
    return ServedModel.of(update, Predictor.from_weights(bytes(update.inline), model=model, device=CPU))


class QueuedFeed:
    """`serving.ports.UpdateFeed` from memory: what `append` adds comes with the next `poll`."""

    def __init__(self, newest: Sequence[LogRecord] = ()) -> None:
        self.problems: list[Exception] = []
        self.closed = False
        self.idle_polls = 0
        """How often whoever reads has come back for more than there is."""
        self._newest = list(newest)
        self._queued: list[LogRecord] = []

    def append(self, *records: LogRecord) -> None:
        self._queued += records

    def newest(self) -> list[LogRecord]:
        if self.problems:
            raise self.problems.pop(0)
        return self._newest

    def poll(self, timeout_seconds: float) -> list[LogRecord]:
        if self.problems:
            raise self.problems.pop(0)
        taken, self._queued = self._queued, []
        if not taken and timeout_seconds:
            self.idle_polls += 1
            time.sleep(0.002)
        return taken

    def close(self) -> None:
        self.closed = True
