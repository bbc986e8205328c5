"""Putting classes to sleep, waking them, retiring them: what happens to every part of a learner."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from penstock.errors import InvalidEventError
from penstock.features import FeatureSchema
from penstock.flow import Array
from penstock.learning.descending import descend
from penstock.learning.likeness import likeness, rows_like
from penstock.learning.packet import Packet
from penstock.learning.packet_check import check_whole
from penstock.learning.parts import LearnerParts
from penstock.learning.regularisers.remembered import nothing_remembered
from penstock.learning.rows import EncodedRows
from penstock.learning.sleepers import Sleeper
from penstock.learning.train_rows import TrainRows

Int64s = npt.NDArray[np.int64]

STEPS_AT_WAKING, ROWS_AT_WAKING = 30, 64
ROWS_TAKEN_IN = 256
NEAR_SHIFT, NEAR_RATIO = 0.05, 1.05
"""Inputs are scaled alike if they differ by no more: so many distances of 1, and such a ratio. Sums are of use then."""


class ClassChanges:
    """Works on `parts`, which it does not own."""

    def __init__(self, parts: LearnerParts, model: str, schema: FeatureSchema) -> None:
        self._parts = parts
        self._model, self._schema = model, schema

    def hibernate(self, labels: Sequence[int]) -> None:
        """Live classes are answered no more from here on; what they need to wake is in their packets."""
        parts = self._parts
        for label in labels:
            packet = self.packet_of(label)
            parts.sleepers.put(
                label, Sleeper(packet=packet, content=packet.to_bytes(), since=int(parts.class_events.sum()))
            )
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

    def take_in(self, packet: Packet, name: str, born_offset: str) -> int:
        """A class from another model's packet. Returns its index.

        Raises:
            InvalidEventError: the packet does not fit this model.
        """
        parts = self._parts
        self._check_fits(packet)
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
        if self._is_scaled_alike(packet):
            slept = ensemble.attendance.num_events
            ensemble.class_parts.put_back(label, packet.tensors, slept_events=slept, with_scatter=True)
        else:
            rows = self._as_encoded(self._rows_like(packet, label, ROWS_TAKEN_IN))
            ensemble.class_parts.know_from(label, ensemble.inputs(rows), float(packet.tensors["analytic.count"][0]))
        ensemble.settle(parts.reservoir)
        return label

    def packet_of(self, label: int) -> Packet:
        """What is known of a live class."""
        parts, entry = self._parts, self._parts.ledger.entries[label]
        tensors: dict[str, Array] = {}
        first, second = parts.descent.head_moments(label)
        for name, row in (("row", parts.network.head.rows[label]), ("first", first), ("second", second)):
            tensors[f"linear.{name}"] = row.detach().cpu().numpy().copy()
        psi = None
        rows, weights = parts.kept_rows_of(label)
        if parts.ensemble is not None:
            inputs = parts.ensemble.inputs(rows)
            tensors |= parts.ensemble.class_parts.copies_of(label, inputs, weights.astype(np.float64))
            if parts.ensemble.analytic is not None:
                psi = parts.ensemble.psi_fingerprint
        if len(rows):
            tensors |= {f"inputs.{name}": array for name, array in likeness(rows.dense, weights).items()}
        return Packet(
            model=self._model,
            class_name=entry.name,
            index=label,
            schema_digest=self._schema.digest,
            psi=psi,
            scales=self._scales(),
            encoder=parts.encoder.constants,
            events=int(parts.class_events[label]),
            tenant=entry.tenant,
            tensors=tensors,
        )

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
        if parts.ensemble is not None:
            parts.ensemble.class_parts.put_back(
                label,
                sleeper.packet.tensors,
                slept_events=int(parts.class_events.sum()) - sleeper.since,
                with_scatter=not sleeper.in_sums,
            )
        if not self._is_exact:
            self._add_rows_like(label, sleeper.packet)

    @property
    def _is_exact(self) -> bool:
        """True with an analytic head, which the others leave a woken class to until they have rows of it."""
        return self._parts.ensemble is not None and self._parts.ensemble.analytic is not None

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

    def _scales(self) -> dict[str, tuple[float, float]]:
        """Of each measured column, the value that became 0 and the distance that became 1."""
        parts, constants = self._parts, self._parts.encoder.constants
        moments = parts.moments if parts.ensemble is None else parts.ensemble.inputs
        numbers = [feature.name for feature in self._schema if feature.kind == "number"]
        scales = {
            name: (constants.origins.get(name, 0.0) + float(mean), 1 / float(inverse))
            for name, mean, inverse in zip(numbers, moments.mean, moments.inverse_deviation, strict=True)
        }
        for feature in self._schema:
            if feature.kind == "vector":
                scale = constants.scales.get(feature.name, 1.0)
                scales[feature.name] = (constants.origins.get(feature.name, 0.0), 1 / scale)
        return scales

    def _check_fits(self, packet: Packet) -> None:
        ensemble = self._parts.ensemble
        what = f"The packet of class {packet.class_name!r} of the model {packet.model!r}"
        if ensemble is None or ensemble.analytic is None:
            raise _refused(f"{what} cannot be taken in: model.heads has no 'analytic', which is what it is for.")
        if packet.schema_digest != self._schema.digest:
            raise _refused(f"{what} is of other features than model.features lists here.")
        if packet.psi != ensemble.psi_fingerprint:
            raise _refused(
                f"{what} holds sums of other fixed features: training.seed, the width of the inputs, model.head_inputs"
                " or the frozen backbone is another there."
            )
        check_whole(
            packet,
            size=ensemble.analytic.features.size,
            dense_width=self._parts.encoder.dense_width,
            forgetting_width=None if ensemble.forgetting is None else ensemble.forgetting.width,
        )
        reads_text = ensemble.inputs.reads_backbone and self._parts.encoder.tokens_width > 0
        if reads_text and not self._is_scaled_alike(packet):
            raise _refused(
                f"{what} was learnt from numbers on another scale, and rows like the class's cannot be made up where"
                " the heads read text."
            )

    def _is_scaled_alike(self, packet: Packet) -> bool:
        """True where the fixed features of a row are about the same numbers here as there."""
        for name, (zero, one) in self._scales().items():
            other_zero, other_one = packet.scales.get(name, (zero, one))
            if abs(other_zero - zero) > NEAR_SHIFT * one or not 1 / NEAR_RATIO <= other_one / one <= NEAR_RATIO:
                return False
        return True


def _refused(sentence: str) -> InvalidEventError:
    return InvalidEventError("control", sentence)
