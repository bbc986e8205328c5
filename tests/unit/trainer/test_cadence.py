"""Candidates are taken at the minimum interval, less often where taking one is slow."""

import pytest

from penstock.trainer.cadence import CAPTURE_SHARE, Cadence
from penstock.trainer.config import PublishConfig
from stepped_clock import SteppedClock


@pytest.mark.parametrize(
    ("capture_seconds", "interval_seconds"),
    [(0.0001, 0.1), (0.05, 0.05 / CAPTURE_SHARE), (0.4, 5.0)],
)
def test_the_interval_grows_with_the_cost_of_a_capture_between_its_bounds(
    capture_seconds: float, interval_seconds: float
) -> None:
    clock = SteppedClock()
    cadence = Cadence(PublishConfig(min_interval_seconds=0.1, max_interval_seconds=5.0), clock)
    assert cadence.is_due
    clock.seconds += capture_seconds
    cadence.captured(began_at_seconds=100.0)
    clock.seconds = 100.0 + interval_seconds - 0.01
    assert not cadence.is_due
    clock.seconds = 100.0 + interval_seconds + 1e-6
    assert cadence.is_due
