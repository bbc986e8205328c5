"""Undoing an event: out of the exact sums as it was put in, out of the rows that are kept, out of the exceptions.

A kept row is found by the event's place, whose hash is the row's priority. An `event_id`, which no row carries, tells
the place while it is among the newest ones; after that the row is found by features and label: of twins either may go.
How numbers were standardised when the event was learnt tells its place or its kept row, and its weight tells the row.
Weights trained by gradient cannot unlearn; what they drew from the event fades with training, and the row is not
replayed again.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from penstock.flow import Exactness, RetractionRequest
from penstock.learning.event_rows import weights_of
from penstock.learning.heads.class_parts import arrays_of, class_sums
from penstock.learning.heads.ensemble import Ensemble
from penstock.learning.heads.sums import ClassSums
from penstock.learning.history import Scale
from penstock.learning.kept_event import Kept, kept_of
from penstock.learning.parts import LearnerParts
from penstock.learning.retraction_targets import Target, Targets, refused
from penstock.learning.rows import EncodedRows
from penstock.learning.seen_events import SeenEvents
from penstock.learning.sleepers import Sleeper
from penstock.learning.train_rows import TrainRows
from penstock.replay.priority import EventPriorities
from penstock.wire import columns as column


class Retractions:
    """Works on `parts`, which it does not own."""

    def __init__(self, parts: LearnerParts, priorities: EventPriorities, seen: SeenEvents, topic: str) -> None:
        self._parts = parts
        self._targets = Targets(parts, priorities, seen, topic)

    def undo(self, request: RetractionRequest) -> tuple[str, str, dict[str, Exactness]]:
        """Undo the event that the request carries; nothing may doze.

        Returns the name of its class, a sentence, and how exactly each head has forgotten it. `finish` must follow
        before anything is learnt.

        Raises:
            InvalidEventError: there is no such event to undo, or it was undone before.
        """
        parts, row = self._parts, self._row_of(request.event)
        label = int(row.classes[0])
        name = parts.ledger.names[label]
        target = self._targets.named(request.of)
        kept = kept_of(parts, target, row)
        if kept is None:
            held_out = self._was_held_out(target, row)
            if held_out is not None:
                parts.retracted.add(*target.names(held_out))
                return name, f"The event {target.name} was held out, so nothing has learnt it; it is gone.", {}
            self._check_some_are_not_kept(target, label, name)
        weight = float(row.weights[0]) if kept is None else kept.weight
        exactness = self._leave_heads(target, row, weight, kept=kept)
        if kept is not None:
            parts.reservoir.drop(kept.slots)
            parts.window.drop(kept.places)
        parts.class_events[label] = max(parts.class_events[label] - 1, 0)
        parts.retracted.add(*target.names(kept.priority if kept else None))
        how = _how(target, kept, float(row.weights[0]))
        return name, f"The event {target.name} of class {name!r} is undone; {how}.", exactness

    def _was_held_out(self, target: Target, row: TrainRows) -> int | None:
        """The priority of what was held out, and is no longer."""
        held_out = self._parts.held_out
        if not held_out.is_on:
            return None
        rows = EncodedRows(dense=row.dense.cpu().numpy(), tokens=row.tokens.cpu().numpy())
        taken = held_out.take_back(target.priority, rows, int(row.classes[0]))
        priorities = np.array([] if target.priority is None else [target.priority], dtype=np.uint64)
        if taken is None and held_out.chosen(priorities).any():
            raise refused(
                f"The event {target.name} is of the share that is held out, and no longer kept: whether anything has"
                " learnt it cannot be told."
            )
        return taken

    def _check_some_are_not_kept(self, target: Target, label: int, name: str) -> None:
        """Refuse what is not kept while all is that was ever learnt of its class."""
        parts = self._parts
        has_only_real_rows = parts.ensemble is not None and parts.ensemble.analytic is not None
        if has_only_real_rows and parts.num_kept()[label] == parts.class_events[label]:
            raise refused(
                f"No event {target.name} with these features and this label was learnt and is still to be undone: each"
                f" of class {name!r} is kept, and none is it."
            )

    def finish(self) -> None:
        """After the last of some retractions: make answers those of what is left."""
        parts = self._parts
        if parts.ensemble is not None:
            parts.ensemble.rows_left(parts.reservoir, parts.window)

    def _row_of(self, event: Any) -> TrainRows:
        """One event of a known class, as a row to train on."""
        parts = self._parts
        name = event.column(column.LABEL)[0].as_py()
        label = parts.ledger.index_of(name)
        if label is None:
            raise refused(f"There is no class {name!r}, so no event of it was ever learnt.")
        if parts.ledger.entries[label].state == "retired":
            raise refused(f"Class {name!r} is retired: nothing of it is left to retract.")
        dense, tokens = parts.network.to_tensors(parts.encoded(event))
        return TrainRows(
            dense=dense, tokens=tokens, classes=np.array([label], dtype=np.int64), weights=weights_of(event)
        )

    def _leave_heads(self, target: Target, row: TrainRows, weight: float, *, kept: Kept | None) -> dict[str, Exactness]:
        parts, label = self._parts, int(row.classes[0])
        ensemble = parts.ensemble
        exactness: dict[str, Exactness] = {}
        if ensemble is None or "linear" in ensemble.members:
            exactness["linear"] = "approximate"
        if ensemble is None:
            return exactness
        rows = row.encoded
        if ensemble.analytic is not None:
            exactness["analytic"] = self._leave_sums(ensemble, target, row, weight, kept=kept)
        if ensemble.forgetting is not None:
            exactness["forgetting"] = "approximate"
        if ensemble.exceptions is not None:
            priority = kept.priority if kept is not None else target.priority
            keys = ensemble.keys_of(rows.dense, rows.tokens)
            is_known = ensemble.exceptions.forget(keys, row.classes, priority)
            exactness["instances"] = "exact" if is_known else "approximate"
        ensemble.attendance.lost(label)
        return exactness

    def _leave_sums(
        self, ensemble: Ensemble, target: Target, row: TrainRows, weight: float, *, kept: Kept | None
    ) -> Exactness:
        """Out of the analytic head's sums, or of the packet's where the class is asleep."""
        parts, history, label = self._parts, self._parts.history, int(row.classes[0])
        analytic = ensemble.analytic
        assert analytic is not None
        if analytic.forgetting < 1:
            return "approximate"  # it fades by itself, and by how much it has is not known
        if target.at is None and history.was_rebuilt and kept is None:
            raise refused(
                f"The event {target.name} cannot be told from those that were given up at the last drift alarm;"
                " name it by its topic, partition and offset."
            )
        if self._was_given_up(target, label):
            return "exact"
        scale, exactness = self._scale(target, label, kept)
        inputs = ensemble.inputs(row.encoded)
        if scale is not None:
            inputs = ensemble.inputs.standardised(row.encoded, scale.mean, scale.inverse_deviation)
        sleeper = parts.sleepers.get(label)
        if sleeper is None:
            found = analytic.retract_known(inputs[0], label, weight, is_sure=kept is not None)
        elif sleeper.in_sums:
            analytic.put_back(label, class_sums(sleeper.packet.tensors))
            found = analytic.retract_known(inputs[0], label, weight, is_sure=kept is not None)
            self._keep_asleep(label, sleeper, analytic.take_out(label))
        else:  # the others' sums know nothing of its rows since they were built anew
            left = class_sums(sleeper.packet.tensors).less(analytic.features(inputs)[0], weight)
            found = left is not None
            if left is not None:
                self._keep_asleep(label, sleeper, left)
        if not found and kept is not None:
            raise refused(
                f"The event {target.name} cannot be taken out: retractions of events that may never have been learnt"
                " have taken what the sums had of it."
            )
        if not found:
            raise refused(
                f"No event {target.name} with these features, label and weight was learnt, so none can be retracted."
            )
        return exactness if kept is not None or target.is_seen else "unverified"

    def _keep_asleep(self, label: int, sleeper: Sleeper, sums: ClassSums) -> None:
        packet = replace(sleeper.packet, tensors=dict(sleeper.packet.tensors) | arrays_of(sums))
        self._parts.sleepers.put(label, replace(sleeper, packet=packet, content=packet.to_bytes()))

    def _was_given_up(self, target: Target, label: int) -> bool:
        """True if a drift alarm has taken it out of the sums already."""
        if target.at is None or target.priority is None:
            return False
        return not self._parts.history.is_in_sums(*target.at, priority=target.priority, label=label)

    def _scale(self, target: Target, label: int, kept: Kept | None) -> tuple[Scale | None, Exactness]:
        """How the event was standardised; None: as now.

        Of a class that slept through an alarm, G holds, or will hold, only what its packet says of how its rows lay.
        """
        history = self._parts.history
        if kept is not None:
            return history.scale_of_offer(kept.time), "exact"
        if target.at is not None:
            is_like_its_own = history.slept_through(label, *target.at)
            return history.scale_of(*target.at, label=label), "approximate" if is_like_its_own else "exact"
        return None, "exact" if history.has_one_scale else "approximate"


def _how(target: Target, kept: Kept | None, weight: float) -> str:
    """What was known of it, as the end of a sentence."""
    if kept is not None:
        own = "" if kept.weight == weight else f", taken out with its own weight of {kept.weight:g}"
        return f"its kept row is gone{own}"
    if target.is_seen:
        return "no row of it was kept"
    return "no row of it was kept, and nothing else tells whether it was ever learnt"
