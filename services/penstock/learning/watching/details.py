"""What is told by class, the early warning and the history, which take rows in by the hundred."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.learning.watching.class_scores import ClassScores
from penstock.learning.watching.confusion import Confusion
from penstock.learning.watching.hddm import HddmA
from penstock.learning.watching.history import History
from penstock.learning.watching.observed import ObservedRows
from penstock.learning.watching.scores import Kappas, StreamScores


@dataclass(kw_only=True)
class Details:
    """What takes rows in by the hundred."""

    classes: ClassScores
    kappas: Kappas
    confusion: Confusion
    history: History
    early: HddmA

    def take_in(self, rows: ObservedRows, established: npt.NDArray[np.bool_], events_seen: int) -> int:
        """Rows in order, and which are of established classes; returns how many early warnings began."""
        self.classes.update(rows, events_seen)
        self.kappas.update(rows)
        self.confusion.update(rows)
        known = rows.hits if established.all() else rows.hits[established]
        return len(self.early.update(~known)) if len(known) else 0


def noted(scores: StreamScores, details: Details, *, events: int, now_ms: int) -> dict[str, float]:
    """What the history notes of a moment."""
    return {
        "events": float(events),
        "time_ms": float(now_ms),
        "accuracy": scores.accuracy,
        "no_change_accuracy": scores.no_change_accuracy,
        "loss": scores.loss,
        "kappa": details.kappas.kappa,
        "kappa_temporal": scores.kappa_temporal,
        "classes": float(len(details.classes)),
    }
