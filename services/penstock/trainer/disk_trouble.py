"""A state folder that cannot be written, full, read-only or broken: tried again until it can, without a restart."""

from threading import Event

import structlog

from penstock.clock import Clock
from penstock.telemetry import Telemetry

RETRY_SECONDS = 1.0
"""How long after a failure the next checkpoint is tried."""
REPEAT_SECONDS = 30.0
"""How often it is said that the trouble goes on."""

log = structlog.get_logger(__name__)


class DiskTrouble:
    """Told of every outcome by the thread that writes, asked by the one that learns.

    With `pauses` nothing is learnt while the last checkpoint could not be written: a crash then costs no more work than
    before the trouble. Without, training goes on and what a crash costs grows; replicas get nothing new either way.
    """

    def __init__(self, telemetry: Telemetry, clock: Clock, *, pauses: bool) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._pauses = pauses
        self._may_learn = Event()
        self._may_learn.set()
        self._since: float | None = None
        self._said_at = 0.0
        self._retry_at = 0.0

    def failed(self, error: OSError) -> None:
        """A checkpoint was not written."""
        now = self._clock.monotonic_seconds()
        self._telemetry.count("penstock_checkpoint_failures_total")
        self._retry_at = now + RETRY_SECONDS
        if self._since is None or now - self._said_at >= REPEAT_SECONDS:
            self._said_at = now
            meanwhile = "training pauses" if self._pauses else "training goes on"
            log.error(f"checkpoint not written, trying again; {meanwhile}", reason=str(error))
        if self._since is None:
            self._since = now
        if self._pauses:
            self._may_learn.clear()

    def written(self) -> None:
        """A checkpoint was written."""
        if self._since is None:
            return
        log.info("checkpoints are written again", seconds=round(self._clock.monotonic_seconds() - self._since, 1))
        self._since = None
        self._may_learn.set()

    def seconds_until_retry(self) -> float:
        """Zero when there is no trouble, or it is time to try again."""
        return max(self._retry_at - self._clock.monotonic_seconds(), 0.0) if self._since is not None else 0.0

    def holds_up(self, timeout_seconds: float) -> bool:
        """True if nothing may be learnt yet once the timeout has passed; False at once while there is no trouble."""
        return not self._may_learn.wait(timeout_seconds)
