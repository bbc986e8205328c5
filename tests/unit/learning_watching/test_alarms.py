"""An alarm is open until the errors are back, and the way back is measured."""

import json
from dataclasses import replace

import numpy as np
import pytest

from penstock.flow import DriftAlarm
from penstock.learning.watching.alarms import KEPT, Alarms

ALARM = DriftAlarm(
    number=1, at_ms=5_000, at_event=1_000, at_step=40, before=0.1, after=0.5, num_after=60, classes=("b", "a")
)


def follow(alarms: Alarms, rate: float, first: int, last: int, batch: int = 20) -> list[DriftAlarm]:
    """Events from `first` to `last`, one a millisecond; returns what was recovered from."""
    recovered: list[DriftAlarm] = []
    for event in range(first + batch, last + 1, batch):
        errors = np.arange(batch) < round(rate * batch)
        recovered.extend(alarms.follow(errors, event=event, now_ms=4_000 + event))
    return recovered


def test_an_alarm_is_open_until_most_of_the_rise_is_gone() -> None:
    alarms = Alarms()
    alarms.raise_(ALARM)
    assert follow(alarms, 0.5, 1_000, 3_000) == []
    assert alarms.open == (ALARM,)
    (recovered,) = follow(alarms, 0.1, 3_000, 6_000)
    assert recovered.recovered_after_events is not None
    assert 2_000 < recovered.recovered_after_events < 2_400
    assert recovered.recovered_after_seconds == pytest.approx(recovered.recovered_after_events / 1000)
    assert not alarms.open
    assert alarms.newest == (recovered,)


def test_an_alarm_raised_at_once_is_not_taken_for_recovered() -> None:
    """Few errors lie after the change yet; a mean that still held those before it would be back already."""
    alarms = Alarms()
    alarms.raise_(replace(ALARM, before=0.0, after=0.9, num_after=8))
    assert follow(alarms, 0.9, 1_000, 1_400) == []


def test_only_the_newest_alarms_are_remembered_but_all_are_counted() -> None:
    alarms = Alarms()
    for number in range(1, KEPT + 6):
        alarms.raise_(replace(ALARM, number=number))
    assert alarms.count == KEPT + 5
    assert [alarm.number for alarm in alarms.newest] == list(range(6, KEPT + 6))


def test_alarms_survive_a_checkpoint() -> None:
    alarms, restored = Alarms(), Alarms()
    alarms.raise_(ALARM)
    follow(alarms, 0.3, 1_000, 1_040)
    restored.restore(json.loads(json.dumps(alarms.state())))
    assert restored.newest == alarms.newest
    assert follow(restored, 0.1, 1_040, 4_000) == follow(alarms, 0.1, 1_040, 4_000) != []
    assert restored.state() == alarms.state()
