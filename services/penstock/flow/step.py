"""A step of learning, as the scores, telemetry and dead letters are told of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from penstock.flow.controls import ControlOutcome
from penstock.flow.drift import Alarm, Watched
from penstock.flow.events import JudgedAnswers, RefusedEvent


def _no_integers() -> npt.NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


def _no_flags() -> npt.NDArray[np.bool_]:
    return np.empty(0, dtype=np.bool_)


def _no_floats() -> npt.NDArray[np.float64]:
    return np.empty(0, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What learning one micro-batch showed; scores are of predictions made before the rows were learnt.

    A micro-batch of more than 64 events is scored on a sample of its rows, all others on every row.
    """

    step: int
    num_events: int
    loss: float
    prequential_accuracy: float
    prequential_loss: float
    events_by_class: Mapping[str, int]
    num_classes: int
    new_classes: tuple[str, ...]
    reservoir_rows: int
    trained_until_ms: int
    step_seconds: float
    controls: tuple[ControlOutcome, ...] = ()
    woken: tuple[str, ...] = ()
    """Classes that an event of theirs woke."""
    passed_over: int = 0
    """Events of retired classes, which are not learnt."""
    held_out: int = 0
    """Events that are not learnt so that versions can be compared on them."""
    labels: npt.NDArray[np.int64] = field(default_factory=_no_integers, compare=False, repr=False)
    predicted: npt.NDArray[np.int64] = field(default_factory=_no_integers, compare=False, repr=False)
    """Class index; −1 where no class was known yet."""
    hits: npt.NDArray[np.bool_] = field(default_factory=_no_flags, compare=False, repr=False)
    true_probability: npt.NDArray[np.float64] = field(default_factory=_no_floats, compare=False, repr=False)
    losses: npt.NDArray[np.float64] = field(default_factory=_no_floats, compare=False, repr=False)
    """−ln p(label) in nats; of a class not known yet that of an even guess."""
    scored_rows: npt.NDArray[np.int64] = field(default_factory=_no_integers, compare=False, repr=False)
    """Which rows of the micro-batch, in its order, the arrays before are of."""
    weights_by_head: Mapping[str, float] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    watched: Watched = field(default_factory=Watched)
    judged: tuple[JudgedAnswers, ...] = ()
    prequential_kappa_temporal: float = 0.0
    refused_events: tuple[RefusedEvent, ...] = ()
    """Events of classes beyond `model.max_classes`."""

    @property
    def refused(self) -> "list[ControlOutcome | RefusedEvent]":
        """What is to be dead-lettered."""
        return [*(outcome for outcome in self.controls if outcome.result == "refused"), *self.refused_events]
