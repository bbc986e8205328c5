"""Every mixture of kinds of columns can be learnt and answered, from the first row on, whatever the backbone."""

import itertools
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import torch

from penstock.features import Feature, FeatureKind
from penstock.flow import EventBatch, Offsets
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.learning.rows import columns_of
from penstock.learning.warm_up import warm_up
from penstock.replay.config import ReplayConfig
from penstock.wire import columns as column

KINDS: tuple[FeatureKind, ...] = get_args(FeatureKind)
MIXTURES = [kinds for count in (1, 2, 3, 4) for kinds in itertools.combinations(KINDS, count)]
CASES = [(kinds, "mlp") for kinds in MIXTURES] + [(kinds, "text") for kinds in MIXTURES if "text" in kinds]
NUM_ROWS = 48
WIDE, NARROW = 700, 3
"""Of a vector: more and fewer columns than the instance heads read as they are."""


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize(
    ("kinds", "backbone"), CASES, ids=lambda case: case if isinstance(case, str) else "+".join(case)
)
def test_any_mixture_of_kinds_is_learnt_and_answered(kinds: tuple[FeatureKind, ...], backbone: str, width: int) -> None:
    features = tuple(Feature(name=kind, kind=kind, width=width if kind == "vector" else None) for kind in kinds)
    model = ModelConfig(name="mixed", features=features, backbone=BackboneConfig(kind=backbone, hidden=(16,)))
    training = TrainingConfig(device="cpu")
    warm_up(model, training)
    learner = Learner(model, training, ReplayConfig(capacity=200), topic="mixed.labels", max_events=NUM_ROWS)
    events = rows_of(model)
    for start, stop in itertools.pairwise((0, 1, 2, 5, NUM_ROWS)):
        batch = EventBatch(
            events=events.slice(start, stop - start),
            offsets=Offsets(next={0: stop}),
            closed_by="size",
            age_seconds=0.0,
        )
        learner.learn(batch)
    _, weights = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    predictor = Predictor.from_weights(weights.content, model=model, device=torch.device("cpu"))
    asked = columns_of(events, model.schema)
    np.testing.assert_allclose(
        predictor.probabilities(predictor.encode(asked)), learner.probabilities(asked), atol=1e-6
    )


def rows_of(model: ModelConfig) -> pa.RecordBatch:
    """Two classes, told apart by every column."""
    generator, labels = np.random.default_rng(0), np.arange(NUM_ROWS) % 2
    columns: dict[str, pa.Array] = {}
    for feature in model.features:
        if feature.kind == "number":
            columns[feature.name] = pa.array(labels * 3.0 + generator.normal(size=NUM_ROWS))
        elif feature.kind == "vector":
            rows = labels[:, None] + generator.normal(size=(NUM_ROWS, feature.dense_width))
            columns[feature.name] = pa.FixedSizeListArray.from_arrays(
                pa.array(rows.astype(np.float32).ravel()), feature.dense_width
            )
        else:
            columns[feature.name] = pa.array([("an even row", "the odd one")[label] for label in labels])
    places = np.arange(NUM_ROWS)
    rest = {
        column.LABEL: pa.array(labels.astype(str).tolist()),
        column.WEIGHT: pa.array(np.ones(NUM_ROWS)),
        column.PARTITION: pa.array(np.zeros(NUM_ROWS, dtype=np.int32)),
        column.OFFSET: pa.array(places),
        column.ROW: pa.array(np.zeros(NUM_ROWS, dtype=np.int32)),
        column.TIMESTAMP_MS: pa.array(places),
    }
    schema = column.batch_schema(model.schema)
    names = [field.name for field in schema][len(columns) :]
    return pa.RecordBatch.from_arrays([*columns.values(), *(rest[name] for name in names)], schema=schema)
