"""Two of ten classes sleep while the others learn on, and are woken: against a learner in which they never slept.

Both learn the same events: a third of the stream with all ten, then what is left of the other eight.
"""

from collections.abc import Mapping

import numpy as np

from bench_learning.lesson import Lesson
from bench_learning.playing import Figures
from bench_learning.row import Bar, Measure, NotThereYetError, Row
from bench_learning.stream import Floats, Labels, StreamOf
from penstock.flow import ClassRequest, ClassVerb


def row(key: str, stream: StreamOf) -> Row:
    """Two random classes at each seed."""
    return Row(
        key=key,
        title="hibernate 2 of 10 classes, learn on, wake",
        measure=hibernation(stream),
        bars=(
            Bar(
                figure="analytic_difference",
                title="analytic head, largest difference to never having slept",
                at=1e-9,
                over="most",
                sense="at most",
            ),
            Bar(figure="accuracy_lost", title="mixture, accuracy lost on the two", at=0.01, sense="at most"),
        ),
    )


def hibernation(stream_of: StreamOf) -> Measure:
    """`analytic_difference` of all scores, relative; `accuracy_lost` on the woken classes, as served."""

    def measure(*, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
        stream = stream_of(seed)
        slept, never = (Lesson(stream, seed=seed, batch_rows=batch_rows, overrides=overrides) for _ in range(2))
        sleepers = np.random.default_rng(4000 + seed).choice(np.unique(stream.labels), 2, replace=False)
        third = len(stream) // 3
        others = third + np.flatnonzero(~np.isin(stream.labels[third:], sleepers))
        for lesson in (slept, never):
            lesson.teach(stream.rows[:third], stream.labels[:third])
        _tell(slept, "hibernate", sleepers)
        for lesson in (slept, never):
            lesson.teach(stream.rows[others], stream.labels[others])
        _tell(slept, "wake", sleepers)
        theirs = np.isin(stream.held_labels, sleepers)
        woken, awake = (
            float(np.mean(lesson.answers(stream.held_rows[theirs]) == stream.held_labels[theirs]))
            for lesson in (slept, never)
        )
        one, other = (lesson.analytic_scores(stream.held_rows) for lesson in (slept, never))
        return {
            "analytic_difference": _largest_difference(one, other),
            "accuracy_lost": awake - woken,
            "woken": woken,
            "never_slept": awake,
        }

    return measure


def _tell(lesson: Lesson, verb: ClassVerb, classes: Labels) -> None:
    outcomes = lesson.tell(ClassRequest(verb=verb, classes=tuple(classes.tolist())))
    if not outcomes:
        raise NotThereYetError(f"the learner does not carry out {verb}")
    if outcomes[0].result != "applied":
        raise AssertionError(f"{verb}: {outcomes[0].sentence}")


def _largest_difference(one: Floats, other: Floats) -> float:
    """Over the largest score there is."""
    return float(np.abs(one - other).max() / np.abs(other).max())
