"""What the brokers say of a topic besides its messages: partitions, and where its log begins and ends."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import (
    EMBEDDED_CLUSTER_PREFIX,
    address,
    connect_consumer,
    consumer_config,
    unanswered,
)
from penstock.adapters.kafka.health import BrokerHealth
from penstock.errors import ConfigurationError, UnavailableError

MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)

WAIT_SECONDS = 0.02


class Catalog:
    """Asks for metadata over a connection that never fetches: brokers answer one request of a connection at a time.

    Used by one thread at a time. It is a consumer because only consumers can be kept from creating the topics that
    they ask about. `consumer` may be borrowed to read stretches that end, as long as none is asked for meanwhile.
    """

    def __init__(
        self, options: Mapping[str, KafkaValue], health: BrokerHealth, *, timeout_seconds: float = 5.0
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._health = health
        self._is_embedded = False
        self.consumer = connect_consumer(consumer_config(options), health)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_embedded(self) -> bool:
        """True if the last answer came from librdkafka's built-in cluster."""
        return self._is_embedded

    def partitions(self, topic: str, *, timeout_seconds: float | None = None) -> tuple[int, ...]:
        """All partitions of a topic, ascending.

        Raises:
            ConfigurationError: there is no such topic.
            UnavailableError: no broker answers, or none leads the topic yet.
        """
        found = self._ask(topic, timeout_seconds).topics[topic]
        if found.error is not None:
            if found.error.code() in MISSING:
                raise ConfigurationError(
                    f"The topic {topic!r} does not exist at {self._health.address}; "
                    "create it with `penstock topics create`."
                )
            raise UnavailableError(f"Kafka at {self._health.address} does not serve {topic!r}: {found.error.str()}.")
        return tuple(sorted(found.partitions))

    def wait_for(self, topic: str, timeout_seconds: float) -> None:
        """Return once the brokers serve a topic that was just created. Raises `UnavailableError`."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                self.partitions(topic)
            except (ConfigurationError, UnavailableError):
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"Kafka at {self._health.address} created {topic!r} but does not serve it."
                    ) from None
                time.sleep(WAIT_SECONDS)
            else:
                return

    def watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        """The log's first offset, and the one after its last. Raises `UnavailableError`."""
        self._serve_callbacks()
        try:
            low, high = self.consumer.get_watermark_offsets(
                TopicPartition(topic, partition), timeout=self._timeout_seconds, cached=False
            )
        except KafkaException as error:
            raise unanswered(error, self._health) from None
        self._health.answered()
        return low, high

    def close(self) -> None:
        """Leave the broker."""
        self.consumer.close()

    def _ask(self, topic: str, timeout_seconds: float | None) -> Any:
        self._serve_callbacks()
        try:
            metadata = self.consumer.list_topics(
                topic, timeout=self._timeout_seconds if timeout_seconds is None else timeout_seconds
            )
        except KafkaException as error:
            raise unanswered(error, self._health) from None
        self._health.answered()
        self._is_embedded = is_embedded(metadata)
        return metadata

    def _serve_callbacks(self) -> None:
        """Errors wait in the client until it is polled; nothing is assigned, so nothing else can come."""
        self.consumer.poll(0)


def require_topic(options: Mapping[str, KafkaValue], topic: str) -> None:
    """Return if there is such a topic. Raises as `Catalog.partitions`."""
    with Catalog(options, BrokerHealth(address(options))) as catalog:
        catalog.partitions(topic)


def is_embedded(metadata: Any) -> bool:
    """True if this cluster metadata is of librdkafka's built-in cluster."""
    return str(metadata.cluster_id).startswith(EMBEDDED_CLUSTER_PREFIX)
