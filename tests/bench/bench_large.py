"""large: 100 MB of weights with a frozen backbone and a head of 50 KB, from the taking of a candidate to its delta"""

import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from figures import Figure
from labelled_rows import event_batch
from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.features import Feature
from penstock.flow import EventBatch
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.rates import LearningRates
from penstock.learning.weights_delta import delta_between
from penstock.replay.config import ReplayConfig

WIDTH, CLASSES, BATCH = 784, 10, 64
MODEL = ModelConfig(
    name="large",
    features=(Feature(name="pixels", kind="vector", width=WIDTH),),
    heads=("linear",),
    backbone=BackboneConfig(hidden=(11_800, 1_250)),
)
TRAINING = TrainingConfig(device="cpu", learning_rates=LearningRates(frozen=("last_block", "lower")))
MOST_DELTA_BYTES = 1 << 20
CANDIDATES = 10


def measure() -> list[Figure]:
    """In one process, step by step; the announcement itself is a message of the delta's size."""
    learner = Learner(MODEL, TRAINING, ReplayConfig(capacity=1_000), topic="large.labels", max_events=BATCH)
    milliseconds: dict[str, list[float]] = {"taken": [], "saved": [], "compared": []}
    with tempfile.TemporaryDirectory() as folder:
        store = DiskCheckpoints(Path(folder), model=MODEL.name, schema_digest=MODEL.schema.digest, kept=3)
        whole, delta, first_save = b"", b"", 0.0
        for version in range(1, CANDIDATES + 2):
            learner.learn(_batch(version))
            times = [time.perf_counter()]
            checkpoint, weights = learner.capture(
                epoch=1, version=version, mlflow_run_id=None, full_reservoir=store.wants_full_reservoir()
            )
            times.append(time.perf_counter())
            store.save(checkpoint, weights)
            times.append(time.perf_counter())
            if not whole:
                whole, first_save = weights.content, times[2] - times[1]
                continue
            delta = delta_between(whole, weights.content, max_bytes=MOST_DELTA_BYTES) or b""
            assert delta
            times.append(time.perf_counter())
            for spent, (began, ended) in zip(milliseconds.values(), pairwise(times), strict=True):
                spent.append(1000 * (ended - began))
        store.close()
    medians = [statistics.median(spent) for spent in milliseconds.values()]
    return [
        Figure(name="weights", value=len(whole) / 1e6, unit="MB"),
        Figure(name="delta", value=len(delta) / 1e3, unit="KB"),
        Figure(name="held up learning: the candidate taken", value=medians[0], unit="ms"),
        Figure(name="weights file put together, checkpoint on disk", value=medians[1], unit="ms"),
        Figure(name="the first of them, with the whole backbone", value=1000 * first_save, unit="ms"),
        Figure(name="delta made", value=medians[2], unit="ms"),
        Figure(name="from taking a candidate to its delta", value=sum(medians), unit="ms"),
    ]


def _batch(seed: int) -> EventBatch:
    generator = np.random.default_rng(seed)
    rows = generator.random((BATCH, WIDTH), dtype=np.float32)
    labels = generator.integers(0, CLASSES, BATCH).astype(str).tolist()
    return event_batch(MODEL.schema, {"pixels": rows}, labels, first_offset=seed * BATCH)
