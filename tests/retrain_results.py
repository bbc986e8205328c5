"""What retraining might have found, without a line that found it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from labelled_rows import PLANE, event_batch
from penstock.learning.comparison import Answers, compare
from penstock.processes.retrain.result import Result


def answers_of(labels: Sequence[str], predicted: Sequence[str], *, probability: float = 0.5) -> Answers:
    """So sure of every answer."""
    return Answers(
        predicted=np.array(predicted, dtype=object),
        probability=np.full(len(labels), probability),
        true_probability=np.full(len(labels), probability),
        is_right=np.array([one == other for one, other in zip(labels, predicted, strict=True)]),
    )


def result_of(labels: Sequence[str], live: Answers | None, fresh: Answers, **changes: Any) -> Result:
    """Both asked about events of these labels."""
    events = event_batch(PLANE.schema, {"point": np.zeros((len(labels), 2))}, list(labels)).events
    found = Result(
        model="plane",
        source="plane.labels",
        gone_messages=0,
        invalid={},
        comparison=compare(events, live, fresh),
        num_held_out=len(labels),
        live=None,
        live_problem="",
        live_has_learnt=None,
        last_report=None,
        events_learnt=1000,
        num_classes=2,
        num_live_classes=2,
        seconds=1.0,
        forgotten=(),
        class_margin=0.2,
    )
    return replace(found, **changes)
