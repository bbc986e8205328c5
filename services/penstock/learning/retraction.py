"""Undoing an event: out of the exact sums as it was put in, out of the rows that are kept, out of the exceptions.

A kept row is found by the event's place, whose hash is the row's priority; or, where the event is named by its
`event_id`, which no row carries, by its features and label: of twins either may go. How numbers were standardised when
the event was learnt tells its place, its kept row, or its id while it is among the newest ones. Weights trained by
gradient cannot unlearn; what they drew from the event fades with training, and the row is not replayed again.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.errors import InvalidEventError
from penstock.flow import EventPlace, Exactness, RetractionRequest
from penstock.learning.event_rows import weights_of
from penstock.learning.heads.class_parts import arrays_of, class_sums
from penstock.learning.heads.ensemble import Ensemble
from penstock.learning.history import Scale
from penstock.learning.parts import LearnerParts
from penstock.learning.rows import EncodedRows
from penstock.learning.seen_events import SeenEvents
from penstock.learning.train_rows import TrainRows
from penstock.replay.priority import EventPriorities
from penstock.wire import columns as column
from penstock.wire.event_keys import keys_of

Int64s = npt.NDArray[np.int64]


class Retractions:
    """Works on `parts`, which it does not own."""

    def __init__(self, parts: LearnerParts, priorities: EventPriorities, seen: SeenEvents, topic: str) -> None:
        self._parts, self._priorities, self._seen, self._topic = parts, priorities, seen, topic

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
        target = self._target(request.of)
        if target.hash in parts.retracted:
            raise _refused(f"The event {target.name} was retracted before.")
        if target.place is not None and not parts.history.has_come(*target.at):
            raise _refused(f"The event {target.name} has not come yet, so there is nothing to retract.")
        slots, places = self._kept(target, row)
        if not len(slots) and not len(places) and self._was_held_out(target, row):
            parts.retracted.add(target.hash)
            return name, f"The event {target.name} was held out, so nothing has learnt it; it is gone.", {}
        is_kept = bool(len(slots) or len(places))
        exactness = self._leave_heads(target, row, kept_at=self._kept_at(slots, places))
        parts.reservoir.drop(slots)
        parts.window.drop(places)
        parts.class_events[label] = max(parts.class_events[label] - 1, 0)
        parts.retracted.add(target.hash)
        kept = "its kept row is gone" if is_kept else "no row of it was kept"
        return name, f"The event {target.name} of class {name!r} is undone; {kept}.", exactness

    def _was_held_out(self, target: "_Target", row: TrainRows) -> bool:
        held_out = self._parts.held_out
        if not held_out.is_on:
            return False
        priority = target.hash if target.place is not None else None
        rows = EncodedRows(dense=row.dense.cpu().numpy(), tokens=row.tokens.cpu().numpy())
        if held_out.take_back(priority, rows, int(row.classes[0])):
            return True
        if priority is not None and held_out.chosen(np.array([priority], dtype=np.uint64))[0]:
            raise _refused(
                f"The event {target.name} is of the share that is held out, and no longer kept: whether anything has"
                " learnt it cannot be told."
            )
        return False

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
            raise _refused(f"There is no class {name!r}, so no event of it was ever learnt.")
        if parts.ledger.entries[label].state == "retired":
            raise _refused(f"Class {name!r} is retired: nothing of it is left to retract.")
        dense, tokens = parts.network.to_tensors(parts.encoded(event))
        return TrainRows(
            dense=dense, tokens=tokens, classes=np.array([label], dtype=np.int64), weights=weights_of(event)
        )

    def _target(self, of: EventPlace | str) -> "_Target":
        if isinstance(of, str):
            digest = hashlib.blake2b(of.encode(), digest_size=8).digest()
            key = int(keys_of(pa.array([of], pa.string()))[0])
            return _Target(name=repr(of), hash=int.from_bytes(digest, "little"), key=key)
        if of.topic != self._topic:
            raise _refused(f"retracts.topic is {of.topic!r}; the events of this model are those of {self._topic!r}.")
        priority = self._priorities.at(
            np.array([of.partition], dtype=np.int32),
            np.array([of.offset], dtype=np.int64),
            np.array([of.row], dtype=np.int32),
        )
        name = f"{of.partition}:{of.offset}" + (f" (row {of.row})" if of.row else "")
        return _Target(name=name, hash=int(priority[0]), place=of)

    def _kept(self, target: "_Target", row: TrainRows) -> tuple[Int64s, Int64s]:
        """The slot and the place in the window of its row, none or one each."""
        parts, label = self._parts, int(row.classes[0])
        reservoir, window = parts.reservoir, parts.window
        newest = window.newest(len(window))
        if target.place is None:
            slots = np.flatnonzero(reservoir.slot_classes == label)
            slots = slots[_is_same(reservoir.at(slots), row)]
            places = newest[window.rows.classes[newest] == label]
            places = places[_is_same(window.rows.at(places), row)]
            twins = np.concatenate((reservoir.priorities[slots], window.priorities[places]))
            if not len(twins):
                return slots, places
            one = twins.max()  # which of equals goes does not matter, only that it is always the same one
            return slots[reservoir.priorities[slots] == one], places[window.priorities[places] == one]
        slots = np.flatnonzero((reservoir.slot_classes >= 0) & (reservoir.priorities == np.uint64(target.hash)))
        places = newest[window.priorities[newest] == np.uint64(target.hash)]
        for rows in (reservoir.at(slots), window.rows.at(places)):
            if len(rows.classes) and not (rows.classes[0] == label and _is_same(rows, row)[0]):
                raise _refused(f"The event {target.name} had other features or another label than are given here.")
        return slots, places

    def _kept_at(self, slots: Int64s, places: Int64s) -> int | None:
        """When the kept row was offered to the reservoir; None where no row is kept."""
        times = np.concatenate((self._parts.reservoir.times[slots], self._parts.window.times[places]))
        return int(times.max()) if len(times) else None  # the later of two: since then the sums were built anew

    def _leave_heads(self, target: "_Target", row: TrainRows, *, kept_at: int | None) -> dict[str, Exactness]:
        parts, label = self._parts, int(row.classes[0])
        ensemble = parts.ensemble
        exactness: dict[str, Exactness] = {}
        if ensemble is None or "linear" in ensemble.members:
            exactness["linear"] = "approximate"
        if ensemble is None:
            return exactness
        rows = row.encoded
        if ensemble.analytic is not None:
            exactness["analytic"] = self._leave_sums(ensemble, target, row, kept_at=kept_at)
        if ensemble.forgetting is not None:
            exactness["forgetting"] = "approximate"
        if ensemble.exceptions is not None:
            ensemble.exceptions.forget(ensemble.keys_of(rows.dense, rows.tokens), row.classes)
            exactness["instances"] = "exact"
        counts = ensemble.attendance.counts
        counts[label] = max(counts[label] - 1, 0)
        return exactness

    def _leave_sums(self, ensemble: Ensemble, target: "_Target", row: TrainRows, *, kept_at: int | None) -> Exactness:
        """Out of the analytic head's sums, or of the packet's where the class is asleep."""
        parts, history, label = self._parts, self._parts.history, int(row.classes[0])
        analytic = ensemble.analytic
        assert analytic is not None
        if analytic.forgetting < 1:
            return "approximate"  # it fades by itself, and by how much it has is not known
        if target.place is None and history.was_rebuilt and kept_at is None:
            raise _refused(
                f"The event {target.name} cannot be told from those that were given up at the last drift alarm;"
                " name it by its topic, partition and offset."
            )
        if target.place is not None and not history.is_in_sums(*target.at, priority=target.hash):
            return "exact"  # given up at a drift alarm already
        scale, exactness = self._scale(target, kept_at)
        inputs = ensemble.inputs(row.encoded)
        if scale is not None:
            inputs = ensemble.inputs.standardised(row.encoded, scale.mean, scale.inverse_deviation)
        sleeper = parts.sleepers.get(label)
        if sleeper is not None:
            analytic.put_back(label, class_sums(sleeper.packet.tensors))
        found = analytic.retract_known(inputs[0], label, float(row.weights[0]))
        if sleeper is not None:
            sums = analytic.take_out(label)
            tensors = dict(sleeper.packet.tensors) | arrays_of(sums)
            packet = replace(sleeper.packet, tensors=tensors)
            parts.sleepers.put(label, replace(sleeper, packet=packet, content=packet.to_bytes()))
        if not found:
            raise _refused(
                f"No event {target.name} with these features, label and weight was learnt, so none can be retracted."
            )
        return exactness

    def _scale(self, target: "_Target", kept_at: int | None) -> tuple[Scale | None, Exactness]:
        """How the event was standardised; None: as now."""
        history = self._parts.history
        if target.place is not None:
            return history.scale_of(*target.at), "exact"
        if kept_at is not None:
            return history.scale_of_offer(kept_at), "exact"
        number = self._seen.scale_of(target.key)
        if number is not None:
            return history.scale_numbered(number), "exact"
        return None, "exact" if history.has_one_scale else "approximate"


@dataclass(frozen=True, kw_only=True)
class _Target:
    """The event to undo: `hash` is its priority where its place is known; else `key` is that of its id."""

    name: str
    hash: int
    place: EventPlace | None = None
    key: int = 0

    @property
    def at(self) -> tuple[int, int, int]:
        assert self.place is not None
        return self.place.partition, self.place.offset, self.place.row


def _is_same(rows: TrainRows, row: TrainRows) -> npt.NDArray[np.bool_]:
    """[n]: which of `rows` have the features of `row` [1], to the bit."""
    same = (rows.dense == row.dense).all(dim=1) & (rows.tokens == row.tokens).all(dim=1)
    found: npt.NDArray[np.bool_] = same.cpu().numpy()
    return found


def _refused(sentence: str) -> InvalidEventError:
    return InvalidEventError("retracts", sentence)
