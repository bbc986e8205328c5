"""Appends records to one partition and returns when the broker has them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import connect_producer, producer_config, unanswered, wait_until_connected
from penstock.adapters.kafka.health import BrokerHealth
from penstock.errors import ConfigurationError, UnavailableError

PARTITION = 0
GRACE_SECONDS = 1.0
"""librdkafka gives up a message at its timeout, but looks only every so often."""


class AcknowledgedWriter:
    """Not thread-safe."""

    def __init__(
        self, options: Mapping[str, KafkaValue], topic: str, health: BrokerHealth, *, timeout_seconds: float
    ) -> None:
        self._config = producer_config(options) | {
            "linger.ms": 0,
            "message.timeout.ms": round(timeout_seconds * 1000),
        }
        self._topic = topic
        self._health = health
        self._timeout_seconds = timeout_seconds
        self._producer = connect_producer(self._config, health)

    def connect(self) -> None:
        """Wait for a broker, so that the first write is as quick as the next. Raises `UnavailableError`."""
        wait_until_connected(self._producer, self._topic, self._health, self._timeout_seconds)

    def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> int:
        """Append keys and values in order; returns the offset of the last once all are acknowledged.

        Raises:
            UnavailableError: not acknowledged in time; they may have arrived all the same, or still arrive.
            ConfigurationError: one is larger than the topic takes.
        """
        reports: list[tuple[Any, int]] = []
        for key, value in records:
            self._produce(key, value, reports)
        self._wait_for(reports, len(records))
        for error, _ in reports:
            if error is not None:
                self._raise(error, max(len(value or b"") for _, value in records))
        self._health.answered()
        return reports[-1][1]

    def close(self) -> None:
        """Leave the broker; nothing waits to be sent."""
        self._producer.purge()
        self._producer.flush(0)

    def _produce(self, key: bytes, value: bytes | None, reports: list[tuple[Any, int]]) -> None:
        try:
            self._producer.produce(
                self._topic,
                key=key,
                value=value,
                partition=PARTITION,
                on_delivery=lambda error, message: reports.append((error, message.offset())),
            )
        except BufferError:
            raise UnavailableError(
                f"Kafka does not answer at {self._health.address}: too much waits to be sent."
            ) from None
        except KafkaException as error:
            self._raise(error.args[0], len(value or b""))

    def _wait_for(self, reports: list[tuple[Any, int]], count: int) -> None:
        deadline = time.monotonic() + self._timeout_seconds + GRACE_SECONDS
        while len(reports) < count:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise UnavailableError(
                    f"Kafka at {self._health.address} has not acknowledged within {self._timeout_seconds} s."
                )
            self._producer.poll(remaining)

    def _raise(self, error: Any, num_bytes: int) -> None:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            raise ConfigurationError(
                f"A record of {num_bytes:,} bytes is larger than the topic {self._topic!r} takes; lower "
                "publish.inline_max_bytes, or raise the topic's max.message.bytes."
            )
        if error.fatal():  # this producer will never send again
            self._producer = connect_producer(self._config, self._health)
        raise unanswered(KafkaException(error), self._health)
