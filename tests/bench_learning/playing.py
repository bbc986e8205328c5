"""One stream from end to end, and what came of it."""

import time
from collections.abc import Mapping

import numpy as np

from bench_learning.lesson import Lesson
from bench_learning.stream import Labels, Stream

Figures = dict[str, float]
"""Measured numbers by name."""


def play(stream: Stream, *, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
    """`prequential` accuracy and `alarms`; on held rows `final` accuracy and `balanced` (mean recall), as served."""
    lesson = Lesson(stream, seed=seed, batch_rows=batch_rows, overrides=overrides)
    started = time.perf_counter()
    hits = lesson.teach(stream.rows, stream.labels)
    seconds = time.perf_counter() - started
    figures = {
        "prequential": float(hits.mean()),
        "alarms": lesson.alarms,
        "events_per_second": len(stream) / seconds,
    }
    if len(stream.held_labels):
        answers = lesson.answers(stream.held_rows)
        figures["final"] = float(np.mean(answers == stream.held_labels))
        figures["balanced"] = balanced_accuracy(answers, stream.held_labels)
    return figures


def play_served(stream: Stream, *, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
    """`served`: the share that a replica on the weights from before each micro-batch would have answered right."""
    lesson = Lesson(stream, seed=seed, batch_rows=batch_rows, overrides=overrides)
    hits = []
    for start in range(0, len(stream), batch_rows):
        some = slice(start, start + batch_rows)
        hits.append(lesson.served_hits(stream.rows[some], stream.labels[some]))
        lesson.teach(stream.rows[some], stream.labels[some])
    return {"served": float(np.concatenate(hits).mean())}


def balanced_accuracy(answers: Labels, labels: Labels) -> float:
    """The mean over classes of the share of its rows that is answered right."""
    return float(np.mean([np.mean(answers[labels == name] == name) for name in np.unique(labels)]))
