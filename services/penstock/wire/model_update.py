"""The records of the update topic, to bytes and back: model updates, withdrawals and claims."""

import math
from typing import Annotated, TypeVar

import msgspec

from penstock.clock import from_rfc3339, to_rfc3339
from penstock.errors import InvalidEventError
from penstock.flow import Claim, LogRecord, ModelUpdate, Offsets, Withdrawal
from penstock.wire.instant import RFC3339

CLAIM_SUFFIX = "#claim"
LARGEST = 2**63 - 1

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Instant = Annotated[str, msgspec.Meta(pattern=RFC3339)]
Partition = Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,9})$")]
Positive = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
NotNegative = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]


class WeightsDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the weights are: exactly one of the two."""

    inline: bytes | None = None
    """In JSON base64 (RFC 4648, section 4)."""
    uri: Annotated[str, msgspec.Meta(min_length=1)] | None = None


class ModelUpdatedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`schemas/model-updated.schema.json`."""

    model: Annotated[str, msgspec.Meta(min_length=1)]
    version: Positive
    epoch: Positive
    sha256: Sha256
    size_bytes: NotNegative
    class_ledger_digest: Sha256
    weights: WeightsDocument
    trained_until: Instant
    announced_at: Instant
    offsets: dict[Partition, NotNegative]
    metrics: dict[str, float]
    mlflow_run_id: str | None = None
    topic_id: str | None = None
    signature: Sha256 | msgspec.UnsetType = msgspec.UNSET
    """Put there and verified by `wire.signature`, over the bytes."""


class ClaimDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`schemas/trainer-claim.schema.json`."""

    epoch: Positive
    holder: str


Document = TypeVar("Document", ModelUpdatedDocument, ClaimDocument)


def encode_record(record: LogRecord, model: str) -> tuple[bytes, bytes | None]:
    """Key and value of a record of `model`'s update topic; the value of a withdrawal is None (a tombstone).

    Metrics that are not finite are left out: JSON has no word for them.
    """
    if isinstance(record, Claim):
        document = ClaimDocument(epoch=record.epoch, holder=record.holder)
        return (model + CLAIM_SUFFIX).encode(), msgspec.json.encode(document)
    if isinstance(record, Withdrawal):
        return model.encode(), None
    return model.encode(), msgspec.json.encode(_document(record))


def decode_record(key: bytes | None, value: bytes | None) -> LogRecord:
    """The record that a message of the update topic holds.

    Raises:
        InvalidEventError: the message is no record of ours, or a field does not hold what it must.
    """
    name = _decoded_key(key)
    if name.endswith(CLAIM_SUFFIX):
        claim = _read(value, ClaimDocument, "trainer claim")
        return Claim(epoch=claim.epoch, holder=claim.holder)
    if value is None:
        return Withdrawal(model=name)
    document = _read(value, ModelUpdatedDocument, "model update")
    if document.model != name:
        raise InvalidEventError("key", f"model is {document.model!r}; it must be {name!r}, as the message's key is.")
    return _update(document)


def _document(update: ModelUpdate) -> ModelUpdatedDocument:
    return ModelUpdatedDocument(
        model=update.model,
        version=update.version,
        epoch=update.epoch,
        sha256=update.sha256,
        size_bytes=update.size_bytes,
        class_ledger_digest=update.class_ledger_digest,
        weights=WeightsDocument(inline=update.inline, uri=update.uri),
        trained_until=to_rfc3339(update.trained_until_ms),
        announced_at=to_rfc3339(update.announced_at_ms),
        offsets=update.offsets.to_json(),
        metrics={name: value for name, value in update.metrics.items() if math.isfinite(value)},
        mlflow_run_id=update.mlflow_run_id,
        topic_id=update.topic_id,
    )


def _update(document: ModelUpdatedDocument) -> ModelUpdate:
    weights = document.weights
    if (weights.inline is None) == (weights.uri is None):
        raise InvalidEventError("field", "weights must hold either 'inline' or 'uri', and not both.")
    return ModelUpdate(
        model=document.model,
        version=document.version,
        epoch=document.epoch,
        sha256=document.sha256,
        size_bytes=document.size_bytes,
        class_ledger_digest=document.class_ledger_digest,
        trained_until_ms=_instant("trained_until", document.trained_until),
        announced_at_ms=_instant("announced_at", document.announced_at),
        offsets=Offsets.from_json(document.offsets),
        metrics=document.metrics,
        mlflow_run_id=document.mlflow_run_id,
        topic_id=document.topic_id,
        inline=weights.inline,
        uri=weights.uri,
    )


def _decoded_key(key: bytes | None) -> str:
    if not key:
        raise InvalidEventError("key", "The message has no key; a record of the update topic is keyed by its model.")
    try:
        return key.decode()
    except UnicodeDecodeError:
        raise InvalidEventError("key", f"The key {key[:64]!r} is not UTF-8; it must be the model's name.") from None


def _read(value: bytes | None, kind: type[Document], what: str) -> Document:
    if value is None:
        raise InvalidEventError("decode", f"The {what} has no value; it must be a JSON object.")
    try:
        return msgspec.json.decode(value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEventError("decode", f"The {what} does not decode: {error}.") from error


def _instant(name: str, text: str) -> int:
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        raise InvalidEventError("field", f"{name} is {text!r}; it must be an RFC 3339 instant with a zone.") from None
