"""The records of the update topic: how a version reaches the replicas."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.flow.label_log import Offsets


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What changed since the whole weights that an earlier update announced by URI, and where these are."""

    content: bytes = field(repr=False)
    base_version: int
    base_sha256: str
    base_size_bytes: int
    base_uri: str


@dataclass(frozen=True, kw_only=True)
class ModelUpdate:
    """A model-updated event on the update topic; exactly one of `inline`, `uri` and `delta` is set.

    Its key is `<model>`, or `<model>#delta` with a delta, so that compaction keeps the newest whole one beside it.
    `sha256` and `size_bytes` are of the whole weights file, however it travels.
    """

    model: str
    version: int
    epoch: int
    sha256: str
    size_bytes: int
    class_ledger_digest: str
    trained_until_ms: int
    announced_at_ms: int
    offsets: Offsets
    metrics: Mapping[str, float]
    mlflow_run_id: str | None = None
    inline: bytes | memoryview | None = field(default=None, repr=False)
    uri: str | None = None
    topic_id: str | None = None
    """Of the label topic that the offsets are of, where brokers have one."""
    delta: Delta | None = None
    is_checked: bool = field(default=False, repr=False, compare=False)
    """Whoever read it from the topic has seen that size and sha256 of `inline` are those announced, all finite."""

    def __post_init__(self) -> None:
        if [self.inline, self.uri, self.delta].count(None) != 2:
            raise ValueError("a model update carries its weights either inline or by URI or as a delta")


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """A tombstone under the model's key: the model is withdrawn; replicas keep serving and flag it."""

    model: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A trainer's claim to be the one writer: key `<model>#claim`. A higher epoch wins."""

    epoch: int
    holder: str


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """MLflow has a version on record: key `<model>#recorded`. `mlflow_version` is its number in the registry."""

    model: str
    version: int
    epoch: int
    sha256: str
    mlflow_version: str


LogRecord = ModelUpdate | Withdrawal | Claim | Recorded
"""What the update topic holds, decoded."""
