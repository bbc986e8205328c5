"""How often a candidate is taken."""

from penstock.clock import Clock
from penstock.trainer.config import PublishConfig

CAPTURE_SHARE = 0.05
"""Taking candidates may cost the training thread this share of its time, before the interval grows."""


class Cadence:
    """Due every `min_interval_seconds`; where capturing is slow, less often, down to every `max_interval_seconds`."""

    def __init__(self, config: PublishConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._interval_seconds = config.min_interval_seconds
        self._due_at = clock.monotonic_seconds()

    @property
    def is_due(self) -> bool:
        """True once the interval since the last capture has passed."""
        return self.seconds_until_due() <= 0

    def seconds_until_due(self) -> float:
        """Zero if it is due."""
        return max(self._due_at - self._clock.monotonic_seconds(), 0.0)

    def captured(self, *, began_at_seconds: float) -> None:
        """Note a capture that began at this monotonic time and has just ended."""
        seconds = self._clock.monotonic_seconds() - began_at_seconds
        wanted = seconds / CAPTURE_SHARE
        self._interval_seconds = min(max(wanted, self._config.min_interval_seconds), self._config.max_interval_seconds)
        self._due_at = began_at_seconds + self._interval_seconds
