"""Avalanche's strategies on class-incremental images: every fifth of the stream is an experience."""

import logging
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset
from avalanche.training.plugins import EvaluationPlugin, ReplayPlugin
from avalanche.training.supervised import DER, ER_ACE, Naive, StreamingLDA
from exchange import Figures, Given, Method, at_the_end, run
from torch import nn
from torch.utils.data import TensorDataset

torch.set_num_threads(1)
logging.disable(logging.WARNING)
HIDDEN = 64
EXPERIENCES = 5
CLASSES = 10


def play(make: Callable[[Given], object], given: Given) -> Figures:
    """Accuracy at the end, or the rate of learning; this library does not test before it trains."""
    torch.manual_seed(given.seed)
    strategy = make(given)
    parts = [_dataset(*part) for part in _parts(given)]
    experiences = list(with_task_labels(with_classes_timeline(benchmark_from_datasets(train=parts))).train_stream)
    if given.timed:
        strategy.train(experiences[0])
        started = time.perf_counter()
        for experience in experiences[1:]:
            strategy.train(experience)
        rows = sum(len(experience.dataset) for experience in experiences[1:])
        return {"events_per_second": rows / (time.perf_counter() - started)}
    for experience in experiences:
        strategy.train(experience)

    def predict(rows: np.ndarray) -> np.ndarray:
        strategy.model.eval()
        with torch.no_grad():
            scores = getattr(strategy, "predict", strategy.model)  # SLDA's model gives features only
            return scores(_tensor(rows / given.scale)).argmax(dim=1).numpy()

    return at_the_end(given, predict)


def _parts(given: Given) -> list[tuple[torch.Tensor, torch.Tensor]]:
    places = np.array_split(np.arange(len(given.classes)), EXPERIENCES)
    return [
        (_tensor(given.rows[place] / given.scale), torch.from_numpy(given.classes[place].astype(np.int64)))
        for place in places
    ]


def _dataset(rows: torch.Tensor, classes: torch.Tensor) -> object:
    tasks = DataAttribute([0] * len(classes), "targets_task_labels", use_in_getitem=True)
    labels = DataAttribute(classes.tolist(), "targets")
    return TaskAwareSupervisedClassificationDataset([TensorDataset(rows, classes)], data_attributes=[labels, tasks])


def _tensor(rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rows.astype(np.float32))


def _common(given: Given, batch_rows: int, passes: int) -> dict[str, object]:
    model = nn.Sequential(nn.Linear(given.rows.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    return {
        "model": model,
        "optimizer": torch.optim.Adam(model.parameters(), lr=0.003),
        "criterion": nn.CrossEntropyLoss(),
        "train_mb_size": batch_rows,
        "train_epochs": passes,
        "evaluator": EvaluationPlugin(),
    }


def replay(given: Given, batch_rows: int = 8, passes: int = 1) -> object:
    """Fine-tuning with a class-balanced memory."""
    memory = ReplayPlugin(mem_size=given.memory, batch_size=batch_rows, batch_size_mem=batch_rows)
    return Naive(**_common(given, batch_rows, passes), plugins=[memory])


def er_ace(given: Given, passes: int = 1) -> object:
    """ER with an asymmetric cross-entropy."""
    return ER_ACE(**_common(given, 8, passes), mem_size=given.memory, batch_size_mem=8)


def der(given: Given, passes: int = 1) -> object:
    """Dark experience replay (DER++)."""
    return DER(**_common(given, 8, passes), mem_size=given.memory, batch_size_mem=8, alpha=0.1, beta=0.5)


def slda(given: Given) -> object:
    """Streaming LDA on the pixels."""
    return StreamingLDA(
        slda_model=nn.Identity(),
        criterion=nn.CrossEntropyLoss(),
        input_size=given.rows.shape[1],
        num_classes=CLASSES,
        train_mb_size=32,
        evaluator=EvaluationPlugin(),
    )


METHODS: dict[str, Method] = {
    "replay": partial(play, replay),
    "replay, 5 passes": partial(play, partial(replay, passes=5)),
    "replay, 256 a step": partial(play, partial(replay, batch_rows=256)),
    "ER-ACE, 5 passes": partial(play, partial(er_ace, passes=5)),
    "DER, 5 passes": partial(play, partial(der, passes=5)),
    "SLDA": partial(play, slda),
}

if __name__ == "__main__":
    run(METHODS)
