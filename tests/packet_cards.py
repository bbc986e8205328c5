"""Packets of classes that say something else of themselves than they did."""

import json
from typing import Any

from penstock.learning.packet import Packet
from penstock.learning.packet_card import METADATA_KEY
from penstock.learning.tensor_bytes import tensor_bytes


def card_of(content: bytes) -> dict[str, Any]:
    """What a packet says of itself."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    card: dict[str, Any] = json.loads(header["__metadata__"][METADATA_KEY])
    return card


def saying(content: bytes, changes: dict[str, Any]) -> bytes:
    """The same packet that says something else of itself."""
    card = json.dumps(card_of(content) | changes)
    return tensor_bytes(Packet.from_bytes(content).tensors, {METADATA_KEY: card})
