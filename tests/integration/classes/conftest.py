"""A line with a trainer to be told things."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from configurations import configuration, new_model
from line import Line, line
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka


@pytest.fixture
def running(kafka: LocalKafka, tmp_path: Path, nursery: Nursery) -> Iterator[Line]:
    """A line with its topics and a trainer at work."""
    model = new_model()
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state")
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as started:
        assert started.run("topics", "create", "--partitions", "3").returncode == 0
        yield started
