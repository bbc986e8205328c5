"""The records of the update topic, to bytes and back: model updates, deltas, withdrawals, claims, what is recorded."""

import math
from contextlib import suppress
from dataclasses import asdict
from typing import Any, TypeVar

import msgspec

from penstock.clock import from_rfc3339, to_rfc3339
from penstock.errors import InvalidEventError
from penstock.flow import Claim, Delta, LogRecord, ModelUpdate, Offsets, Recorded, Withdrawal
from penstock.make_way import MakeWay, go_on
from penstock.wire.inline_weights import CUT_BYTES, PIECE, cut_out, read_in_pieces
from penstock.wire.update_documents import (
    AnnouncedDocument,
    BaseDocument,
    ClaimDocument,
    ModelDeltaDocument,
    ModelUpdatedDocument,
    RecordedDocument,
    WeightsDocument,
)

CLAIM_SUFFIX = "#claim"
DELTA_SUFFIX = "#delta"
RECORDED_SUFFIX = "#recorded"
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Document = TypeVar("Document", ModelUpdatedDocument, ModelDeltaDocument, RecordedDocument, ClaimDocument)


def encode_record(record: LogRecord, model: str) -> tuple[bytes, bytes | None]:
    """Key and value of a record of `model`'s update topic; the value of a withdrawal is None (a tombstone).

    Metrics that are not finite are left out: JSON has no word for them.
    """
    if isinstance(record, Claim):
        document = ClaimDocument(epoch=record.epoch, holder=record.holder)
        return (model + CLAIM_SUFFIX).encode(), msgspec.json.encode(document)
    if isinstance(record, Withdrawal):
        return model.encode(), None
    if isinstance(record, Recorded):
        return (model + RECORDED_SUFFIX).encode(), msgspec.json.encode(_recorded_document(record))
    if record.delta is not None:
        return (model + DELTA_SUFFIX).encode(), msgspec.json.encode(_delta_document(record, record.delta))
    return model.encode(), msgspec.json.encode(_document(record))


def decode_record(key: bytes | None, value: bytes | None, make_way: MakeWay = go_on) -> LogRecord:
    """The record that a message of the update topic holds.

    Between steps of a fraction of a millisecond each, `make_way` is called.

    Raises:
        InvalidEventError: the message is no record of ours, or a field does not hold what it must.
    """
    name = _decoded_key(key)
    if name.endswith(CLAIM_SUFFIX):
        claim = _read(value, ClaimDocument, "trainer claim")
        return Claim(epoch=claim.epoch, holder=claim.holder)
    if name.endswith(DELTA_SUFFIX):
        delta = _read(value, ModelDeltaDocument, "model delta")
        _check_model(delta.model, name.removesuffix(DELTA_SUFFIX))
        return _update(delta, delta=_delta(delta))
    if name.endswith(RECORDED_SUFFIX):
        recorded = _read(value, RecordedDocument, "record of a version")
        _check_model(recorded.model, name.removesuffix(RECORDED_SUFFIX))
        return Recorded(**msgspec.structs.asdict(recorded))
    if value is None:
        return Withdrawal(model=name)
    document, inline = _read_update(value, make_way)
    uri = document.weights.uri
    _check_model(document.model, name)
    if (inline is None) == (uri is None):
        raise InvalidEventError("field", "weights must hold either 'inline' or 'uri', and not both.")
    return _update(document, inline=inline, uri=uri)


def _read_update(value: bytes, make_way: MakeWay) -> tuple[ModelUpdatedDocument, bytes | memoryview | None]:
    """The update, and its weights if they are inline: read piece by piece where that can be done."""
    if len(value) > PIECE and (cut := cut_out(value)) is not None:
        make_way()
        with suppress(*MALFORMED):  # read whole it says what is wrong with it
            document = msgspec.json.decode(cut[0], type=ModelUpdatedDocument)
            inline = read_in_pieces(cut[1], make_way) if document.weights.inline == CUT_BYTES else None
            if inline is not None:
                return document, inline
    document = _read(value, ModelUpdatedDocument, "model update")
    return document, document.weights.inline


def _check_model(model: str, name: str) -> None:
    if model != name:
        raise InvalidEventError("key", f"model is {model!r}; it must be {name!r}, as the message's key is.")


def _document(update: ModelUpdate) -> ModelUpdatedDocument:
    inline = None if update.inline is None else bytes(update.inline)
    weights = WeightsDocument(inline=inline, uri=update.uri)
    return ModelUpdatedDocument(weights=weights, **_announced(update))


def _delta_document(update: ModelUpdate, delta: Delta) -> ModelDeltaDocument:
    base = BaseDocument(
        version=delta.base_version, sha256=delta.base_sha256, size_bytes=delta.base_size_bytes, uri=delta.base_uri
    )
    return ModelDeltaDocument(base=base, delta=delta.content, **_announced(update))


def _recorded_document(recorded: Recorded) -> RecordedDocument:
    return RecordedDocument(**asdict(recorded))


def _announced(update: ModelUpdate) -> dict[str, Any]:
    return {
        "model": update.model,
        "version": update.version,
        "epoch": update.epoch,
        "sha256": update.sha256,
        "size_bytes": update.size_bytes,
        "class_ledger_digest": update.class_ledger_digest,
        "trained_until": to_rfc3339(update.trained_until_ms),
        "announced_at": to_rfc3339(update.announced_at_ms),
        "offsets": update.offsets.to_json(),
        "metrics": {name: value for name, value in update.metrics.items() if math.isfinite(value)},
        "mlflow_run_id": update.mlflow_run_id,
        "topic_id": update.topic_id,
    }


def _delta(document: ModelDeltaDocument) -> Delta:
    base = document.base
    return Delta(
        content=document.delta,
        base_version=base.version,
        base_sha256=base.sha256,
        base_size_bytes=base.size_bytes,
        base_uri=base.uri,
    )


def _update(
    document: AnnouncedDocument,
    *,
    inline: bytes | memoryview | None = None,
    uri: str | None = None,
    delta: Delta | None = None,
) -> ModelUpdate:
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
        inline=inline,
        uri=uri,
        delta=delta,
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
    except MALFORMED as error:
        raise InvalidEventError("decode", f"The {what} does not decode: {error}.") from error


def _instant(name: str, text: str) -> int:
    try:
        return from_rfc3339(text)
    except (ValueError, OverflowError):
        raise InvalidEventError("field", f"{name} is {text!r}; it must be an RFC 3339 instant with a zone.") from None
