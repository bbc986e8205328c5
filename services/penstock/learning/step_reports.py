"""What is reported of a micro-batch once it is learnt; the watch over the stream moves on with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.flow import Alarm, ControlOutcome, EventBatch, RefusedEvent, StepReport, Watched
from penstock.learning.doubts import contradicted_at_last, errors_rose, judged_slots, settle
from penstock.learning.lesson import Scored
from penstock.learning.parts import LearnerParts
from penstock.learning.watching.observed import ObservedRows
from penstock.learning.watching.watch import WEIGHT


@dataclass(kw_only=True)
class Learnt:
    """What came of one micro-batch."""

    scored: list[Scored] = field(default_factory=list)
    controls: list[ControlOutcome] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)
    passed_over: int = 0
    held_out: int = 0
    refused: list[RefusedEvent] = field(default_factory=list)

    def num_events(self, batch: EventBatch) -> int:
        """How many of the batch were learnt."""
        num_rows: int = batch.events.num_rows
        return num_rows - self.passed_over - self.held_out - len(self.refused)

    @property
    def refused_places(self) -> set[tuple[int, int, int]]:
        """Partition, offset and row of each event and control that was refused."""
        events = {(each.partition, each.offset, each.row) for each in self.refused}
        controls = [outcome.control for outcome in self.controls if outcome.result == "refused"]
        return events | {(each.partition, each.offset, each.row) for each in controls}


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where the learner stands after the micro-batch; `num_known` classes were known before it."""

    step: int
    loss: float
    num_known: int
    trained_until_ms: int
    seconds: float
    weights_by_head: Mapping[str, float]


def report_of(parts: LearnerParts, batch: EventBatch, learnt: Learnt, progress: Progress) -> StepReport:
    """Scores, alarms and counts, rows in the order of the batch."""
    names, found = parts.ledger.names, learnt.scored
    counts = np.bincount(_joined([one.classes for one in found], np.int64))
    present = counts.nonzero()[0].tolist()
    alarms = tuple(one.alarm for one in found if one.alarm is not None)
    parts.watch.judged.add(batch.judged)
    for alarm in alarms:
        changed = [names.index(name) for name in alarm.classes]
        parts.held_out.give_up(np.array(changed, dtype=np.int64), before=alarm.began_at)
    watched, expired = _watch(parts, found, learnt.num_events(batch), alarms, progress)
    alarms += expired
    scores = parts.watch.scores
    return StepReport(
        step=progress.step,
        num_events=learnt.num_events(batch),
        loss=progress.loss,
        prequential_accuracy=scores.accuracy,
        prequential_loss=scores.loss,
        prequential_kappa_temporal=scores.kappa_temporal,
        events_by_class=dict(zip(map(names.__getitem__, present), counts[present].tolist(), strict=True)),
        num_classes=len(names),
        new_classes=names[progress.num_known :],
        reservoir_rows=len(parts.reservoir),
        trained_until_ms=progress.trained_until_ms,
        step_seconds=progress.seconds,
        labels=_joined([one.labels for one in found], np.int64),
        predicted=_joined([one.predicted for one in found], np.int64),
        hits=_joined([one.hits for one in found], np.bool_),
        true_probability=_joined([one.true_probability for one in found], np.float64),
        losses=_joined([one.losses for one in found], np.float64),
        scored_rows=_joined([one.rows for one in found], np.int64),
        weights_by_head=progress.weights_by_head,
        alarms=alarms,
        controls=tuple(learnt.controls),
        woken=tuple(learnt.woken),
        passed_over=learnt.passed_over,
        held_out=learnt.held_out,
        refused_events=tuple(learnt.refused),
        watched=watched,
        judged=batch.judged,
    )


def _watch(
    parts: LearnerParts, found: Sequence[Scored], num_events: int, alarms: tuple[Alarm, ...], progress: Progress
) -> tuple[Watched, tuple[Alarm, ...]]:
    """Returns the classes too whose old rows have expired now, where that is not for the mixture to decide."""
    if not found:
        return Watched(), ()
    names = parts.ledger.names
    watched = parts.watch.observe(
        ObservedRows.joined(
            [ObservedRows(labels=one.labels, predicted=one.predicted, losses=one.losses) for one in found]
        ),
        num_events=num_events,
        class_names=names,
        step=progress.step,
        now_ms=progress.trained_until_ms,
        label_changes=alarms,
        figures={WEIGHT + head: weight for head, weight in progress.weights_by_head.items()},
    )
    errors_rose(parts, watched.raised)
    contradicted = contradicted_at_last(parts)
    if parts.watch.wants_judgement:
        judged, contradicted = parts.watch.judge(*parts.remembered_losses(judged_slots(parts)), names)
        watched = replace(watched, judged=judged)
    change = None if contradicted is None else settle(parts, contradicted, progress.step)
    if contradicted is None or change is None:
        return watched, ()
    parts.held_out.give_up(contradicted, before=change.began_at)
    parts.watch.alarms.note((change,), progress.trained_until_ms)
    return watched, (change,)


def _joined(arrays: list[npt.NDArray[Any]], dtype: type) -> npt.NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=dtype)
