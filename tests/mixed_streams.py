"""Streams that have everything at once: every kind of column, every kind of backbone, births all along."""

from typing import Literal

import numpy as np

from labelled_rows import event_batch
from penstock.features import Feature
from penstock.flow import EventBatch
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig

FEATURES = (
    Feature(name="amount", kind="number"),
    Feature(name="embedding", kind="vector", width=3),
    Feature(name="country", kind="category", buckets=8),
    Feature(name="subject", kind="text", buckets=32),
)
DeviceName = Literal["cpu", "cuda"]
BACKBONES = (
    BackboneConfig(hidden=(9, 5)),
    BackboneConfig(kind="text", hidden=(8,), embedding_buckets=50, embedding_width=4, max_tokens=5),
    BackboneConfig(kind="backbone_factories:with_dropout"),
)


def mixed_model(backbone: BackboneConfig) -> ModelConfig:
    """Reads all of `FEATURES`."""
    return ModelConfig(name="mixed", features=FEATURES, backbone=backbone)


def mixed_learner(model: ModelConfig, capacity: int = 30, seed: int = 0, device: DeviceName = "cpu") -> Learner:
    """Small slices and few steps."""
    return Learner(
        model,
        TrainingConfig(device=device, inner_steps=2, seed=seed),
        ReplayConfig(capacity=capacity, rows_per_step=8),
        topic="mixed.labels",
        max_events=8,
    )


def mixed_stream(seed: int, num_batches: int = 10) -> list[EventBatch]:
    """Classes are born all along, more than 16 in the end; a batch may hold many slices, or nothing."""
    generator = np.random.default_rng(seed)
    schema = mixed_model(BACKBONES[0]).schema
    batches, offset = [], 0
    for number in range(num_batches):
        count = int(generator.integers(0, 20))
        classes = generator.integers(0, 3 + 3 * number, count)
        features = {
            "amount": 1.7e9 + 10.0 * classes + generator.normal(size=count),
            "embedding": classes[:, None] + generator.normal(size=(count, 3)),
            "country": [f"c{label % 5}" for label in classes],
            "subject": [f"word{label} and more" for label in classes],
        }
        labels = [f"class {label}" for label in classes]
        weights = generator.uniform(0.5, 2, count).tolist()
        batches.append(event_batch(schema, features, labels, first_offset=offset, weights=weights))
        offset += count
    return batches
