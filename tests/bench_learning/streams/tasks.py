"""A set of labelled rows as a class-incremental stream: which row arrives when."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench_learning.stream import SMALL_MEMORY, Floats, Stream, names_of

Int64s = npt.NDArray[np.int64]
Arrangement = Callable[[Int64s, np.random.Generator], Int64s]
"""From the classes [n] of the rows at hand: which of them arrive, in order (positions [k ≤ n])."""

HELD_SHARE = 0.2
BLUR = 0.15
"""Standard deviation, in tasks, by which a row strays from its place."""


def class_incremental(
    rows: Floats,
    classes: npt.NDArray[Any],
    arrangement: Arrangement,
    *,
    seed: int,
    kind: Literal["number", "vector"] = "vector",
    memory: int = SMALL_MEMORY,
) -> Stream:
    """A fifth of each class is held out; the rest arrives once, as arranged."""
    rng = np.random.default_rng(seed)
    arriving, held = _split(classes, rng)
    arriving = arriving[arrangement(classes[arriving], rng)]
    return Stream(
        rows=rows[arriving],
        labels=names_of(classes[arriving]),
        kind=kind,
        memory=memory,
        held_rows=rows[held],
        held_labels=names_of(classes[held]),
    )


def in_tasks(order: Int64s, per_task: int = 2) -> Arrangement:
    """The classes of `order`, so many at a time; shuffled within a task."""
    return blurred_tasks(order, per_task, blur=0.0)


def blurred_tasks(order: Int64s, per_task: int = 2, *, blur: float = BLUR) -> Arrangement:
    """The same with borders where the rows of neighbouring tasks mix."""

    def arrange(classes: Int64s, rng: np.random.Generator) -> Int64s:
        place = np.empty(order.max() + 1)
        place[order] = np.arange(len(order)) // per_task
        when = place[classes] + rng.uniform(size=len(classes)) + blur * rng.normal(size=len(classes))
        return np.argsort(when, kind="stable")

    return arrange


def long_tail(ratio: float, largest_first: Int64s, then: Arrangement) -> Arrangement:
    """Of each class a share that falls geometrically from 1 to 1/`ratio`; the kept rows arranged by `then`."""

    def arrange(classes: Int64s, rng: np.random.Generator) -> Int64s:
        kept = []
        for rank, label in enumerate(largest_first):
            members = rng.permutation(np.flatnonzero(classes == label))
            share = ratio ** (-rank / (len(largest_first) - 1))
            kept.append(members[: max(2, round(share * len(members)))])
        chosen = np.concatenate(kept)
        return chosen[then(classes[chosen], rng)]

    return arrange


def _split(classes: npt.NDArray[Any], rng: np.random.Generator) -> tuple[Int64s, Int64s]:
    """Positions that arrive, and those held out."""
    held = []
    for label in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == label))
        held.append(members[: round(HELD_SHARE * len(members))])
    out = np.concatenate(held)
    return np.setdiff1d(np.arange(len(classes)), out), out
