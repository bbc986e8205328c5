"""What a trainer does while its state folder cannot be written: one line, one try a second, and a pause if wanted."""

import errno

from structlog.testing import capture_logs

from counted_telemetry import CountedTelemetry
from penstock.trainer.disk_trouble import DiskTrouble
from stepped_clock import SteppedClock

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_it_is_said_at_once_and_then_every_half_minute_and_once_more_when_it_is_over() -> None:
    clock, telemetry = SteppedClock(), CountedTelemetry("trainer")
    trouble = DiskTrouble(telemetry, clock, pauses=False)
    with capture_logs() as lines:
        trouble.written()
        for _ in range(62):
            trouble.failed(FULL)
            clock.seconds += 1.0
        trouble.written()
        trouble.written()
    assert [(line["log_level"], line["event"]) for line in lines] == [
        *[("error", "checkpoint not written, trying again; training goes on")] * 3,
        ("info", "checkpoints are written again"),
    ]
    assert lines[-1]["seconds"] == 62.0
    assert telemetry.value("penstock_checkpoint_failures_total") == 62


def test_the_next_try_is_a_second_after_a_failure() -> None:
    clock = SteppedClock()
    trouble = DiskTrouble(CountedTelemetry("trainer"), clock, pauses=False)
    assert trouble.seconds_until_retry() == 0
    trouble.failed(FULL)
    assert trouble.seconds_until_retry() == 1.0
    clock.seconds += 1.0
    assert trouble.seconds_until_retry() == 0


def test_learning_waits_only_where_it_is_to_pause() -> None:
    for pauses in (False, True):
        trouble = DiskTrouble(CountedTelemetry("trainer"), SteppedClock(), pauses=pauses)
        assert not trouble.holds_up(0.0)
        trouble.failed(FULL)
        assert trouble.holds_up(0.0) == pauses
        trouble.written()
        assert not trouble.holds_up(0.0)
