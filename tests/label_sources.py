"""Topics of labels for tests of who reads them, and what they are read with."""

import time
from collections.abc import Callable

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # re-exported without __all__

from kafka_brokers import Broker, new_name, produce
from penstock.adapters.kafka.label_source import LabelSource
from penstock.adapters.kafka.local_kafka import LocalKafka
from waiting import PATIENCE_SECONDS, wait_for

OpenSource = Callable[..., LabelSource]


def topic_of(broker: Broker, *counts: int) -> str:
    """A topic with so many messages in each partition, `p<partition>-<offset>`."""
    topic = new_name()
    broker.create_topic(topic, len(counts))
    for partition, count in enumerate(counts):
        produce(broker.bootstrap_servers, topic, numbered(partition, count), partition=partition)
    return topic


def numbered(partition: int, count: int, start: int = 0) -> list[bytes | None]:
    return [f"p{partition}-{offset}".encode() for offset in range(start, start + count)]


def read(source: LabelSource, count: int, max_messages: int = 100) -> dict[int, list[bytes]]:
    """The values of the next `count` messages, by partition in the order of arrival."""
    values: dict[int, list[bytes]] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(map(len, values.values())) < count:
        assert time.monotonic() < deadline, f"only {values} came"
        for message in source.poll(max_messages, 0.5):
            values.setdefault(message.partition(), []).append(message.value())
    return values


def reaches_end(source: LabelSource, partitions: set[int]) -> None:
    """Poll until these partitions are at their end, and no message comes."""

    def at_end() -> bool:
        assert source.poll(10, 0.05) == []
        return source.partitions_at_end() == partitions

    wait_for(at_end, f"the partitions {partitions} are at their end", every_seconds=0)


def add_partition(bootstrap_servers: str, topic: str) -> None:
    """A second one, once it is served."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result(60)
    wait_for(lambda: len(admin.list_topics(topic, timeout=60).topics[topic].partitions) == 2, "both are served")


def delete_before(kafka: LocalKafka, topic: str, partition: int, offset: int) -> None:
    """What retention does, at once."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for outcome in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
        assert outcome.result(60).low_watermark == offset
