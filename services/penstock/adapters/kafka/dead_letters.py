"""Dead letters on their way to the broker: sent at once, retried for ever, waited for before a checkpoint."""

import threading
import time
from collections.abc import Mapping
from typing import Any

import structlog
from confluent_kafka import KafkaException

from penstock import failpoints
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import address, connect_producer, producer_config
from penstock.adapters.kafka.health import BrokerHealth
from penstock.wire.dead_letter import DeadLetter

QUEUED_KILOBYTES = 64 * 1024
FULL_SECONDS = 0.1
"""How long one wait for room in a full queue lasts."""
RETRY_SECONDS = 1.0
"""librdkafka itself retries what may pass; this is the pause before what the broker has refused is sent again."""

log = structlog.get_logger(__name__)


class DeadLetters:
    """`intake.ports.DeadLetterSink` and `trainer.ports.DeadLetterOutbox`, each for a thread of its own."""

    def __init__(self, options: Mapping[str, KafkaValue], topic: str) -> None:
        self._topic = topic
        self._health = BrokerHealth(address(options))
        self._config = producer_config({"queue.buffering.max.kbytes": QUEUED_KILOBYTES, **options}) | {
            "message.timeout.ms": 0  # for ever
        }
        self._producer = connect_producer(self._config, self._health)
        self._changed = threading.Lock()
        self._outstanding: dict[int, DeadLetter] = {}
        self._refused: dict[int, DeadLetter] = {}
        self._is_broken = False
        self._sent = 0
        self._retry_due = 0.0

    def send(self, letter: DeadLetter) -> None:
        """Take one dead letter for delivery; waits only while the local queue is full."""
        with self._changed:
            self._sent += 1
            number = self._sent
            self._outstanding[number] = letter
        failpoints.reach("dead_letter.sending")
        self._produce(number, letter)
        failpoints.reach("dead_letter.sent")
        self._serve(0)

    @property
    def sent(self) -> int:
        """How many were ever sent."""
        return self._sent

    @property
    def acknowledged(self) -> int:
        """Up to which one, the first being 1, all are acknowledged."""
        with self._changed:
            return min(self._outstanding, default=self._sent + 1) - 1

    def wait_acknowledged(self, timeout_seconds: float) -> bool:
        """As `trainer.ports.DeadLetterOutbox.wait_acknowledged`."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            last = self._sent
        self._serve(0)
        while self._is_outstanding(last):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self._serve(min(remaining, FULL_SECONDS))
        return True

    def close(self) -> None:
        """Give up what is not acknowledged: the checkpoint has not moved past it, so it will be sent again."""
        self._producer.purge()
        self._producer.flush(0)

    def _is_outstanding(self, last: int) -> bool:
        with self._changed:
            return any(number <= last for number in self._outstanding)

    def _produce(self, number: int, letter: DeadLetter) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    key=letter.key,
                    value=letter.value,
                    headers=letter.headers,
                    on_delivery=lambda error, _message: self._reported(number, letter, error),
                )
            except BufferError:
                self._producer.poll(FULL_SECONDS)
            except KafkaException as error:
                self._reported(number, letter, error.args[0])
                return
            else:
                return

    def _reported(self, number: int, letter: DeadLetter, error: Any) -> None:
        """The broker has it, or has refused it; called from within `poll`."""
        with self._changed:
            if error is None:
                self._outstanding.pop(number, None)
                self._refused.pop(number, None)
            elif number in self._outstanding:
                self._refused[number] = letter
                self._is_broken = self._is_broken or error.fatal()
        if error is None:
            self._health.answered()
            failpoints.reach("dead_letter.acknowledged")
        else:
            self._health.failed(error, doing=f"for a dead letter to {self._topic!r}")

    def _serve(self, timeout_seconds: float) -> None:
        """Take in delivery reports, and send again what was refused a while ago."""
        self._producer.poll(timeout_seconds)
        with self._changed:
            if not self._refused or time.monotonic() < self._retry_due:
                return
            again, self._refused = self._refused, {}
            if self._is_broken:  # this producer will never send again
                self._producer, self._is_broken = connect_producer(self._config, self._health), False
                again = dict(self._outstanding)
            self._retry_due = time.monotonic() + RETRY_SECONDS
        for number, letter in again.items():
            self._produce(number, letter)
