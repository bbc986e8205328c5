"""Where a topic begins and ends right now."""

from collections.abc import Mapping

from penstock.adapters.kafka.catalog import Catalog
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import address
from penstock.adapters.kafka.health import BrokerHealth
from penstock.flow import Offsets


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
        found = {p: catalog.watermarks(topic, p) for p in catalog.partitions(topic)}
    return (
        Offsets(next={partition: low for partition, (low, _) in found.items()}),
        Offsets(next={partition: high for partition, (_, high) in found.items()}),
    )
