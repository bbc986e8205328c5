"""Brokers that live as long as the whole run."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import kafka_brokers
import nursery as nurseries
from embedded_brokers import RunningBroker, embedded_broker_process
from kafka_brokers import Broker
from kafka_jars import CACHE_DIRECTORY
from mlflow_servers import MlflowServer, mlflow_server
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.local_kafka_jars import resolve

# However busy a machine is, an example may take as long as it takes, and every run tries the same ones:
# `--hypothesis-profile=exploring` tries others.
PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": (HealthCheck.too_slow,)}
settings.register_profile("exploring", derandomize=False, **PATIENT)
settings.register_profile("repeatable", derandomize=True, **PATIENT)
settings.load_profile("repeatable")

FAST_CLEANER = {"log.cleaner.backoff.ms": 200}
"""So that a test of a compacted topic need not wait for 15 s."""


@pytest.fixture(scope="session")
def kafka_libs() -> Path:
    """Apache Kafka's jars."""
    return resolve(CACHE_DIRECTORY)


@pytest.fixture(scope="session")
def kafka(kafka_libs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A real Apache Kafka, shared: give topics names of their own."""
    with LocalKafka(tmp_path_factory.mktemp("kafka"), libs=kafka_libs, properties=FAST_CLEANER) as running:
        yield running


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[RunningBroker]:
    """The embedded broker, shared: give topics names of their own."""
    with embedded_broker_process() as running:
        yield running


@pytest.fixture(params=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each broker in turn, for what both must do."""
    if request.param == "embedded":
        return kafka_brokers.embedded(request.getfixturevalue("embedded_broker"))
    return kafka_brokers.real(request.getfixturevalue("kafka"))


@pytest.fixture
def unused_address() -> Iterator[str]:
    """An address at which nothing answers, and nothing else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(scope="session")
def nursery() -> Iterator[nurseries.Nursery]:
    """Starts `penstock` by forking, without paying for its imports each time."""
    with nurseries.nursery() as running:
        yield running


@pytest.fixture(scope="session")
def shared_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A real MLflow server, shared: give models names of their own, and leave it running."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow-server")) as running:
        yield running
