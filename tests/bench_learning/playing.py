"""One stream from end to end, and what came of it."""

import time
from collections.abc import Mapping

import numpy as np

from bench_learning.lesson import Lesson
from bench_learning.stream import Labels, Stream

Figures = dict[str, float]
"""Measured numbers by name."""


def play(stream: Stream, *, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
    """`prequential` accuracy; `final` accuracy and `balanced` (mean recall) on held rows, asked of the served model."""
    lesson = Lesson(stream, seed=seed, batch_rows=batch_rows, overrides=overrides)
    started = time.perf_counter()
    hits = lesson.teach(stream.rows, stream.labels)
    figures = {"prequential": float(hits.mean()), "events_per_second": len(stream) / (time.perf_counter() - started)}
    if len(stream.held_labels):
        answers = lesson.answers(stream.held_rows)
        figures["final"] = float(np.mean(answers == stream.held_labels))
        figures["balanced"] = balanced_accuracy(answers, stream.held_labels)
    return figures


def balanced_accuracy(answers: Labels, labels: Labels) -> float:
    """The mean over classes of the share of its rows that is answered right."""
    return float(np.mean([np.mean(answers[labels == name] == name) for name in np.unique(labels)]))
