"""What the script of every peer shares: arrays in, figures out. It runs in the peer's environment.

    python play_river.py STREAM.npz FIGURES.json --methods ARF AMF --seed 0

STREAM.npz holds `rows` [n, d], `classes` [n] (counted from 0 in order of appearance), `held_rows`, `held_classes`,
`memory` and `timed` (1: only the rate of learning is asked for). FIGURES.json maps each method to its figures, or to
`{"failed": "why"}`.
"""

import argparse
import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Given:
    """One stream, as every peer gets it."""

    rows: np.ndarray
    classes: np.ndarray
    held_rows: np.ndarray
    held_classes: np.ndarray
    memory: int
    timed: bool
    seed: int

    @property
    def num_classes(self) -> int:
        return int(self.classes.max()) + 1

    @property
    def scale(self) -> float:
        """One scalar for images: the root mean square of the first rows."""
        return float(np.sqrt(np.mean(np.square(self.rows[:32])))) or 1.0

    def batches(self, size: int) -> "Iterator[tuple[np.ndarray, np.ndarray]]":
        """Rows and classes, so many at a time."""
        for start in range(0, len(self.classes), size):
            yield self.rows[start : start + size], self.classes[start : start + size]


Figures = dict[str, float]
Method = Callable[[Given], Figures]
Learn = Callable[[np.ndarray, np.ndarray], None]
Predict = Callable[[np.ndarray], np.ndarray]
Finish = Callable[[], None]


def played(given: Given, batch_rows: int, learn: Learn, predict: Predict, finish: Finish | None = None) -> Figures:
    """Predict, then learn, batch by batch; then ask of the held rows. `predict` gives classes [n], −1 for none."""
    if given.timed:
        return {"events_per_second": rate(given, batch_rows, learn), "batch_rows": batch_rows}
    hits = 0
    for number, (rows, classes) in enumerate(given.batches(batch_rows)):
        if number:
            hits += int(np.sum(predict(rows) == classes))
        learn(rows, classes)
    if finish is not None:
        finish()
    return {"prequential": hits / len(given.classes), "batch_rows": batch_rows} | at_the_end(given, predict)


def at_the_end(given: Given, predict: Predict) -> Figures:
    """`final` and `balanced` accuracy on the held rows, where there are any."""
    if not len(given.held_classes):
        return {}
    right = predict(given.held_rows) == given.held_classes
    recalls = [right[given.held_classes == label].mean() for label in np.unique(given.held_classes)]
    return {"final": float(right.mean()), "balanced": float(np.mean(recalls))}


def rate(given: Given, batch_rows: int, learn: Learn) -> float:
    """Learnt rows a second, after the first tenth."""
    batches = list(given.batches(batch_rows))
    warm = len(batches) // 10
    for rows, classes in batches[:warm]:
        learn(rows, classes)
    started = time.perf_counter()
    for rows, classes in batches[warm:]:
        learn(rows, classes)
    return sum(len(classes) for _, classes in batches[warm:]) / (time.perf_counter() - started)


def run(methods: Mapping[str, Method]) -> None:
    """Play the methods named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("stream", type=Path)
    parser.add_argument("figures", type=Path)
    parser.add_argument("--methods", nargs="+", required=True, choices=sorted(methods))
    parser.add_argument("--seed", type=int, required=True)
    asked = parser.parse_args()
    with np.load(asked.stream) as arrays:
        given = Given(
            rows=arrays["rows"],
            classes=arrays["classes"],
            held_rows=arrays["held_rows"],
            held_classes=arrays["held_classes"],
            memory=int(arrays["memory"]),
            timed=bool(arrays["timed"]),
            seed=asked.seed,
        )
    found: dict[str, object] = {}
    for name in asked.methods:
        started = time.perf_counter()
        try:
            found[name] = methods[name](given) | {"seconds": time.perf_counter() - started}
        except Exception as error:
            traceback.print_exc()
            found[name] = {"failed": repr(error)}
        asked.figures.write_text(json.dumps(found))
