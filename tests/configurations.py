"""Configuration files and events for tests of the whole line."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np


def new_model() -> str:
    """A model name nobody else uses."""
    return f"m-{uuid.uuid4().hex[:10]}"


def configuration(
    model: str,
    bootstrap_servers: str,
    state: Path,
    *,
    tracking_uri: str | None = None,
    intake: str = "max_events = 32\nmax_age_seconds = 0.02",
    training: str = "learning_rate = 0.003\ninner_steps = 2",
    capacity: int = 500,
    width: int = 8,
    more: str = "",
) -> str:
    """A file for one vector column `x` and one number column `amount`."""
    return f"""
[model]
name = "{model}"
[[model.features]]
name = "x"
kind = "vector"
width = {width}
[[model.features]]
name = "amount"
kind = "number"
[model.backbone]
hidden = [32]
[kafka]
"bootstrap.servers" = "{bootstrap_servers}"
[intake]
{intake}
[replay]
capacity = {capacity}
rows_per_step = 32
[training]
device = "cpu"
{training}
[mlflow]
tracking_uri = "{tracking_uri or f"sqlite:///{state / 'mlflow.db'}"}"
record_interval_seconds = 1.0
enabled = {str(tracking_uri is not None).lower()}
[serving]
port = 0
[telemetry]
port = 0
[state]
directory = "{state}"
{more}
"""


def events(count: int, *, classes: int = 4, width: int = 8, seed: int = 0, start: int = 0) -> Iterator[bytes]:
    """Labelled events of well separated classes, as JSON."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width)) * 3
    labels = generator.integers(0, classes, size=count)
    vectors = centres[labels] + generator.normal(size=(count, width))
    for index, (label, vector) in enumerate(zip(labels.tolist(), vectors.round(4).tolist(), strict=True)):
        yield msgspec.json.encode(
            {
                "event_id": f"e-{start + index}",
                "features": {"x": vector, "amount": float(label)},
                "label": f"class-{label}",
            }
        )


def question(num_rows: int, *, label: int, width: int = 8, classes: int = 4) -> dict[str, object]:
    """An inference request for rows at the centre of one class."""
    centre = np.random.default_rng(99).normal(size=(classes, width))[label] * 3
    return {
        "id": "q-1",
        "inputs": [
            {"name": "x", "shape": [num_rows, width], "datatype": "FP32", "data": np.tile(centre, num_rows).tolist()},
            {"name": "amount", "shape": [num_rows], "datatype": "FP32", "data": [float(label)] * num_rows},
        ],
    }
