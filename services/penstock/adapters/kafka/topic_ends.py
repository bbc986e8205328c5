"""Where a topic begins and ends right now."""

from collections.abc import Mapping

from penstock.adapters.kafka.catalog import Catalog
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import address
from penstock.adapters.kafka.health import BrokerHealth
from penstock.adapters.kafka.topic_identity import TopicIdentity
from penstock.flow import Offsets
from penstock.trainer.resume_point import LogBounds


def read_ends(options: Mapping[str, KafkaValue], topic: str) -> Offsets:
    """The offset after the last message of every partition.

    Raises:
        ConfigurationError: there is no such topic.
        UnavailableError: no broker answers.
    """
    with Catalog(options, BrokerHealth(address(options))) as catalog:
        return Offsets(next={p: catalog.watermarks(topic, p)[1] for p in catalog.partitions(topic)})


def read_bounds(options: Mapping[str, KafkaValue], topic: str) -> tuple[Offsets, Offsets]:
    """The offset of the first message of every partition that is still there, and the one after its last.

    Raises:
        ConfigurationError: there is no such topic.
        UnavailableError: no broker answers.
    """
    with Catalog(options, BrokerHealth(address(options))) as catalog:
        return _bounds(catalog, topic)


def read_log(options: Mapping[str, KafkaValue], topic: str) -> LogBounds:
    """The same with the topic's id, which the embedded broker does not have.

    Raises:
        ConfigurationError: there is no such topic.
        UnavailableError: no broker answers.
    """
    with Catalog(options, BrokerHealth(address(options))) as catalog:
        catalog.partitions(topic)
        topic_id = None if catalog.is_embedded else TopicIdentity(options, topic).read()
        first, end = _bounds(catalog, topic)
    return LogBounds(topic=topic, topic_id=topic_id, first=first, end=end)


def _bounds(catalog: Catalog, topic: str) -> tuple[Offsets, Offsets]:
    found = {partition: catalog.watermarks(topic, partition) for partition in catalog.partitions(topic)}
    return (
        Offsets(next={partition: low for partition, (low, _) in found.items()}),
        Offsets(next={partition: high for partition, (_, high) in found.items()}),
    )
