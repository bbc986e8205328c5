"""Alarms: what is said when the errors have risen, and when the model was as good again as before."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from penstock.flow import Json

KEPT = 32
"""The newest alarms that are remembered."""
RECOVERY_FADING = 0.99
"""Of the mean error that tells a recovery: some hundred events."""
RECOVERED_SHARE = 0.2
LEAST_MARGIN = 0.02


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


class Alarms:
    """The newest alarms, and of those that are still open the way back."""

    def __init__(self) -> None:
        self.count = 0
        self.newest: tuple[DriftAlarm, ...] = ()
        """Oldest first; `KEPT` at most."""
        self._errors = self._rows = 0.0

    @property
    def open(self) -> tuple[DriftAlarm, ...]:
        """Those from which the model has not recovered."""
        return tuple(alarm for alarm in self.newest if alarm.recovered_after_events is None)

    def raise_(self, alarm: DriftAlarm) -> None:
        """Add one; the mean error that tells its recovery begins with the events after the change."""
        self.count = alarm.number
        self.newest = (*self.newest, alarm)[-KEPT:]
        self._rows = (1 - RECOVERY_FADING**alarm.num_after) / (1 - RECOVERY_FADING)
        self._errors = alarm.after * self._rows

    def follow(self, errors: npt.NDArray[np.bool_], *, event: int, now_ms: int) -> tuple[DriftAlarm, ...]:
        """Take in a batch's errors, counted alike; returns the alarms from which the model has now recovered."""
        if not self.open:
            return ()
        kept = RECOVERY_FADING ** len(errors)
        weight = (1 - kept) / (1 - RECOVERY_FADING)
        self._errors = self._errors * kept + float(errors.mean()) * weight
        self._rows = self._rows * kept + weight
        recovered = {
            alarm.number: replace(
                alarm,
                recovered_after_events=event - alarm.at_event,
                recovered_after_seconds=(now_ms - alarm.at_ms) / 1000,
            )
            for alarm in self.open
            if self._errors <= self._rows * (alarm.before + max(RECOVERED_SHARE * alarm.size, LEAST_MARGIN))
        }
        if recovered:
            self.newest = tuple(recovered.get(alarm.number, alarm) for alarm in self.newest)
        return tuple(recovered.values())

    def state(self) -> dict[str, Json]:
        """All of it, for a checkpoint."""
        return {
            "count": self.count,
            "newest": [alarm.to_json() for alarm in self.newest],
            "errors": self._errors,
            "rows": self._rows,
        }

    def restore(self, state: Mapping[str, Json]) -> None:
        """Go on from `state()`. Raises `KeyError` for what is missing."""
        self.count = cast(int, state["count"])
        self.newest = tuple(DriftAlarm.from_json(alarm) for alarm in cast(list[Json], state["newest"]))
        self._errors, self._rows = cast(float, state["errors"]), cast(float, state["rows"])
