"""Places in the label topic: how far a model has read it, and what it has let go of."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

from penstock.flow.values import Json


@dataclass(frozen=True, kw_only=True)
class Offsets:
    """The next offset to read, per partition of the label topic. Never the last one read."""

    next: Mapping[int, int] = field(default_factory=dict)

    def __getitem__(self, partition: int) -> int:
        return self.next.get(partition, 0)

    def advanced_to(self, later: "Offsets") -> "Offsets":
        """These offsets with every partition of `later` replaced by its value there."""
        return Offsets(next={**self.next, **later.next})

    def is_ahead_of(self, other: "Offsets") -> bool:
        """True if nothing is behind `other` and something is further."""
        partitions = set(self.next) | set(other.next)
        return all(self[p] >= other[p] for p in partitions) and any(self[p] > other[p] for p in partitions)

    def to_json(self) -> dict[str, int]:
        return {str(partition): offset for partition, offset in sorted(self.next.items())}

    @classmethod
    def from_json(cls, value: Mapping[str, int]) -> "Offsets":
        return cls(next={int(partition): offset for partition, offset in value.items()})


LossReason = Literal["retention", "truncated", "made-anew"]


@dataclass(frozen=True, kw_only=True)
class AcceptedLoss:
    """Events of a partition that an operator let go of: the model goes on at `resumed_at` instead of `wanted`.

    `retention`: the log began later than wanted. `truncated`: it ended earlier. `made-anew`: it is of another topic, so
    how many events of the old one were not yet learnt nobody knows (`num_events` is None).
    """

    partition: int
    wanted: int
    resumed_at: int
    reason: LossReason
    num_events: int | None
    accepted_at_ms: int


@dataclass(frozen=True, kw_only=True)
class LabelLog:
    """Which log a model has learnt: the topic's id (KIP-516), None where brokers have none, and what was let go of it.

    Offsets mean nothing in another topic of the same name.
    """

    topic_id: str | None = None
    losses: tuple[AcceptedLoss, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Plain values."""
        return {"topic_id": self.topic_id, "losses": [cast(dict[str, Json], asdict(loss)) for loss in self.losses]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "LabelLog":
        """The inverse of `to_json`. Raises `TypeError` or `KeyError` for what it never wrote."""
        return cls(topic_id=value["topic_id"], losses=tuple(AcceptedLoss(**loss) for loss in value["losses"]))


@dataclass(frozen=True, kw_only=True)
class EventPlace:
    """Where an event stands in the log; `row` is its position within its message."""

    topic: str
    partition: int
    offset: int
    row: int = 0
