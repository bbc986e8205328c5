"""Event batches made by hand, for tests of learning: columns in, `EventBatch` out, with consecutive offsets."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.features import Feature, FeatureSchema
from penstock.flow import EventBatch, Offsets
from penstock.learning.config import ModelConfig
from penstock.wire.columns import batch_schema

PLANE = ModelConfig(name="plane", features=(Feature(name="point", kind="vector", width=2),))


def arrow_column(feature: Feature, values: Any) -> Any:
    """One feature's values [n] (or [n, width]) as its Arrow column."""
    if feature.kind == "number":
        return pa.array(np.asarray(values, dtype=np.float64))
    if feature.kind == "vector":
        flat = np.ascontiguousarray(values, dtype=np.float32).ravel()
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), feature.width)
    return pa.array(list(values), type=pa.string())


def event_batch(
    schema: FeatureSchema,
    features: Mapping[str, Any],
    labels: Sequence[str],
    *,
    first_offset: int = 0,
    partition: int = 0,
    weights: Sequence[float] | None = None,
    events_per_ms: int = 1,
) -> EventBatch:
    """One row a message, offsets counting up, timestamps in milliseconds after them."""
    count = len(labels)
    offsets = np.arange(first_offset, first_offset + count)
    columns = [arrow_column(feature, features[feature.name]) for feature in schema] + [
        pa.array(list(labels), type=pa.string()),
        pa.array(np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)),
        pa.array(np.full(count, partition, dtype=np.int32)),
        pa.array(offsets),
        pa.array(np.zeros(count, dtype=np.int32)),
        pa.array(offsets // events_per_ms),
    ]
    return EventBatch(
        events=pa.RecordBatch.from_arrays(columns, schema=batch_schema(schema)),
        offsets=Offsets(next={partition: first_offset + count}),
        closed_by="size",
        age_seconds=0.0,
    )


def points_of_classes(
    names: Sequence[str], rows: int, *, seed: int, spread: float = 0.2
) -> tuple[np.ndarray, list[str]]:
    """Points [rows, 2] about a circle, a class at the place of its last letter in the alphabet; and their labels."""
    generator = np.random.default_rng(seed)
    which = generator.integers(0, len(names), rows)
    angles = 2 * np.pi * np.array([ord(name[-1]) - ord("a") for name in names]) / 26
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return centres[which] + spread * generator.normal(size=(rows, 2)), [names[index] for index in which]


def plane_batches(
    names: Sequence[str], num_batches: int, rows: int, *, seed: int = 0, first_offset: int = 0
) -> list[EventBatch]:
    """Batches of points of these classes for the model `PLANE`."""
    batches = []
    for number in range(num_batches):
        points, labels = points_of_classes(names, rows, seed=seed + number)
        start = first_offset + number * rows
        batches.append(event_batch(PLANE.schema, {"point": points}, labels, first_offset=start))
    return batches
