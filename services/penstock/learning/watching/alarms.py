"""Alarms: what is said when the errors have risen, and when the model was as good again as before."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from penstock.flow import Alarm, DriftAlarm, Json

KEPT = 32
"""The newest alarms that are remembered."""
RECOVERY_FADING = 0.99
"""Of the mean error that tells a recovery: some hundred events."""
RECOVERED_SHARE = 0.2
LEAST_MARGIN = 0.02


class Alarms:
    """The newest alarms, and of those that are still open the way back."""

    def __init__(self) -> None:
        self.count = 0
        self.newest: tuple[DriftAlarm, ...] = ()
        """Oldest first; `KEPT` at most."""
        self.label_changes: tuple[Alarm, ...] = ()
        """The newest times that labels were found to mean something else, oldest first; `KEPT` at most."""
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

    def judge(self, contradicted: Mapping[str, float]) -> tuple[DriftAlarm, ...]:
        """Say of every alarm not yet judged which classes' remembered rows contradict the new ones; returns them."""
        judged = {
            alarm.number: replace(alarm, contradicted=contradicted)
            for alarm in self.newest
            if alarm.contradicted is None
        }
        self.newest = tuple(judged.get(alarm.number, alarm) for alarm in self.newest)
        return tuple(judged.values())

    def note(self, changes: tuple[Alarm, ...], now_ms: int) -> None:
        """Remember that labels have changed their meaning."""
        if changes:
            stamped = (replace(change, at_ms=now_ms) for change in changes)
            self.label_changes = (*self.label_changes, *stamped)[-KEPT:]

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
            "label_changes": [_as_json(change) for change in self.label_changes],
            "errors": self._errors,
            "rows": self._rows,
        }

    def restore(self, state: Mapping[str, Json]) -> None:
        """Go on from `state()`. Raises `KeyError` for what is missing."""
        self.count = cast(int, state["count"])
        self.newest = tuple(DriftAlarm.from_json(alarm) for alarm in cast(list[Json], state["newest"]))
        self.label_changes = tuple(_from_json(change) for change in cast(list[Json], state["label_changes"]))
        self._errors, self._rows = cast(float, state["errors"]), cast(float, state["rows"])


def _as_json(change: Alarm) -> Json:
    return cast(Json, asdict(change) | {"classes": list(change.classes)})


def _from_json(value: Json) -> Alarm:
    fields = cast(Mapping[str, Any], value)
    return Alarm(**{**fields, "classes": tuple(fields["classes"])})
