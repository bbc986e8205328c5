"""Sends labelled events and keeps count of what the broker has acknowledged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException

from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import address, connect_producer, producer_config
from penstock.adapters.kafka.health import BrokerHealth

DELIVERY_SECONDS = 30
"""A message not acknowledged by then has failed; the caller is told."""

ANY_PARTITION = -1
"""Which one the key decides, or librdkafka where there is none."""


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One message on its way to the label topic, holding `num_events` events.

    `headers` go as they are; `content_type` becomes one behind them, unless None: for a message that has its own.
    """

    value: bytes | None = field(repr=False)
    content_type: str | None
    num_events: int
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int = ANY_PARTITION


class LabelProducer:
    """Not thread-safe; `events_delivered` and `first_failure` move in `send` and `flush`."""

    def __init__(self, options: Mapping[str, KafkaValue], topic: str) -> None:
        """Raises `ConfigurationError` where librdkafka takes an option not at all, or not for a producer."""
        config = producer_config(options) | {"linger.ms": 5, "message.timeout.ms": DELIVERY_SECONDS * 1000}
        self._producer = connect_producer(config, BrokerHealth(address(options)))
        self._topic = topic
        self.events_delivered = 0
        self.first_failure: str | None = None

    def send(self, message: Outgoing, on_acknowledged: Callable[[int, int], None] | None = None) -> None:
        """Queue one message; waits while the local queue is full. One that cannot be queued at all has failed.

        `on_acknowledged(partition, offset)` is called from a later `send` or `flush`.
        """
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    value=message.value,
                    key=message.key,
                    partition=message.partition,
                    headers=_headers(message),
                    on_delivery=lambda error, report: self._delivered(error, report, message, on_acknowledged),
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:  # it is larger than `message.max.bytes`, or the producer is broken
                self._delivered(error.args[0], None, message, on_acknowledged)
                return
            else:
                self._producer.poll(0)
                return

    def flush(self, timeout_seconds: float) -> bool:
        """True once everything sent has been acknowledged or has failed for good."""
        return int(self._producer.flush(timeout_seconds)) == 0

    def _delivered(
        self, error: Any, report: Any, message: Outgoing, on_acknowledged: Callable[[int, int], None] | None
    ) -> None:
        if error is None:
            self.events_delivered += message.num_events
            if on_acknowledged is not None:
                on_acknowledged(report.partition(), report.offset())
        elif self.first_failure is None:
            self.first_failure = str(error.str())


def _headers(message: Outgoing) -> list[tuple[str, str | bytes | None]]:
    if message.content_type is None:
        return [*message.headers]
    return [*message.headers, ("content-type", message.content_type.encode())]
