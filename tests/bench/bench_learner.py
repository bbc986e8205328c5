"""learner: events/s on decoded micro-batches beside a raw torch loop that does the same steps on ready tensors

    python tests/bench/bench_learner.py

The raw loop is what one would write by hand (nn.Sequential, cross_entropy, fused Adam) on tensors that are ready: the
same network, as many inner steps, as many rows in each. The learner, with the linear head alone, takes ready
`EventBatch`es and does all it does: encode, score, step, keep. Both run in turns in one process on one thread; figures
are medians over the turns.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from figures import Figure
from penstock.features import Feature
from penstock.flow import EventBatch, Offsets
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.learning.rows import columns_of
from penstock.replay.config import ReplayConfig
from penstock.wire.columns import batch_schema

NUM_FEATURES, NUM_CLASSES, HIDDEN = 64, 10, 128
VECTOR = (Feature(name="pixels", kind="vector", width=NUM_FEATURES),)
NUMBERS = tuple(Feature(name=f"number-{place}", kind="number") for place in range(NUM_FEATURES))
INNER_STEPS = 3
TURNS = 7


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Seconds per micro-batch, by turn."""

    batch_rows: int
    learner_seconds: Sequence[float]
    raw_seconds: Sequence[float]

    @property
    def ratio(self) -> float:
        """Learner's events/s ÷ the raw loop's."""
        return statistics.median(self.raw_seconds) / statistics.median(self.learner_seconds)


def event_batches(features: tuple[Feature, ...], batch_rows: int, num_batches: int) -> list[EventBatch]:
    """Gaussian classes; consecutive offsets of one partition. The features are one vector, or all numbers."""
    generator = np.random.default_rng(0)
    width = sum(feature.width or 1 for feature in features)
    centres = generator.normal(size=(NUM_CLASSES, width))
    schema = ModelConfig(name="bench", features=features).schema
    batches = []
    for number in range(num_batches):
        labels = generator.integers(0, NUM_CLASSES, batch_rows)
        rows = centres[labels] + generator.normal(size=(batch_rows, width))
        if features[0].kind == "vector":
            values = [pa.FixedSizeListArray.from_arrays(pa.array(rows.astype(np.float32).ravel()), width)]
        else:
            values = [pa.array(np.ascontiguousarray(column)) for column in rows.T]
        start = number * batch_rows
        rest = [
            pa.array([str(label) for label in labels]),
            pa.array(np.ones(batch_rows)),
            pa.array(np.zeros(batch_rows, dtype=np.int32)),
            pa.array(np.arange(start, start + batch_rows)),
            pa.array(np.zeros(batch_rows, dtype=np.int32)),
            pa.array(np.arange(start, start + batch_rows)),
        ]
        events = pa.RecordBatch.from_arrays(values + rest, schema=batch_schema(schema))
        offsets = Offsets(next={0: start + batch_rows})
        batches.append(EventBatch(events=events, offsets=offsets, closed_by="size", age_seconds=0.0))
    return batches


def raw_loop(num_rows: int, inner_steps: int) -> Callable[[], None]:
    """One micro-batch's steps on ready tensors."""
    network = nn.Sequential(nn.Linear(NUM_FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, NUM_CLASSES))
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    inputs, labels = torch.randn(num_rows, NUM_FEATURES), torch.randint(0, NUM_CLASSES, (num_rows,))

    def one_batch() -> None:
        for _ in range(inner_steps):
            optimizer.zero_grad()
            torch.autograd.backward(cross_entropy(network(inputs), labels))
            optimizer.step()

    return one_batch


def compare(features: tuple[Feature, ...], batch_rows: int, num_batches: int) -> Comparison:
    """The learner, in the steady state of a full reservoir, and the raw loop in turns."""
    training, replay = TrainingConfig(device="cpu", inner_steps=INNER_STEPS), ReplayConfig()
    model = ModelConfig(name="bench", features=features, heads=("linear",), backbone=BackboneConfig(hidden=(HIDDEN,)))
    learner = Learner(model, training, replay, topic="bench.labels", max_events=batch_rows)
    raw = raw_loop(batch_rows + replay.rows_per_step, INNER_STEPS)
    warm_up = replay.capacity // batch_rows + num_batches
    batches = event_batches(features, batch_rows, warm_up + TURNS * num_batches)
    for batch in batches[:warm_up]:
        learner.learn(batch)
    learner_seconds, raw_seconds = [], []
    for turn in range(TURNS):
        first = warm_up + turn * num_batches
        learner_seconds.append(_seconds(lambda batch: learner.learn(batch), batches[first : first + num_batches]))
        raw_seconds.append(_seconds(lambda _: raw(), batches[:num_batches]))
    return Comparison(batch_rows=batch_rows, learner_seconds=learner_seconds, raw_seconds=raw_seconds)


def predict_seconds(num_calls: int = 2000) -> float:
    """Median seconds of one row's probabilities, encoded already."""
    model = ModelConfig(name="bench", features=VECTOR)
    learner = Learner(model, TrainingConfig(device="cpu"), ReplayConfig(), topic="bench.labels", max_events=256)
    batches = event_batches(VECTOR, 256, 4)
    for batch in batches:
        learner.learn(batch)
    _, weights = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    predictor = Predictor.from_weights(weights.content, model=model, device=torch.device("cpu"))
    rows = predictor.encode(columns_of(batches[0].events.slice(0, 1), model.schema))
    return statistics.median(_seconds(lambda _: predictor.probabilities(rows), [None]) for _ in range(num_calls))


def _seconds(call: Callable[[Any], object], arguments: Sequence[Any]) -> float:
    started = time.perf_counter()
    for argument in arguments:
        call(argument)
    return (time.perf_counter() - started) / len(arguments)


def measure() -> list[Figure]:
    """The figures of the README."""
    torch.set_num_threads(1)
    figures = []
    for name, features in (("a vector of 64", VECTOR), ("64 number columns", NUMBERS)):
        for batch_rows, num_batches in ((256, 60), (32, 200)):
            found = compare(features, batch_rows, num_batches)
            events_per_second = batch_rows / statistics.median(found.learner_seconds)
            figures += [
                Figure(name=f"{name}, batch {batch_rows}: learner", value=events_per_second, unit="events/s"),
                Figure(name=f"{name}, batch {batch_rows}: learner ÷ raw loop", value=found.ratio, unit=""),
            ]
    return figures


def main() -> None:
    torch.set_num_threads(1)
    print("features          batch  learner ev/s      raw ev/s   ratio (per turn)")
    for name, features in (("vector of 64", VECTOR), ("64 numbers", NUMBERS)):
        for batch_rows, num_batches in ((256, 60), (32, 200)):
            found = compare(features, batch_rows, num_batches)
            learner, raw = statistics.median(found.learner_seconds), statistics.median(found.raw_seconds)
            turns = " ".join(
                f"{theirs / ours:.2f}" for ours, theirs in zip(found.learner_seconds, found.raw_seconds, strict=True)
            )
            speeds = f"{batch_rows / learner:13,.0f} {batch_rows / raw:13,.0f}"
            print(f"{name:<16} {batch_rows:6} {speeds}   {found.ratio:.2f} ({turns})")
    print(f"probabilities of one row: {predict_seconds() * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
