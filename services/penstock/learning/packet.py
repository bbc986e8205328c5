"""A packet: one class without its data, small sums that wake it months later, or elsewhere.

A safetensors file. Its metadata says what it is of; reading one never executes code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import quote

import safetensors.numpy
from safetensors import SafetensorError

from penstock.flow import Array
from penstock.learning.encoder import EncoderConstants
from penstock.learning.packet_card import METADATA_KEY, Card, refused, unfit
from penstock.learning.tensor_bytes import tensor_bytes
from penstock.wire.invalid import shown

FORMAT = 1
_NAME_CHARACTERS = 80


@dataclass(frozen=True, kw_only=True)
class Packet:
    """What is known of a class.

    `psi` names the fixed features that its sums are of, `scales` how each measured input was scaled: by its name the
    value that became 0 and the distance that became 1; `encoder` what it was encoded by before. `tensors` are by dotted
    name, the first part of which is the head's, or `inputs` for how the rows lay: absent where none were kept.
    """

    model: str
    class_name: str
    index: int
    schema_digest: str
    psi: str | None
    scales: Mapping[str, tuple[float, float]]
    encoder: EncoderConstants
    events: int
    tenant: str | None
    tensors: Mapping[str, Array] = field(repr=False)

    @property
    def file_name(self) -> str:
        """Safe on every disk, and no other class's of the same model."""
        return f"{self.index:06d}-{quote(self.class_name, safe='')[:_NAME_CHARACTERS]}.safetensors"

    def to_bytes(self) -> bytes:
        """The file; the same packet gives the same bytes."""
        card = {
            "format": FORMAT,
            "model": self.model,
            "class": self.class_name,
            "index": self.index,
            "schema_digest": self.schema_digest,
            "psi": self.psi,
            "scales": {name: list(scale) for name, scale in sorted(self.scales.items())},
            "encoder": self.encoder.to_json(),
            "events": self.events,
            "tenant": self.tenant,
        }
        text = json.dumps(card, sort_keys=True, separators=(",", ":"))
        return tensor_bytes(self.tensors, {METADATA_KEY: text})

    @classmethod
    def from_bytes(cls, content: bytes) -> "Packet":
        """The inverse of `to_bytes`, of whatever size. One from elsewhere must also be held against `packet_check`.

        Raises:
            InvalidEventError: it is no packet, or not a whole one.
        """
        card = Card(content)
        if card.format() != FORMAT:
            raise unfit("format", card.format(), f"{FORMAT}, which this release reads")
        try:
            tensors = cast(dict[str, Array], safetensors.numpy.load(content))
        except (SafetensorError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise refused(f"The packet is not whole: its tensors cannot be read: {shown(str(error))}.") from error
        return cls(
            model=card.text("model"),
            class_name=card.text("class"),
            index=card.whole("index"),
            schema_digest=card.text("schema_digest"),
            psi=card.text_or_none("psi"),
            scales=card.scales("scales"),
            encoder=card.encoder("encoder"),
            events=card.whole("events"),
            tenant=card.text_or_none("tenant"),
            tensors=tensors,
        )

    def under(self, head: str) -> dict[str, Array]:
        """The tensors of one head, by the rest of their names."""
        prefix = f"{head}."
        return {name.removeprefix(prefix): array for name, array in self.tensors.items() if name.startswith(prefix)}
