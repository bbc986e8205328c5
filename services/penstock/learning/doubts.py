"""Doubt where the linear head is alone: whether remembered rows of the classes that come now are still true.

It begins with a burst of errors, or with an alarm. Until it is settled, old rows of the classes that come are not
replayed, so the model follows what comes as if it had no memory of them; classes that stay away are replayed as ever.
Once it has learnt what is new, old rows that it gets wrong contradict it, and expire; where only the inputs have moved,
or the task is harder, old rows lie elsewhere or are right as well, and they come back.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penstock.flow import Alarm, Array, DriftAlarm
from penstock.learning.heads.alarm import ESTABLISHED_ROWS
from penstock.learning.heads.alarm import Alarm as Burst
from penstock.learning.heads.ensemble import URGENT_EVENTS
from penstock.learning.lesson import Scored
from penstock.learning.train_rows import TrainRows
from penstock.learning.watching.conflict import verdict
from penstock.learning.watching.watch import JUDGED_ROWS

if TYPE_CHECKING:
    from penstock.learning.parts import LearnerParts

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

MOST_JUDGED = 1024
NEAR_QUANTILE = 0.95
"""Of the distances from one new row to the next: an old row that is no further from one lies among them."""
_CERTAIN = -1


class Doubt:
    """Rows offered to the reservoir before the time `since` are doubted if they are of `classes`."""

    def __init__(self) -> None:
        self.burst = Burst()
        self.since = _CERTAIN
        self.began_at = 0
        """The event with which it all changed."""
        self.num_rows = 0
        """Learnt since it began."""
        self.classes: Int64s = np.zeros(0, dtype=np.int64)
        self.labels: Int64s = np.zeros(0, dtype=np.int64)
        """Of the newest rows since, with `losses`, as they were predicted."""
        self.losses: Float64s = np.zeros(0)

    @property
    def is_on(self) -> bool:
        return self.since != _CERTAIN

    @property
    def is_urgent(self) -> bool:
        """True at first, while the weights still say what was true before."""
        return self.is_on and self.num_rows < URGENT_EVENTS

    def begin(self, *, since: int, began_at: int, event: int) -> None:
        """One that is on already goes further back, and stays."""
        if not self.is_on:
            self.since, self.began_at, self.num_rows = max(since, 0), max(began_at, 0), 0
            self.classes, self.labels, self.losses = self.classes[:0], self.labels[:0], self.losses[:0]
            self.burst.reset(event)

    def end(self) -> None:
        """Everything is believed again."""
        self.since = _CERTAIN

    def state(self) -> dict[str, Array]:
        """Copies."""
        numbers = np.array([self.since, self.began_at, self.num_rows], dtype=np.int64)
        columns = {name: getattr(self, name).copy() for name in ("classes", "labels", "losses")}
        return {"numbers": numbers, **columns} | {f"burst.{name}": a for name, a in self.burst.state().items()}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self.since, self.began_at, self.num_rows = (int(value) for value in arrays["numbers"].astype(np.int64))
        self.classes, self.labels = arrays["classes"].astype(np.int64), arrays["labels"].astype(np.int64)
        self.losses = arrays["losses"].astype(np.float64)
        self.burst.load({name.removeprefix("burst."): a for name, a in arrays.items() if name.startswith("burst.")})


def errors_burst(parts: "LearnerParts", found: Scored) -> bool:
    """Take in rows as they were predicted; True where doubt begins with them. They are not in the reservoir yet."""
    doubt, known, before = parts.doubt, len(parts.class_events), parts.watch.events
    is_old = found.labels < known
    if is_old.all():
        is_old = parts.class_events[found.labels] >= ESTABLISHED_ROWS
    else:
        is_old[is_old] = parts.class_events[found.labels[is_old]] >= ESTABLISHED_ROWS
    old = slice(None) if is_old.all() else is_old
    if not doubt.burst.saw(found.labels[old], found.predicted[old], before + found.rows[old]) or doubt.is_on:
        return False
    began = doubt.burst.suspects().began
    doubt.begin(since=parts.reservoir.num_offered + began - before, began_at=began, event=before)
    return True


def errors_rose(parts: "LearnerParts", raised: Sequence[DriftAlarm]) -> None:
    """An alarm says so, which is surer than a burst, and later."""
    if parts.ensemble is None and raised:
        watch, alarm = parts.watch, raised[0]
        since_then = round(alarm.num_after * watch.events / max(watch.scored, 1))  # of busy streams a sample is scored
        parts.doubt.begin(
            since=parts.reservoir.num_offered - since_then,
            began_at=alarm.at_event - since_then,
            event=watch.events,
        )


def go_on(doubt: Doubt, found: Scored) -> None:
    """Rows have been learnt under doubt, if there is any: their classes come, so old rows of theirs are doubted."""
    if doubt.is_on:
        doubt.num_rows += len(found.classes)
        doubt.classes = np.union1d(doubt.classes, found.classes)
        doubt.labels = np.concatenate((doubt.labels, found.labels))[-JUDGED_ROWS // 2 :]
        doubt.losses = np.concatenate((doubt.losses, found.losses))[-JUDGED_ROWS // 2 :]


def believed(parts: "LearnerParts", count: int, fresh: TrainRows) -> TrainRows | None:
    """So many rows to replay beside `fresh` ones, drawn from those that are not doubted; None where there are none."""
    reservoir, doubt = parts.reservoir, parts.doubt
    if not count or not len(reservoir):
        return None
    if not doubt.is_on:
        return reservoir.draw(count, parts.draws)
    come = np.union1d(doubt.classes, fresh.classes)
    is_doubted = (reservoir.times < doubt.since) & np.isin(reservoir.slot_classes, come)
    slots = np.flatnonzero((reservoir.slot_classes >= 0) & ~is_doubted)
    return reservoir.at(slots[parts.draws.integers(0, len(slots), count)]) if len(slots) else None


def contradicted_at_last(parts: "LearnerParts") -> Int64s | None:
    """Classes whose old rows contradict the new ones, where no alarm has come to judge that; None while it is early."""
    doubt = parts.doubt
    if not doubt.is_on or doubt.num_rows < JUDGED_ROWS or parts.watch.is_judging:
        return None
    classes, losses = parts.remembered_losses(judged_slots(parts))
    found = verdict(
        remembered_classes=classes,
        remembered_losses=losses,
        fresh_classes=doubt.labels,
        fresh_losses=doubt.losses,
        num_classes=len(parts.ledger),
    )
    return np.flatnonzero(found.expired)


def judged_slots(parts: "LearnerParts") -> Int64s:
    """Long-term rows to be asked about after an alarm; under doubt, those old ones that lie among new ones.

    What lies elsewhere may merely be forgotten, since it is not replayed.
    """
    reservoir, doubt = parts.reservoir, parts.doubt
    is_used = reservoir.slot_classes >= 0
    if not doubt.is_on:
        return _spread(np.flatnonzero(is_used))
    old = _spread(np.flatnonzero(is_used & (reservoir.times < doubt.since)))
    new = _spread(np.flatnonzero(is_used & (reservoir.times >= doubt.since)))
    if len(new) <= 1:
        return old[:0]
    theirs, ours = _features(parts, new), _features(parts, old)
    between = torch.cdist(theirs, theirs).fill_diagonal_(torch.inf).min(dim=1).values
    near = torch.cdist(ours, theirs).min(dim=1).values <= between.quantile(NEAR_QUANTILE)
    lying_among: Int64s = old[near.cpu().numpy()]
    return lying_among


def _spread(slots: Int64s) -> Int64s:
    return slots[:: -(-len(slots) // MOST_JUDGED) or 1]


def _features(parts: "LearnerParts", slots: Int64s) -> Tensor:
    rows, network = parts.reservoir.at(slots), parts.network
    with torch.inference_mode():
        return network.features(network.standardiser(rows.dense), rows.tokens)


def settle(parts: "LearnerParts", contradicted: Int64s, step: int) -> Alarm | None:
    """Old rows of contradicted classes expire, all others are believed again. Returns what is to be told of it."""
    doubt, reservoir = parts.doubt, parts.reservoir
    if not doubt.is_on:
        return None
    is_old = (reservoir.slot_classes >= 0) & (reservoir.times < doubt.since)
    expired = np.flatnonzero(is_old & np.isin(reservoir.slot_classes, contradicted))
    doubt.end()
    if not len(contradicted):
        return None
    reservoir.drop(expired)
    return Alarm(
        classes=tuple(parts.ledger.names[label] for label in contradicted.tolist()),
        step=step,
        began_at=doubt.began_at,
        rows_dropped=len(expired),
    )
