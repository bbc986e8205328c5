"""A packet: one class without its data, a few KB that wake it months later, or elsewhere.

A safetensors file. Its metadata says what it is of; reading one never executes code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote

import safetensors.numpy
from safetensors import SafetensorError

from penstock.errors import InvalidEventError
from penstock.flow import Array, Json
from penstock.learning.encoder import EncoderConstants
from penstock.learning.tensor_bytes import tensor_bytes

FORMAT = 1
MOST_BYTES = 640 * 1024
"""A packet must fit into a Kafka message of the usual size, in base64."""

_METADATA_KEY = "penstock.packet"
_HEADER_LENGTH_BYTES = 8
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
        return tensor_bytes(self.tensors, {_METADATA_KEY: text})

    @classmethod
    def from_bytes(cls, content: bytes) -> "Packet":
        """The inverse of `to_bytes`.

        Raises:
            InvalidEventError: it is no packet, or not a whole one.
        """
        if len(content) > MOST_BYTES:
            raise _refused(f"The packet has {len(content)} bytes; it may have {MOST_BYTES}.")
        card = _card(content)
        if card.get("format") != FORMAT:
            raise _refused(f"The packet has format {card.get('format')!r}; this release reads {FORMAT}.")
        try:
            tensors = cast(dict[str, Array], safetensors.numpy.load(content))
            return cls(
                model=str(card["model"]),
                class_name=str(card["class"]),
                index=int(card["index"]),
                schema_digest=str(card["schema_digest"]),
                psi=None if card["psi"] is None else str(card["psi"]),
                scales={str(name): (float(one), float(other)) for name, (one, other) in card["scales"].items()},
                encoder=EncoderConstants.from_json(card["encoder"]),
                events=int(card["events"]),
                tenant=None if card["tenant"] is None else str(card["tenant"]),
                tensors=tensors,
            )
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise _refused(f"The packet is not whole: {error!r}.") from error

    def under(self, head: str) -> dict[str, Array]:
        """The tensors of one head, by the rest of their names."""
        prefix = f"{head}."
        return {name.removeprefix(prefix): array for name, array in self.tensors.items() if name.startswith(prefix)}


def _card(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:_HEADER_LENGTH_BYTES], "little")
    try:
        header = json.loads(content[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + length])
        card: Json = json.loads(header["__metadata__"][_METADATA_KEY])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused("The bytes are not a packet of a class.") from error
    if not isinstance(card, dict):
        raise _refused("What the packet says of itself is not an object.")
    return card


def _refused(sentence: str) -> InvalidEventError:
    return InvalidEventError("control", sentence)
