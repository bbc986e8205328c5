"""A line for each test, with MLflow or without."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from line import Line
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from retraining import made


@pytest.fixture
def running(kafka: LocalKafka, tmp_path: Path, nursery: Nursery) -> Iterator[Line]:
    """A line with its topics made."""
    with made(kafka, tmp_path, nursery) as started:
        yield started


@pytest.fixture
def recording(kafka: LocalKafka, tmp_path: Path, nursery: Nursery) -> Iterator[Line]:
    """The same with MLflow."""
    with made(kafka, tmp_path, nursery, f"sqlite:///{tmp_path / 'mlflow.db'}") as started:
        yield started
