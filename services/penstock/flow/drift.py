"""What was seen to change in the stream."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from penstock.flow.values import Json


@dataclass(frozen=True, kw_only=True)
class DriftAlarm:
    """The share of wrong predictions rose from `before` to `after`, more than chance allows.

    `number` counts alarms from 1 over the life of the model. `at_ms` is the Kafka timestamp of the newest event then,
    `at_event` and `at_step` how many had been learnt; `num_after` scored events of known classes lie after the change.
    `classes` are the established ones that lost most, worst first. `recovered_after_events` and `_seconds` (by Kafka's
    timestamps) count from the alarm until the errors of the last hundred scored events or so were back within a fifth
    of the rise.
    """

    number: int
    at_ms: int
    at_event: int
    at_step: int
    before: float
    after: float
    num_after: int
    classes: tuple[str, ...]
    recovered_after_events: int | None = None
    recovered_after_seconds: float | None = None
    contradicted: Mapping[str, float] | None = None
    """Once judged: classes whose remembered rows contradict the new ones, with by how many nats they are worse."""

    @property
    def size(self) -> float:
        """By how much the share of wrong predictions rose."""
        return self.after - self.before

    def to_json(self) -> dict[str, Json]:
        """Plain values."""
        return cast(dict[str, Json], asdict(self) | {"classes": list(self.classes)})

    @classmethod
    def from_json(cls, value: Json) -> "DriftAlarm":
        """The inverse of `to_json`. Raises `TypeError` or `KeyError` for what it never wrote."""
        fields = cast(Mapping[str, Any], value)
        return cls(**{**fields, "classes": tuple(fields["classes"])})


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What one micro-batch brought to light: alarms raised, recovered from and judged, early warnings begun."""

    raised: tuple[DriftAlarm, ...] = ()
    recovered: tuple[DriftAlarm, ...] = ()
    judged: tuple[DriftAlarm, ...] = ()
    warnings: int = 0


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """The meaning of these classes' labels has changed; what was learnt of them before `began_at` is given up."""

    classes: tuple[str, ...]
    step: int
    began_at: int
    """The number of the event, counted from the first one ever learnt."""
    rows_dropped: int
    at_ms: int = 0
    """Kafka timestamp of the newest event when it was raised."""
