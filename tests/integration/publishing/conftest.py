"""A publisher for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_brokers import RunningBroker
from kafka_brokers import embedded as embedded_as_broker
from publisher_bench import Bench


@pytest.fixture
def made(embedded_broker: RunningBroker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A publisher of a model nobody else uses."""
    broker = embedded_as_broker(embedded_broker)
    model = f"m-{tmp_path.name}"
    broker.create_model_topics(model)
    bench = Bench(broker, tmp_path, model, last_offsets=getattr(request, "param", None))
    yield bench
    bench.close()
