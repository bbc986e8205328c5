"""Two models on the same events: who is right how often, by class, and where they differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from penstock.features import FeatureSchema
from penstock.learning.champion import LEAST_CLASS_ROWS
from penstock.learning.rows import Columns, columns_of
from penstock.wire import columns as column

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

CONFIDENCE_Z = 1.645
"""One-sided 95 %."""
ROWS_AT_ONCE = 1024


class Answering(Protocol):
    """A model that answers."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """By column of `probabilities`."""
        ...

    def probabilities(self, columns: Columns) -> npt.NDArray[np.float32]:
        """[n, classes], each row summing to 1."""
        ...


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What one model says of n events: `predicted` class names, their probability, and that of the true label."""

    predicted: npt.NDArray[np.object_]
    probability: Floats
    true_probability: Floats
    is_right: Bools

    @property
    def accuracy(self) -> float:
        """Share of events whose label is predicted; 0 of none."""
        return float(self.is_right.mean()) if len(self.is_right) else 0.0

    @property
    def log_loss(self) -> float:
        """Mean of −ln p(label) in nats; 0 of none."""
        if not len(self.is_right):
            return 0.0
        certain = np.clip(self.true_probability, 1e-12, 1.0)  # a float32 softmax may sum to a little more
        return float(np.abs(np.log(certain)).mean())


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """Recall of one class: the share of its `num_events` that each model gets right."""

    name: str
    num_events: int
    live: float | None
    fresh: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One event on which the models differ, by its place in the log."""

    partition: int
    offset: int
    row: int
    label: str
    live: tuple[str, float]
    fresh: tuple[str, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`live` is None where there is no live model, or one that does not read these features."""

    num_events: int
    live: Answers | None
    fresh: Answers
    classes: tuple[ClassRow, ...]
    num_differing: int
    live_alone_right: int
    fresh_alone_right: int
    examples: tuple[Difference, ...]

    @property
    def lower_bound(self) -> float:
        """The least by which the fresh model's accuracy is higher, with 95 % confidence (paired, by normal curve)."""
        b, c, n = self.fresh_alone_right, self.live_alone_right, self.num_events
        if not n:
            return 0.0
        return ((b - c) - CONFIDENCE_Z * math.sqrt(max(b + c - (b - c) ** 2 / n, 0.0))) / n

    @property
    def fresh_is_better(self) -> bool:
        """Right more often, by more than chance. Without a live model: yes."""
        return self.live is None or self.lower_bound > 0

    def losing(self, margin: float) -> tuple[ClassRow, ...]:
        """Classes of ten events or more of which the fresh model gets right less than the live one by more than that.

        The largest loss first.
        """
        losses = [
            (row.live - row.fresh, row)
            for row in self.classes
            if row.live is not None and row.num_events >= LEAST_CLASS_ROWS
        ]
        return tuple(row for loss, row in sorted(losses, key=lambda pair: -pair[0]) if loss > margin)


def answers(model: Answering, events: Any, schema: FeatureSchema) -> Answers:
    """Ask a model about all events, in record-batch form.

    A label that the model does not know is missed, at the probability of an even guess, 1 / (C + 1).
    """
    names = np.array(model.class_names, dtype=object)
    index = {name: place for place, name in enumerate(model.class_names)}
    labels = events.column(column.LABEL).to_pylist()
    known = np.array([index.get(label, -1) for label in labels], dtype=np.int64)
    best, probability, true_probability = [], [], []
    for start in range(0, events.num_rows, ROWS_AT_ONCE):
        found = model.probabilities(columns_of(events.slice(start, ROWS_AT_ONCE), schema)).astype(np.float64)
        of = known[start : start + ROWS_AT_ONCE]
        best.append(found.argmax(axis=1))
        probability.append(found.max(axis=1))
        true_probability.append(np.where(of >= 0, found[np.arange(len(of)), of], 1 / (len(names) + 1)))
    places = np.concatenate(best) if best else np.empty(0, dtype=np.int64)
    return Answers(
        predicted=names[places],
        probability=np.concatenate(probability) if probability else np.empty(0),
        true_probability=np.concatenate(true_probability) if true_probability else np.empty(0),
        is_right=places == known,
    )


def compare(events: Any, live: Answers | None, fresh: Answers, *, num_examples: int = 10) -> Comparison:
    """Put two models' answers to the same events side by side."""
    labels = np.array(events.column(column.LABEL).to_pylist(), dtype=object)
    differing = np.zeros(len(labels), dtype=np.bool_) if live is None else live.predicted != fresh.predicted
    return Comparison(
        num_events=len(labels),
        live=live,
        fresh=fresh,
        classes=tuple(_by_class(labels, live, fresh)),
        num_differing=int(differing.sum()),
        live_alone_right=0 if live is None else int((live.is_right & ~fresh.is_right).sum()),
        fresh_alone_right=0 if live is None else int((fresh.is_right & ~live.is_right).sum()),
        examples=() if live is None else tuple(_examples(events, labels, live, fresh, differing, num_examples)),
    )


def _by_class(labels: npt.NDArray[np.object_], live: Answers | None, fresh: Answers) -> Sequence[ClassRow]:
    """The most frequent first."""
    names, places, counts = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    right_live = None if live is None else np.bincount(places, live.is_right, len(names))
    right_fresh = np.bincount(places, fresh.is_right, len(names))
    return [
        ClassRow(
            name=str(names[at]),
            num_events=int(counts[at]),
            live=None if right_live is None else float(right_live[at] / counts[at]),
            fresh=float(right_fresh[at] / counts[at]),
        )
        for at in np.argsort(-counts, kind="stable")
    ]


def _examples(
    events: Any, labels: npt.NDArray[np.object_], live: Answers, fresh: Answers, differing: Bools, most: int
) -> Sequence[Difference]:
    """Those of which both models are the most certain."""
    certainty = np.where(differing, np.minimum(live.probability, fresh.probability), -1.0)
    chosen = [at for at in np.argsort(-certainty, kind="stable")[:most].tolist() if differing[at]]
    places = {name: events.column(name).to_numpy() for name in (column.PARTITION, column.OFFSET, column.ROW)}
    return [
        Difference(
            partition=int(places[column.PARTITION][at]),
            offset=int(places[column.OFFSET][at]),
            row=int(places[column.ROW][at]),
            label=str(labels[at]),
            live=(str(live.predicted[at]), float(live.probability[at])),
            fresh=(str(fresh.predicted[at]), float(fresh.probability[at])),
        )
        for at in chosen
    ]
