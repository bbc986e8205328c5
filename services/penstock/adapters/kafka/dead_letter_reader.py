"""Reads the dead-letter topic from its start to where it ends now; never waits for a letter that is not there yet."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import TopicPartition

from penstock.adapters.kafka.catalog import Catalog
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import address
from penstock.adapters.kafka.health import BrokerHealth
from penstock.adapters.kafka.stretch import FETCH_WAIT_MS, messages_between
from penstock.errors import ConfigurationError
from penstock.wire.dead_letter import CONNECT_PREFIX, REASON, original_headers
from penstock.wire.message import Headers
from penstock.wire.replay import ReplayNote, decode_note

TIMEOUT_SECONDS = 10.0

UNKNOWN = "unknown"
"""Stands for what a message that is no letter of ours does not say."""


@dataclass(frozen=True, kw_only=True)
class StoredLetter:
    """A dead letter where it lies: `headers` are the message's own followed by those that say why."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: Headers = field(repr=False)

    @property
    def place(self) -> str:
        """`PARTITION:OFFSET` in the dead-letter topic."""
        return f"{self.partition}:{self.offset}"

    @property
    def origin(self) -> tuple[str, str, str]:
        """Topic, partition and offset from which the message came."""
        return (
            self._why(CONNECT_PREFIX + "topic"),
            self._why(CONNECT_PREFIX + "partition"),
            self._why(CONNECT_PREFIX + "offset"),
        )

    @property
    def reason(self) -> str:
        """The short machine name of why it was refused."""
        return self._why(REASON)

    @property
    def sentence(self) -> str:
        """The same for a person."""
        return self._why(CONNECT_PREFIX + "exception.message")

    @property
    def note(self) -> ReplayNote | None:
        """What a replay has noted here; None for a letter."""
        return decode_note(self.value, self.headers)

    def _why(self, wanted: str) -> str:
        ours = self.headers[len(original_headers(self.headers)) :]
        return next((value.decode(errors="replace") for name, value in ours if name == wanted and value), UNKNOWN)


def read_letters(
    options: Mapping[str, KafkaValue], topic: str, starts: Mapping[int, int] | None = None
) -> Iterator[StoredLetter]:
    """The letters of one partition after the other, each from its start to its end when the first is asked for.

    Args:
        options: the `[kafka]` section.
        topic: the dead-letter topic.
        starts: by partition, the offset from which to read it; partitions not named are left out. None: everything.

    Raises:
        ConfigurationError: there is no such topic, or no such partition.
        UnavailableError: the broker does not answer, or the log has been cut meanwhile; try again.
    """
    health = BrokerHealth(address(options))
    with Catalog({"fetch.wait.max.ms": FETCH_WAIT_MS, **options}, health, timeout_seconds=TIMEOUT_SECONDS) as catalog:
        # All ends are asked for before anything is read: what a replay adds meanwhile is not part of it.
        for partition, start, end in _stretches(catalog, topic, starts):
            if start < end:
                yield from _read(catalog.consumer, TopicPartition(topic, partition, start), end, health)


def _stretches(catalog: Catalog, topic: str, starts: Mapping[int, int] | None) -> list[tuple[int, int, int]]:
    partitions = catalog.partitions(topic)
    for partition in starts or ():
        if partition not in partitions:
            raise ConfigurationError(f"{topic!r} has no partition {partition}; it has 0 to {partitions[-1]}.")
    stretches = []
    for partition in sorted(partitions if starts is None else starts):
        low, end = catalog.watermarks(topic, partition)
        stretches.append((partition, low if starts is None else max(low, starts[partition]), end))
    return stretches


def _read(consumer: Any, start: TopicPartition, end: int, health: BrokerHealth) -> Iterator[StoredLetter]:
    for message in messages_between(consumer, start, end, health, timeout_seconds=TIMEOUT_SECONDS):
        yield StoredLetter(
            partition=message.partition(),
            offset=message.offset(),
            timestamp_ms=message.timestamp()[1],
            key=message.key(),
            value=message.value(),
            headers=message.headers() or [],
        )
