"""What the table is made of: a row measures one thing for each seed and batch size, and is held to bars."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from bench_learning.playing import Figures, play
from bench_learning.stream import StreamOf

SEEDS = range(5)


class Measure(Protocol):
    """One measurement."""

    def __call__(self, *, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
        """Figures by name. May raise `NotThereYetError`: a miss, not a pass."""
        ...


class NotThereYetError(Exception):
    """The product does not have yet what a row measures; its text says what."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What a figure must reach over all seeds, at every batch size of the row.

    `figure` names it in the measured figures; `over` says which of its values over the seeds counts.
    """

    figure: str
    at: float | None
    """None: only shown, reached by anything."""
    title: str = ""
    """Added to the row's title."""
    aim: float | None = None
    over: Literal["mean", "least", "most"] = "mean"
    sense: Literal["at least", "at most", "within"] = "at least"
    """`within`: on either side of 0."""
    unit: str = ""

    def of(self, values: Sequence[float]) -> float:
        """The value that counts, of those over the seeds."""
        if self.over == "mean":
            return statistics.fmean(values)
        return min(values) if self.over == "least" else max(values)

    def is_reached_by(self, value: float) -> bool:
        """True on the good side; never for what is not a number."""
        if self.at is None:
            return True
        if self.sense == "at least":
            return value >= self.at
        return (abs(value) if self.sense == "within" else value) <= self.at


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of measurements; with several bars, several rows of the table."""

    key: str
    """What a user names to run it alone."""
    title: str
    measure: Measure
    bars: Sequence[Bar]
    seeds: Sequence[int] = SEEDS
    batches: Sequence[int] = (32,)
    stream: StreamOf | None = None
    """What other libraries can be given too."""
    alone: bool = False
    """Measured with nothing beside it, for what is timed; shown in a table of its own."""

    def at_batches(self, batches: Sequence[int] | None) -> "Row":
        """The same at those of its batch sizes that are named; at all where none is."""
        return self if batches is None else replace(self, batches=[size for size in self.batches if size in batches])

    def with_seeds(self, seeds: Sequence[int]) -> "Row":
        """The same at other seeds."""
        return replace(self, seeds=seeds)


def streamed(stream: StreamOf, played: Callable[..., Figures] = play) -> Measure:
    """Play the stream from end to end."""

    def measure(*, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
        return played(stream(seed), seed=seed, batch_rows=batch_rows, overrides=overrides)

    return measure
