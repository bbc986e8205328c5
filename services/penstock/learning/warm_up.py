"""Learning once on made-up rows, so that the first real micro-batch does not pay for what torch loads lazily."""

from dataclasses import replace
from typing import Any

import pyarrow as pa

from penstock.flow import EventBatch, Offsets
from penstock.learning.config import ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig
from penstock.wire import columns as column

NUM_ROWS = 4


def warm_up(model: ModelConfig, training: TrainingConfig) -> None:
    """Teach a learner that is thrown away two micro-batches of two classes; nothing else changes.

    Raises:
        ConfigurationError: there is no such device, or the backbone's factory does not work.
    """
    replay = replace(ReplayConfig(), capacity=NUM_ROWS, rows_per_step=NUM_ROWS)
    learner = Learner(model, training, replay, topic="warm-up", max_events=NUM_ROWS)
    schema = column.batch_schema(model.schema)
    rows = pa.RecordBatch.from_arrays([_made_up(field) for field in schema], schema=schema)
    for end in (NUM_ROWS, 2 * NUM_ROWS):
        learner.learn(EventBatch(events=rows, offsets=Offsets(next={0: end}), closed_by="size", age_seconds=0.0))
    learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)


def _made_up(field: Any) -> Any:
    """Zeros and ones of the column's type; two different texts."""
    if pa.types.is_fixed_size_list(field.type):
        width = field.type.list_size
        return pa.array([[float(row % 2)] * width for row in range(NUM_ROWS)], field.type)
    if pa.types.is_string(field.type):
        return pa.array([("even", "odd")[row % 2] for row in range(NUM_ROWS)], field.type)
    if field.name == column.WEIGHT:
        return pa.array([1.0] * NUM_ROWS, field.type)
    return pa.array(range(NUM_ROWS), field.type)
