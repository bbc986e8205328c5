"""A model on each broker in turn."""

import pytest

from kafka_brokers import Broker, new_name


@pytest.fixture
def model(broker: Broker) -> str:
    """A model whose topics exist."""
    name = new_name()
    broker.create_model_topics(name)
    return name
