"""Predictions on their way to the prediction topic: given up where the broker does not take them in time."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException

from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import address, connect_producer, producer_config
from penstock.adapters.kafka.health import BrokerHealth
from penstock.telemetry import Telemetry

LINGER_MS = 20
QUEUED_KILOBYTES = 32 * 1024
FULL_SECONDS = 0.1
"""How long one wait for room in a full queue lasts."""
DELIVERY_SECONDS = 30
"""A prediction not acknowledged by then is dropped."""


class KafkaPredictionSink:
    """`serving.ports.PredictionSink`."""

    def __init__(self, options: Mapping[str, KafkaValue], topic: str, telemetry: Telemetry) -> None:
        self._topic = topic
        self._telemetry = telemetry
        self._health = BrokerHealth(address(options))
        defaults: Mapping[str, KafkaValue] = {
            "linger.ms": LINGER_MS,
            "compression.type": "lz4",
            "queue.buffering.max.kbytes": QUEUED_KILOBYTES,
        }
        self._config = producer_config({**defaults, **options}) | {"message.timeout.ms": DELIVERY_SECONDS * 1000}
        self._producer = connect_producer(self._config, self._health)
        self._is_closing = False
        self._is_broken = False

    def send(self, key: bytes, value: bytes) -> None:
        """As `serving.ports.PredictionSink.send`; waits while the local queue is full."""
        if self._is_broken:
            self._producer, self._is_broken = connect_producer(self._config, self._health), False
        while not self._is_closing:
            try:
                self._producer.produce(self._topic, key=key, value=value, on_delivery=self._reported)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(FULL_SECONDS)
            except KafkaException as error:
                self._reported(error.args[0], None)
                return

    def serve(self) -> None:
        """As `serving.ports.PredictionSink.serve`."""
        self._producer.poll(0)

    def flush(self, timeout_seconds: float) -> None:
        """As `serving.ports.PredictionSink.flush`; a `send` that waits gives up."""
        self._is_closing = True
        self._producer.flush(timeout_seconds)

    def close(self) -> None:
        """As `serving.ports.PredictionSink.close`."""
        self._producer.purge()
        self._producer.flush(0)

    def _reported(self, error: Any, _message: object) -> None:
        """The broker has it, or it was given up; called from within `poll`."""
        if error is None:
            self._telemetry.count("penstock_predictions_logged_total")
            self._health.answered()
        else:
            self._telemetry.count("penstock_predictions_dropped_total", reason="delivery")
            self._health.failed(error, doing=f"for a prediction to {self._topic!r}")
            self._is_broken = self._is_broken or error.fatal()
