"""Says that Kafka is away: once, then every so often, and once more when it is back. Never a flood."""

from typing import Any

import structlog
from confluent_kafka import KafkaError

from penstock.clock import Clock, SystemClock

REPEAT_SECONDS = 30.0
PATIENCE_SECONDS = 0.5
"""A connection that is back within this time was never worth a line: brokers close idle ones."""

AWAY = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT)

log = structlog.get_logger(__name__)


class BrokerHealth:
    """What one client, or several that share it, has heard of the brokers at an address."""

    def __init__(self, address: str, clock: Clock | None = None) -> None:
        self.address = address
        self._clock = clock or SystemClock()
        self._away_since: float | None = None
        self._said_at: dict[str, float] = {}

    def failed(self, error: Any, doing: str = "") -> None:
        """A `KafkaError` was reported, by a callback or in place of a message; `doing` says what did not succeed."""
        if error.code() in AWAY:
            self._away()
        else:
            self._say(f"Kafka reports an error{doing and ' '}{doing}, trying again: {error.str()}", error=error.name())

    def answered(self) -> None:
        """A broker sent something."""
        if self._away_since is None:
            return
        if self._said_at:
            log.info("Kafka answers again", address=self.address, seconds=round(self._now() - self._away_since, 1))
        self._away_since = None
        self._said_at.clear()

    def _away(self) -> None:
        if self._away_since is None:
            self._away_since = self._now()
        if self._now() - self._away_since >= PATIENCE_SECONDS:
            self._say(f"Kafka does not answer at {self.address}, trying again")

    def _say(self, sentence: str, **details: str) -> None:
        said_at = self._said_at.get(sentence)
        if said_at is None or self._now() - said_at >= REPEAT_SECONDS:
            self._said_at[sentence] = self._now()
            log.warning(sentence, **details)

    def _now(self) -> float:
        return self._clock.monotonic_seconds()
