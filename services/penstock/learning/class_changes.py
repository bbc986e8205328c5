"""Putting classes to sleep, waking them, retiring them: what happens to every part of a learner."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from penstock.features import FeatureSchema
from penstock.learning.class_packets import ClassPackets
from penstock.learning.descending import descend
from penstock.learning.likeness import rows_like
from penstock.learning.packet import Packet
from penstock.learning.parts import LearnerParts
from penstock.learning.regularisers.remembered import nothing_remembered
from penstock.learning.rows import EncodedRows
from penstock.learning.sleepers import Sleeper
from penstock.learning.train_rows import TrainRows

Int64s = npt.NDArray[np.int64]

STEPS_AT_WAKING, ROWS_AT_WAKING = 30, 64
ROWS_TAKEN_IN = 256
MOVED_BY, MOVED_TIMES = 0.3, 1.3
"""Of deviations: until numbers are standardised so differently, a class's exact sums say more than rows like its own.
"""


class ClassChanges:
    """Works on `parts`, which it does not own."""

    def __init__(self, parts: LearnerParts, model: str, schema: FeatureSchema) -> None:
        self._parts = parts
        self._packets = ClassPackets(parts, model, schema)

    def hibernate(self, labels: Sequence[int]) -> None:
        """Live classes are answered no more from here on; what they need to wake is in their packets."""
        parts = self._parts
        for label in labels:
            packet = self._packets.of(label)
            parts.sleepers.put(label, Sleeper(packet=packet, content=packet.to_bytes(), since=self._num_events))
            parts.ledger.change(label, "hibernated")

    def leave(self) -> None:
        """Take what dozes out of every head, since the others are about to learn."""
        parts, labels = self._parts, self._parts.sleepers.dozing
        if len(labels):
            self._take_out(labels)
            parts.sleepers.have_left()

    def wake(self, labels: Sequence[int]) -> None:
        """Sleeping classes are answered again, as if they had never slept as far as heads are exact."""
        parts = self._parts
        slept = [label for label in labels if parts.sleepers[label].has_left]
        for label in labels:
            sleeper = parts.sleepers.take(label)
            parts.ledger.change(label, "live", awakened=sleeper.has_left)
            if sleeper.has_left:
                self._put_back(label, sleeper)
        if slept and not self._is_exact:
            self._learn_again()
        if slept and parts.ensemble is not None:
            parts.ensemble.rows_left(parts.reservoir, parts.window)

    def retire(self, labels: Sequence[int]) -> None:
        """Classes that are live or asleep end for good."""
        parts = self._parts
        self.hibernate([label for label in labels if label not in parts.sleepers])
        self.leave()
        for label in labels:
            parts.sleepers.take(label)
            parts.ledger.change(label, "retired")

    def check_fits(self, packet: Packet) -> None:
        """Return if `take_in` can take it; nothing changes.

        Raises:
            InvalidEventError: the packet does not fit this model.
        """
        self._packets.check_fits(packet)

    def take_in(self, packet: Packet, name: str, born_offset: str) -> int:
        """A class from another model's packet, which fits. Returns its index."""
        parts = self._parts
        ensemble = parts.ensemble
        assert ensemble is not None  # a packet fits only where there is an analytic head
        self.leave()
        label = parts.ledger.enter(name, born_offset, tenant=packet.tenant)
        row = parts.network.head.awake_mean()
        row[: parts.network.head.width] = 0.0
        parts.network.head.extend(row.unsqueeze(0))
        parts.know_classes(label + 1)
        parts.class_events[label] = packet.events
        ensemble.grow(label + 1)
        ensemble.attendance.grow(label + 1)
        if self._packets.is_scaled_alike(packet):
            ensemble.class_parts.put_back(label, packet.tensors, slept_events=self._num_events, with_scatter=True)
        else:
            self._know_from_rows_like(label, packet, slept_events=self._num_events)
        ensemble.settle(parts.reservoir)
        return label

    def _take_out(self, labels: Int64s) -> None:
        parts = self._parts
        parts.reservoir.drop_classes(labels)
        parts.window.drop(np.flatnonzero(np.isin(parts.window.rows.classes, labels)))
        for label in labels.tolist():
            parts.network.head.put_to_sleep(label)
            for moments in parts.descent.head_moments(label):
                moments.zero_()
            parts.descent.row_was_set(label)
        if parts.ensemble is not None:
            parts.ensemble.class_parts.take_out(labels)
            parts.ensemble.rows_left(parts.reservoir, parts.window)

    def _put_back(self, label: int, sleeper: Sleeper) -> None:
        parts, linear = self._parts, sleeper.packet.under("linear")
        device = parts.network.device
        parts.network.head.wake(label, torch.from_numpy(linear["row"]).to(device))
        for moments, name in zip(parts.descent.head_moments(label), ("first", "second"), strict=True):
            moments.copy_(torch.from_numpy(linear[name]))
        parts.descent.row_was_set(label)
        slept_events = self._num_events - sleeper.since
        if self._is_exact and self._has_moved(sleeper.packet):
            self._know_from_rows_like(label, sleeper.packet, slept_events=slept_events)
        elif parts.ensemble is not None:
            parts.ensemble.class_parts.put_back(
                label, sleeper.packet.tensors, slept_events=slept_events, with_scatter=not sleeper.in_sums
            )
        if not self._is_exact:
            self._add_rows_like(label, sleeper.packet)

    @property
    def _num_events(self) -> int:
        """By which heads measure time: events of the stream, whether since taken back, and none that an import counts.

        Always 0 where the linear head is alone, which does not ask.
        """
        ensemble = self._parts.ensemble
        return 0 if ensemble is None else ensemble.attendance.num_events

    @property
    def _is_exact(self) -> bool:
        """True with an analytic head, which the others leave a woken class to until they have rows of it."""
        return self._parts.ensemble is not None and self._parts.ensemble.analytic is not None

    def _has_moved(self, packet: Packet) -> bool:
        """Numbers are standardised so differently now that sums of then say nothing, and rows can be drawn instead."""
        can_be_drawn = "inputs.factor" in packet.tensors and not self._parts.encoder.tokens_width
        return can_be_drawn and not self._packets.is_scaled_alike(packet, shift=MOVED_BY, ratio=MOVED_TIMES)

    def _know_from_rows_like(self, label: int, packet: Packet, *, slept_events: int) -> None:
        """Let the closed-form heads know a class from rows drawn like its own, as they are standardised now."""
        ensemble = self._parts.ensemble
        assert ensemble is not None
        rows = ensemble.inputs(self._as_encoded(self._rows_like(packet, label, ROWS_TAKEN_IN)))
        count = float(packet.tensors["analytic.count"][0])
        ensemble.class_parts.know_from(label, rows, count, slept_events=slept_events)

    def _add_rows_like(self, label: int, packet: Packet) -> None:
        """Rows drawn like the class's own, of which every one makes room sooner than a real row would."""
        if "inputs.factor" not in packet.tensors or self._parts.encoder.tokens_width:
            return
        parts = self._parts
        dense = torch.from_numpy(self._rows_like(packet, label, ROWS_AT_WAKING)).to(parts.network.device)
        rows = TrainRows(
            dense=dense,
            tokens=torch.zeros(len(dense), 0, dtype=torch.int32, device=dense.device),
            classes=np.full(len(dense), label, dtype=np.int64),
            weights=np.ones(len(dense), dtype=np.float32),
            remembered=nothing_remembered(len(dense), dense.device),
        )
        generator = np.random.Generator(np.random.PCG64((label, packet.events)))
        parts.reservoir.add(rows, generator.integers(2**63, 2**64, len(dense), dtype=np.uint64))

    def _rows_like(self, packet: Packet, label: int, count: int) -> npt.NDArray[np.float32]:
        """[count, D], the same for the same packet, as this model encodes them."""
        generator = np.random.Generator(np.random.PCG64((label, packet.events, count)))
        return self._parts.encoder.recode(rows_like(packet.under("inputs"), count, generator), packet.encoder)

    def _as_encoded(self, dense: npt.NDArray[np.float32]) -> EncodedRows:
        """Rows without text."""
        return EncodedRows(dense=dense, tokens=np.zeros((len(dense), self._parts.encoder.tokens_width), dtype=np.int32))

    def _learn_again(self) -> None:
        """Steps on kept rows, those of the woken classes among them, so that the next version knows them."""
        parts = self._parts
        is_linear = parts.ensemble is None or "linear" in parts.ensemble.members
        if is_linear and len(parts.reservoir):
            drawn = parts.reservoir.draw(STEPS_AT_WAKING * ROWS_AT_WAKING, parts.draws)
            descend(parts, drawn.between(0, 0), drawn, STEPS_AT_WAKING)
