"""CapyMOA: MOA's stream learners (in Java), one row at a time; its online continual learners in mini-batches."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from capymoa.base import BatchClassifier
from capymoa.classifier import (
    KNN,
    AdaptiveRandomForestClassifier,
    Finetune,
    LeveragingBagging,
    SAMkNN,
    StreamingRandomPatches,
)
from capymoa.evaluation import prequential_evaluation
from capymoa.ocl.strategy import NCM, SLDA, ExperienceReplay, GDumb
from capymoa.stream import NumpyStream, Schema
from exchange import Figures, Given, Method, played, run
from torch import nn

torch.set_num_threads(1)
HIDDEN = 64


def play_stream_learner(kind: type, given: Given) -> Figures:
    """Test, then train, by CapyMOA's own loop."""
    learner = kind(_stream(given).get_schema(), random_seed=given.seed)
    results = prequential_evaluation(_stream(given), learner)
    return {"prequential": results["cumulative"].accuracy() / 100, "batch_rows": 1}


def play_continual_learner(make: Callable[[Schema, Given], BatchClassifier], batch_rows: int, given: Given) -> Figures:
    """Images are scaled by one number, as ours are."""
    torch.manual_seed(given.seed)
    learner = make(_stream(given).get_schema(), given)
    scale = given.scale

    def learn(rows: np.ndarray, classes: np.ndarray) -> None:
        learner.batch_train(_tensor(rows / scale), torch.from_numpy(classes.astype(np.int64)))

    def predict(rows: np.ndarray) -> np.ndarray:
        return learner.batch_predict_proba(_tensor(rows / scale)).argmax(dim=1).numpy()

    return played(given, batch_rows, learn, predict, getattr(learner, "gdumb_fit", None))


def replay(schema: Schema, given: Given, passes: int = 1, learning_rate: float = 0.01) -> BatchClassifier:
    """Experience replay around an MLP under Adam, at the rate that does best for so many passes."""
    optimizer = partial(torch.optim.Adam, lr=learning_rate)
    learner = Finetune(schema, _mlp, optimizer, random_seed=given.seed)
    return ExperienceReplay(learner, buffer_size=given.memory, repeat=passes)


several_passes = partial(replay, passes=5, learning_rate=0.003)


def gdumb(schema: Schema, given: Given) -> BatchClassifier:
    """Keeps rows while they come, and learns them from scratch when asked."""
    return GDumb(schema, _mlp(schema), epochs=100, batch_size=32, capacity=given.memory, lr=0.01, seed=given.seed)


def _mlp(schema: Schema) -> nn.Module:
    return nn.Sequential(
        nn.Linear(schema.get_num_attributes(), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, schema.get_num_classes())
    )


def _stream(given: Given) -> NumpyStream:
    return NumpyStream(given.rows, given.classes, target_type="categorical")


def _tensor(rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rows.astype(np.float32))


METHODS: dict[str, Method] = {
    "ARF": partial(play_stream_learner, AdaptiveRandomForestClassifier),
    "SRP": partial(play_stream_learner, StreamingRandomPatches),
    "kNN": partial(play_stream_learner, KNN),
    "SAMkNN": partial(play_stream_learner, SAMkNN),
    "LevBag": partial(play_stream_learner, LeveragingBagging),
    "NCM": partial(play_continual_learner, lambda schema, given: NCM(schema), 32),
    "SLDA": partial(play_continual_learner, lambda schema, given: SLDA(schema), 32),
    "GDumb": partial(play_continual_learner, gdumb, 32),
    "ER": partial(play_continual_learner, replay, 8),
    "ER, 5 passes": partial(play_continual_learner, several_passes, 8),
    "ER, 32 a step": partial(play_continual_learner, replay, 32),
    "ER, 256 a step": partial(play_continual_learner, replay, 256),
    "ER, 1024 a step": partial(play_continual_learner, replay, 1024),
}

if __name__ == "__main__":
    run(METHODS)
