"""The weights file: safetensors, with the model card as its one piece of metadata.

One key, since safetensors writes several in no fixed order; so the same model gives the same bytes and digest.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, cast

import safetensors.numpy
from safetensors import SafetensorError

from penstock.errors import RefusedUpdateError
from penstock.features import FeatureSchema
from penstock.flow import Array, Json, Weights
from penstock.learning.encoder import EncoderConstants
from penstock.learning.ledger import ClassLedger
from penstock.learning.tensor_bytes import tensor_bytes

FORMAT = 2
HEADS = "heads."
"""Begins the name of every tensor that is not of the network."""

_METADATA_KEY = "penstock"
_HEADER_LENGTH_BYTES = 8
_NO_CARD = "The bytes are not a weights file with a model card."


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a weights file says of itself. `features` and `backbone` are compared with the reader's own, never run."""

    model: str
    features: Json
    schema_digest: str
    encoder: EncoderConstants
    backbone: Json
    ledger: ClassLedger
    heads: Json = None
    """What the mixture of heads is made of; None where the linear head answers alone."""

    def to_json(self) -> dict[str, Json]:
        """Plain values; `format` first."""
        return {
            "format": FORMAT,
            "model": self.model,
            "features": self.features,
            "schema_digest": self.schema_digest,
            "encoder": self.encoder.to_json(),
            "backbone": self.backbone,
            "heads": self.heads,
            "class_ledger": self.ledger.to_json(),
            "class_ledger_digest": self.ledger.digest,
        }


def card_of(
    model: str,
    schema: FeatureSchema,
    constants: EncoderConstants,
    backbone: Json,
    ledger: ClassLedger,
    heads: Json = None,
) -> ModelCard:
    """The card of a model as it stands."""
    return ModelCard(
        model=model,
        features=cast(Json, schema.to_json()),
        schema_digest=schema.digest,
        encoder=constants,
        backbone=backbone,
        ledger=ledger,
        heads=heads,
    )


def encode_weights(card: ModelCard, tensors: Mapping[str, Array]) -> Weights:
    """The file, put together by whoever asks for its bytes first; until then the tensors may not change."""
    metadata = {_METADATA_KEY: _canonical(card.to_json())}
    return Weights(partial(tensor_bytes, dict(tensors), metadata), class_ledger_digest=card.ledger.digest)


def has_card(content: bytes) -> bool:
    """True if a safetensors file is one of ours."""
    length = int.from_bytes(content[:_HEADER_LENGTH_BYTES], "little")
    header = json.loads(content[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + length])
    return _METADATA_KEY in (header.get("__metadata__") or {})


def read_card(content: bytes) -> ModelCard:
    """The card of a weights file.

    Raises:
        RefusedUpdateError: `format` where it does not read as such a file, `ledger` where its ledger is not one.
    """
    return _card(_card_text(content))


def read_shared_card(content: bytes) -> ModelCard:
    """As `read_card`, but files that say the same of themselves share it: it may not be changed."""
    return _shared_card(_card_text(content))


def _card(text: str) -> ModelCard:
    card = _parsed(text)
    if card.get("format") != FORMAT:
        raise RefusedUpdateError("format", f"The weights file has format {card.get('format')!r}; {FORMAT} is known.")
    try:
        ledger = ClassLedger.from_json(card["class_ledger"])
    except (KeyError, ValueError) as error:
        raise RefusedUpdateError("ledger", f"The class ledger of the weights file does not read: {error}.") from error
    if ledger.digest != card.get("class_ledger_digest"):
        raise RefusedUpdateError("ledger", "The class ledger of the weights file does not match its digest.")
    try:
        return ModelCard(
            model=card["model"],
            features=card["features"],
            schema_digest=card["schema_digest"],
            encoder=EncoderConstants.from_json(card["encoder"]),
            backbone=card["backbone"],
            ledger=ledger,
            heads=card["heads"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RefusedUpdateError("format", f"The card of the weights file does not read: {error!r}.") from error


def read_tensors(content: bytes) -> dict[str, Array]:
    """All tensors of a weights file as host arrays. Raises `RefusedUpdateError` (`format`)."""
    try:
        return cast(dict[str, Array], safetensors.numpy.load(content))
    except (SafetensorError, KeyError, ValueError) as error:
        raise RefusedUpdateError("format", f"The weights file is not whole safetensors: {error}.") from error


def model_json(weights: Weights) -> bytes:
    """`model.json`, to lie beside the weights file for people and tools: the card, and the digest of both."""
    card = _parsed(_card_text(weights.content))
    digests = {"weights": weights.sha256, "card": hashlib.sha256(_canonical(card).encode()).hexdigest()}
    return (json.dumps(card | {"sha256": digests, "size_bytes": weights.size_bytes}, indent=2) + "\n").encode()


_shared_card = lru_cache(maxsize=2)(_card)  # versions that follow each other mostly say the same


def _card_text(content: bytes) -> str:
    length = int.from_bytes(content[:_HEADER_LENGTH_BYTES], "little")
    try:
        header = json.loads(content[_HEADER_LENGTH_BYTES : _HEADER_LENGTH_BYTES + length])
        text = header["__metadata__"][_METADATA_KEY]
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedUpdateError("format", _NO_CARD) from error
    if not isinstance(text, str):
        raise RefusedUpdateError("format", _NO_CARD)
    return text


def _parsed(text: str) -> dict[str, Any]:
    try:
        card = json.loads(text)
    except ValueError as error:
        raise RefusedUpdateError("format", _NO_CARD) from error
    if not isinstance(card, dict):
        raise RefusedUpdateError("format", "The card of the weights file is not an object.")
    return card


def _canonical(value: Json | dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
