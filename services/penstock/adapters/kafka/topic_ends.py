"""Where a topic ends right now, for `penstock status`."""

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
