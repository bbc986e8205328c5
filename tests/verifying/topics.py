"""Topics as anybody can read them: whole, from their first message to the last there is now."""

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.log_reader import Entry, decoded

Place = tuple[int, int]
"""Partition and offset of a message of the label topic."""

POLL_SECONDS = 60.0
"""Only a topic that does not hold what it says keeps anybody waiting so long."""


def read_topic(options: Mapping[str, KafkaValue], topic: str) -> list[Any]:
    """All messages of a topic (`confluent_kafka.Message`), partition by partition."""
    config = {"group.id": "verifier", "enable.auto.commit": False, "enable.partition.eof": False, "log_level": 0}
    consumer = Consumer({**config, **options})
    try:
        partitions = consumer.list_topics(topic, timeout=POLL_SECONDS).topics[topic].partitions
        return [
            message for partition in sorted(partitions) for message in _read(consumer, TopicPartition(topic, partition))
        ]
    finally:
        consumer.close()


def places(messages: Iterable[Any]) -> set[Place]:
    """Where these messages stand."""
    return {(message.partition(), message.offset()) for message in messages}


def update_entries(options: Mapping[str, KafkaValue], topic: str) -> list[Entry]:
    """The update topic's records with their offsets; what does not decode is left out."""
    return [entry for message in read_topic(options, topic) if (entry := decoded(message)) is not None]


def _read(consumer: Consumer, partition: TopicPartition) -> list[Any]:
    low, end = consumer.get_watermark_offsets(partition, timeout=POLL_SECONDS)
    consumer.assign([TopicPartition(partition.topic, partition.partition, low)])
    found: list[Any] = []
    while max(consumer.position([partition])[0].offset, low) < end:
        message: Any = consumer.poll(POLL_SECONDS)
        assert message is not None, f"{partition.topic} does not hold what it says it does, up to offset {end}"
        if message.error() is None and message.offset() < end:
            found.append(message)
    return found
