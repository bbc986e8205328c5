"""What is known of a class, as a packet; and whether a packet of another model fits this one."""

import numpy as np

from penstock.errors import InvalidEventError
from penstock.features import FeatureSchema
from penstock.flow import Array
from penstock.learning.class_requests import index_of, listed
from penstock.learning.likeness import likeness
from penstock.learning.packet import Packet
from penstock.learning.packet_card import unfit
from penstock.learning.packet_check import check_whole
from penstock.learning.parts import LearnerParts
from penstock.wire.invalid import shown

NEAR_SHIFT, NEAR_RATIO = 0.05, 1.05
"""Inputs are scaled alike if they differ by no more: so many distances of 1, and such a ratio. Sums are of use then."""


class ClassPackets:
    """Reads `parts`, and changes nothing."""

    def __init__(self, parts: LearnerParts, model: str, schema: FeatureSchema) -> None:
        self._parts = parts
        self._model, self._schema = model, schema

    def named(self, name: str) -> bytes:
        """The packet of a class, live or asleep, as a file.

        Raises:
            InvalidEventError: there is no such class, or it is retired.
        """
        index = index_of(name, self._parts.ledger)
        if self._parts.ledger.entries[index].state == "retired":
            raise _refused(f"Class {name!r} is retired: nothing is known of it any more.")
        sleeper = self._parts.sleepers.get(index)
        return self.of(index).to_bytes() if sleeper is None else sleeper.content

    def of(self, label: int) -> Packet:
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

    def check_fits(self, packet: Packet) -> None:
        """Return if a class of another model can be taken in from it.

        Raises:
            InvalidEventError: why it cannot.
        """
        ensemble = self._parts.ensemble
        what = f"The packet of class {shown(packet.class_name)} of the model {packet.model!r}"
        if ensemble is None or ensemble.analytic is None:
            raise _refused(f"{what} cannot be taken in: model.heads has no 'analytic', which is what it is for.")
        if packet.schema_digest != self._schema.digest:
            raise _refused(f"{what} is of other features than model.features lists here.")
        if packet.psi != ensemble.psi_fingerprint:
            raise _refused(
                f"{what} holds sums of other fixed features: training.seed, the width of the inputs, model.head_inputs"
                " or the frozen backbone is another there."
            )
        self._check_columns(packet)
        check_whole(
            packet,
            size=ensemble.analytic.features.size,
            dense_width=self._parts.encoder.dense_width,
            forgetting_width=None if ensemble.forgetting is None else ensemble.forgetting.width,
        )
        reads_text = ensemble.inputs.reads_backbone and self._parts.encoder.tokens_width > 0
        if reads_text and not self.is_scaled_alike(packet):
            raise _refused(
                f"{what} was learnt from numbers on another scale, and rows like the class's cannot be made up where"
                " the heads read text."
            )

    def _check_columns(self, packet: Packet) -> None:
        """Refuse constants of other columns than those that are scaled here, which are the same as there."""
        numbers = {feature.name for feature in self._schema if feature.kind == "number"}
        vectors = {feature.name for feature in self._schema if feature.kind == "vector"}
        origins, scales = set(packet.encoder.origins), set(packet.encoder.scales)
        for name, found, least, most in (
            ("encoder.scales", scales, set(), vectors),
            ("encoder.origins", origins, numbers | scales, numbers | scales),
            ("scales", set(packet.scales), numbers | vectors, numbers | vectors),
        ):
            if not least <= found <= most:
                raise unfit(name, sorted(found), f"of the columns {listed(sorted(most)) or '(none)'}")

    def is_scaled_alike(self, packet: Packet, *, shift: float = NEAR_SHIFT, ratio: float = NEAR_RATIO) -> bool:
        """True where the fixed features of a row are about the same numbers here as there.

        Zero may have moved by `shift` of what is 1 here, and what is 1 have become so many times as large or small.
        """
        for name, (zero, one) in self._scales().items():
            other_zero, other_one = packet.scales.get(name, (zero, one))
            if abs(other_zero - zero) > shift * one or not 1 / ratio <= other_one / one <= ratio:
                return False
        return True

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


def _refused(sentence: str) -> InvalidEventError:
    return InvalidEventError("control", sentence)
