"""Rows as the watch sees them, and streams of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from penstock.learning.watching.observed import ObservedRows

Ints = Sequence[int] | npt.NDArray[np.int64]


def rows_of(
    labels: Ints, predicted: Ints, losses: Sequence[float] | npt.NDArray[np.float64] | None = None
) -> ObservedRows:
    """Rows of these columns; without losses, 0.1 for a hit and 2 for a miss."""
    of_labels, told = np.array(labels, dtype=np.int64), np.array(predicted, dtype=np.int64)
    told_losses = np.where(of_labels == told, 0.1, 2.0) if losses is None else np.array(losses, dtype=np.float64)
    return ObservedRows(labels=of_labels, predicted=told, losses=told_losses)


def in_batches(rows: ObservedRows, batch: int) -> Iterator[ObservedRows]:
    """The rows, so many at a time."""
    for start in range(0, len(rows), batch):
        part = slice(start, start + batch)
        yield ObservedRows(labels=rows.labels[part], predicted=rows.predicted[part], losses=rows.losses[part])


def stream(num_rows: int, error_rates: Sequence[float], generator: np.random.Generator, shift: int = 1) -> ObservedRows:
    """Rows of as many classes as there are rates, each wrong with its rate; a wrong row is told as the class after."""
    labels = generator.integers(0, len(error_rates), num_rows)
    wrong = generator.random(num_rows) < np.array(error_rates)[labels]
    return rows_of(labels, np.where(wrong, (labels + shift) % len(error_rates), labels))
