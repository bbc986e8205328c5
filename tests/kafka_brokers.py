"""Brokers for tests: what a test may ask of the embedded and of the real one alike."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from embedded_brokers import RunningBroker
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.topics import create_topics
from waiting import wait_for


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A running broker."""

    kind: Literal["embedded", "kafka"]
    bootstrap_servers: str
    create_topic: Callable[[str, int], None]
    create_model_topics: Callable[..., None]
    """Of a model, with `label_partitions` (3)."""

    @property
    def options(self) -> dict[str, KafkaValue]:
        """The `[kafka]` section that leads here."""
        return {"bootstrap.servers": self.bootstrap_servers}


def embedded(running: RunningBroker) -> Broker:
    """The embedded broker as a test sees it."""

    def create_model_topics(model: str, label_partitions: int = 3) -> None:
        names = TopicNames(model)
        for topic, partitions in ((names.labels, label_partitions), (names.updates, 1), (names.dead_letters, 1)):
            running.create_topic(topic, partitions)

    return Broker(
        kind="embedded",
        bootstrap_servers=running.bootstrap_servers,
        create_topic=running.create_topic,
        create_model_topics=create_model_topics,
    )


def real(running: LocalKafka) -> Broker:
    """The real one as a test sees it."""
    servers = running.bootstrap_servers
    return Broker(
        kind="kafka",
        bootstrap_servers=servers,
        create_topic=lambda name, partitions: create_topic(servers, name, partitions),
        create_model_topics=lambda model, label_partitions=3: create_model_topics(servers, model, label_partitions),
    )


def create_model_topics(bootstrap_servers: str, model: str, label_partitions: int = 3) -> None:
    """The three topics of a model, as `penstock topics create` makes them; on the real broker."""
    findings = create_topics({"bootstrap.servers": bootstrap_servers}, model, partitions=label_partitions)
    assert all(finding.ok for finding in findings), findings


def create_topic(
    bootstrap_servers: str, name: str, partitions: int, settings: Mapping[str, str | int] | None = None
) -> None:
    """One topic with settings of its own; on the real broker."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    config = {key: str(value) for key, value in (settings or {}).items()}
    for outcome in admin.create_topics([NewTopic(name, partitions, 1, config=config)]).values():
        outcome.result(60)
    wait_for(lambda: name in admin.list_topics(timeout=60).topics, f"{name} is served", every_seconds=0.01)


def take_messages_up_to(num_bytes: int, bootstrap_servers: str, topic: str) -> None:
    """Larger ones are refused from now on; on the real broker."""
    entry = ConfigEntry("max.message.bytes", str(num_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    for outcome in admin.incremental_alter_configs([resource]).values():
        outcome.result(10)


def produce(
    bootstrap_servers: str,
    topic: str,
    values: Iterable[bytes | None],
    *,
    partition: int = 0,
    key: bytes | None = None,
) -> None:
    """Send values to one partition and wait until all are acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "log_level": 0, "linger.ms": 2})
    failures: list[object] = []
    for value in values:
        producer.produce(
            topic,
            value,
            key=key,
            partition=partition,
            on_delivery=lambda error, _message: failures.append(error) if error else None,
        )
    assert producer.flush(60) == 0
    assert not failures


def new_name() -> str:
    """A model or topic name nobody else uses."""
    return f"t-{uuid.uuid4().hex[:10]}"
