"""One click: an event with another label for an input that the model knows well must change that answer, and no other.

Sixty of them, twelve a seed, each alone and from the same state: ask of a held-out image, send it once with another
label as a micro-batch of its own, ask again at the next version, learn 300 ordinary events, ask again.
"""

from collections.abc import Mapping

import numpy as np

from bench_learning.lesson import Lesson
from bench_learning.playing import Figures
from bench_learning.row import Bar, Measure, Row
from bench_learning.stream import StreamOf

CLICKS = 12
LATER_EVENTS = 300


def row(key: str, stream: StreamOf) -> Row:
    """Clicks into a model that has learnt all but the last 300 events of the stream."""
    return Row(
        key=key,
        title="one click with another label, 60 of them",
        measure=clicks(stream),
        bars=(
            Bar(figure="flipped", title="flip at the next version", at=1, unit="share"),
            Bar(figure="held", title="still so 300 events later", at=1, unit="share"),
            Bar(figure="change", title="mean change of accuracy elsewhere", at=0.1, sense="within", unit="points"),
        ),
    )


def clicks(stream_of: StreamOf) -> Measure:
    """`flipped` and `held` are shares of the clicks; `change` is in points, of the accuracy on all other held rows."""

    def measure(*, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
        stream = stream_of(seed)
        known = len(stream) - LATER_EVENTS
        lesson = Lesson(stream, seed=seed, batch_rows=batch_rows, overrides=overrides)
        lesson.teach(stream.rows[:known], stream.labels[:known])
        before = lesson.answers(stream.held_rows)
        names = np.unique(stream.labels)
        rng = np.random.default_rng(3000 + seed)
        flipped, held, changes = [], [], []
        for place in rng.choice(len(stream.held_labels), CLICKS, replace=False):
            other = str(rng.choice(names[names != before[place]]))
            clicked = lesson.fork()
            clicked.teach(stream.held_rows[[place]], np.array([other]))
            after = clicked.answers(stream.held_rows)
            flipped.append(after[place] == other)
            gained = (after == stream.held_labels).astype(int) - (before == stream.held_labels).astype(int)
            changes.append(np.delete(gained, place).mean())
            clicked.teach(stream.rows[known:], stream.labels[known:])
            held.append(clicked.answers(stream.held_rows[[place]])[0] == other)
        found = {"flipped": np.mean(flipped), "held": np.mean(held), "change": 100 * np.mean(changes)}
        return {name: float(value) for name, value in found.items()}

    return measure
