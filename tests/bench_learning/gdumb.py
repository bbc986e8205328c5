"""GDumb, the baseline of honesty: forget the stream, and train from scratch on what the reservoir holds at its end.

Prabhu, Torr, Dokania, "GDumb: a simple approach that questions our progress in continual learning" (ECCV 2020).
Whatever learns from the whole stream and ends below it has learnt nothing there that its memory does not say.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bench_learning.lesson import Lesson
from bench_learning.playing import Figures, balanced_accuracy
from bench_learning.stream import Labels, Stream

EPOCHS, BATCH_ROWS = 100, 16
RATE, LEAST_RATE = 0.01, 0.0001
HIDDEN = 128
LINEAR_ONLY = {"model.heads": '["linear"]'}
"""The others would take a part of the memory for the newest rows."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network of one hidden layer over rows as the learner's encoder makes them."""

    network: nn.Module
    class_names: Labels

    def answers(self, encoded: npt.NDArray[np.float32]) -> Labels:
        """Labels [n] of encoded rows [n, D]."""
        with torch.no_grad():
            found: Labels = self.class_names[self.network(torch.from_numpy(encoded)).argmax(dim=1).numpy()]
        return found


def trained_from_scratch(
    rows: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], class_names: Labels, *, seed: int
) -> Trained:
    """Adam over 100 epochs of `rows` [n, D] of `classes` [n], its rate falling along a cosine."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(rows.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, len(class_names)))
        optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS, LEAST_RATE)
        inputs, labels = torch.from_numpy(rows), torch.from_numpy(classes)
        for _ in range(EPOCHS):
            for some in torch.split(torch.randperm(len(inputs)), BATCH_ROWS):
                optimizer.zero_grad()
                torch.autograd.backward(cross_entropy(network(inputs[some]), labels[some]))
                optimizer.step()
            schedule.step()
    return Trained(network=network.eval(), class_names=class_names)


def play_from_scratch(
    stream: Stream, *, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None
) -> Figures:
    """`final` and `balanced` accuracy on held rows, of a network that has seen the reservoir alone.

    For streams of one vector column: numbers are kept raw.
    """
    lesson = Lesson(stream, seed=seed, batch_rows=batch_rows, overrides=LINEAR_ONLY | dict(overrides or {}))
    lesson.teach(stream.rows, stream.labels)
    kept = lesson.checkpoint().reservoir.columns
    started = time.perf_counter()
    trained = trained_from_scratch(
        kept["dense"].astype(np.float32),
        kept["class_index"].astype(np.int64),
        np.array(lesson.learner.class_names),
        seed=seed,
    )
    seconds = time.perf_counter() - started
    answers = trained.answers(lesson.encoded(stream.held_rows))
    return {
        "final": float(np.mean(answers == stream.held_labels)),
        "balanced": balanced_accuracy(answers, stream.held_labels),
        "rows": float(len(kept["class_index"])),
        "training_seconds": seconds,
    }
