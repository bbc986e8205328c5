"""A model on each broker in turn, and sources that are closed at the end."""

from collections.abc import Iterator
from typing import Any

import pytest

from kafka_brokers import Broker, new_name
from label_sources import OpenSource
from penstock.adapters.kafka.label_source import LabelSource
from waiting import PATIENCE_SECONDS


@pytest.fixture
def model(broker: Broker) -> str:
    """A model whose topics exist."""
    name = new_name()
    broker.create_model_topics(name)
    return name


@pytest.fixture
def open_source() -> Iterator[OpenSource]:
    """Makes sources of labels, and closes them at the end."""
    sources: list[LabelSource] = []

    def make(
        bootstrap_servers: str, topic: str, timeout_seconds: float = PATIENCE_SECONDS, **arguments: Any
    ) -> LabelSource:
        options = {"bootstrap.servers": bootstrap_servers}
        source = LabelSource(options, topic, "group", timeout_seconds=timeout_seconds, **arguments)
        sources.append(source)
        return source

    yield make
    for source in sources:
        source.close()
