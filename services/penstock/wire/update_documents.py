"""What the records of the update topic look like as JSON; `schemas/` says the same to others."""

from typing import Annotated

import msgspec

from penstock.wire.instant import RFC3339

LARGEST = 2**63 - 1

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Instant = Annotated[str, msgspec.Meta(pattern=RFC3339)]
Partition = Annotated[str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,9})$")]
Positive = Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]


class WeightsDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the weights are: exactly one of the two."""

    inline: bytes | None = None
    """In JSON base64 (RFC 4648, section 4)."""
    uri: Name | None = None


class BaseDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The whole weights that a delta builds on."""

    version: Positive
    sha256: Sha256
    size_bytes: NotNegative
    uri: Name


class AnnouncedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What every update says, however its weights travel."""

    model: Name
    version: Positive
    epoch: Positive
    sha256: Sha256
    size_bytes: NotNegative
    class_ledger_digest: Sha256
    trained_until: Instant
    announced_at: Instant
    offsets: dict[Partition, NotNegative]
    metrics: dict[str, float]
    mlflow_run_id: str | None = None
    topic_id: str | None = None
    signature: Sha256 | msgspec.UnsetType = msgspec.UNSET
    """Put there and verified by `wire.signature`, over the bytes."""


class ModelUpdatedDocument(AnnouncedDocument, frozen=True, kw_only=True):
    """`schemas/model-updated.schema.json`."""

    weights: WeightsDocument


class ModelDeltaDocument(AnnouncedDocument, frozen=True, kw_only=True):
    """`schemas/model-delta.schema.json`."""

    base: BaseDocument
    delta: bytes


class RecordedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`schemas/version-recorded.schema.json`."""

    model: Name
    version: Positive
    epoch: Positive
    sha256: Sha256
    mlflow_version: Name


class ClaimDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`schemas/trainer-claim.schema.json`."""

    epoch: Positive
    holder: str
