"""One slice of a micro-batch on its way into the learner, and what its rows were taken for before."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from penstock.flow import Alarm
from penstock.learning.heads.slices import BUSY_ROWS
from penstock.learning.train_rows import TrainRows

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]
UInt64s = npt.NDArray[np.uint64]

BUSY_SCORED = 32


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Rows to learn at once: `fresh` [n] and their `priorities` [n]; `num_known` classes came before them."""

    fresh: TrainRows
    priorities: UInt64s
    num_known: int
    num_in_batch: int
    step: int


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Predictions of the rows at `rows` [k] of a slice, made before they were learnt; `losses` in nats."""

    classes: Int64s
    """Of all rows of the slice, scored or not."""
    rows: Int64s
    labels: Int64s
    predicted: Int64s
    true_probability: Float64s
    losses: Float64s
    loss: float
    """Of the linear head's last step."""
    alarm: Alarm | None = None

    def moved_by(self, count: int) -> "Scored":
        """The same, of rows that stand so many places further on."""
        return replace(self, rows=self.rows + count) if count else self

    def moved_to(self, places: Int64s) -> "Scored":
        """The same, of rows that stand at `places` [all rows of the run]."""
        return replace(self, rows=places[self.rows]) if len(places) and places[-1] >= len(places) else self

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        hits: npt.NDArray[np.bool_] = self.labels == self.predicted
        return hits


def scored(classes: Int64s, rows: Int64s, log_probabilities: Float64s, loss: float) -> Scored:
    """From ln p [k, known] of the rows at `rows` [k] among `classes` [n].

    A row of a class not known yet is missed, at the loss of an even guess, ln(known + 1).
    """
    known = log_probabilities.shape[1]
    labels = classes if len(rows) == len(classes) else classes[rows]
    if known and int(labels.max()) < known:
        predicted = log_probabilities.argmax(axis=1)
        losses = -log_probabilities[np.arange(len(labels)), labels]
        true_probability = np.exp(-losses)
    else:
        losses, true_probability = np.full(len(labels), math.log(known + 1)), np.zeros(len(labels))
        predicted = np.full(len(labels), -1, dtype=np.int64)
        if known:
            seen = np.flatnonzero(labels < known)
            predicted = log_probabilities.argmax(axis=1)
            losses[seen] = -log_probabilities[seen, labels[seen]]
            true_probability[seen] = np.exp(-losses[seen])
    return Scored(
        classes=classes,
        rows=rows,
        labels=labels,
        predicted=predicted,
        true_probability=true_probability,
        losses=losses,
        loss=loss,
    )


def asked_of(num_rows: int, step: int) -> Int64s:
    """The rows of a slice that are scored: every one, or 32 of many, over n steps each as often as any other."""
    if num_rows <= BUSY_ROWS:
        return np.arange(num_rows)
    return (np.arange(BUSY_SCORED) * num_rows + step % num_rows) // BUSY_SCORED
