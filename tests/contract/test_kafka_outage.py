"""A broker that is killed and comes back: everything goes on, and the log says so in a few lines."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from structlog.testing import capture_logs

from kafka_brokers import create_model_topics, new_name, produce
from penstock.adapters.kafka.dead_letters import DeadLetters
from penstock.adapters.kafka.label_source import LabelSource
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.errors import UnavailableError
from penstock.flow import LogRecord, Offsets
from penstock.wire.dead_letter import DeadLetter
from update_records import update_of
from waiting import PATIENCE_SECONDS, wait_for

T = TypeVar("T")


@pytest.fixture
def mortal_kafka(kafka_libs: Path, tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker that this test may kill."""
    quickly = {"broker.session.timeout.ms": 1500, "broker.heartbeat.interval.ms": 200}
    with LocalKafka(tmp_path / "kafka", libs=kafka_libs, properties=quickly) as running:
        yield running


class Clients:
    """All that a trainer and a replica have at Kafka, and what they have read."""

    def __init__(self, bootstrap_servers: str, model: str) -> None:
        options = {"bootstrap.servers": bootstrap_servers}
        self.source = LabelSource(options, f"{model}.labels", "group", timeout_seconds=2.0)
        self.log = KafkaUpdateLog(options, model, timeout_seconds=1.0)
        self.feed = KafkaUpdateFeed(options, model)
        self.letters = DeadLetters(options, f"{model}.dead-letters")
        self.labels: list[int] = []
        self._updates: list[LogRecord] = []
        self._model = model

    def start(self) -> None:
        retried(lambda: self.source.start(Offsets()))
        retried(self.feed.newest)
        retried(lambda: self.log.claim("a"))

    def announce(self, version: int) -> None:
        """As soon as the broker takes it."""
        retried(lambda: self.log.append(update_of(self._model, version=version)))

    def read_labels(self, count: int) -> None:
        """Until there are so many."""

        def have_come() -> bool:
            self.labels.extend(int(message.value()) for message in self.source.poll(10, 0.1))
            return len(self.labels) >= count

        wait_for(have_come, "the labels are read", every_seconds=0)

    def read_update(self, version: int) -> None:
        """Until it has come."""

        def has_come() -> bool:
            self._updates.extend(self.feed.poll(0.1))
            return update_of(self._model, version=version) in self._updates

        wait_for(has_come, f"update {version} is read")

    def hear_nothing_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.source.poll(10, 0.1) == []
            assert self.feed.poll(0.1) == []
            assert not self.letters.wait_acknowledged(0.05)

    def close(self) -> None:
        for client in (self.source, self.feed, self.log, self.letters):
            client.close()


def test_source_feed_update_log_and_dead_letters_survive_the_death_of_the_broker(mortal_kafka: LocalKafka) -> None:
    kafka, model = mortal_kafka, new_name()
    servers, topic = kafka.bootstrap_servers, f"{model}.labels"
    create_model_topics(servers, model, label_partitions=2)
    with closing(Clients(servers, model)) as clients:
        clients.start()
        clients.announce(1)
        produce(servers, topic, [b"%d" % number for number in range(20)])
        clients.read_labels(20)
        clients.read_update(1)

        kafka.kill()
        with capture_logs() as lines:
            clients.letters.send(DeadLetter(key=None, value=b"sent while away", headers=[]))
            with pytest.raises(UnavailableError):
                clients.log.append(update_of(model, version=2))
            clients.hear_nothing_for(2.0)
        said = [line["event"] for line in lines if line["log_level"] == "warning"]
        assert f"Kafka does not answer at {servers}, trying again" in said
        assert len(said) <= 4, said  # one for each client

        kafka.start()
        with capture_logs() as lines:
            clients.announce(2)
            produce(servers, topic, [b"%d" % number for number in range(20, 40)], partition=1)
            clients.read_labels(40)
            clients.read_update(2)
            assert clients.letters.wait_acknowledged(PATIENCE_SECONDS)
        assert "Kafka answers again" in [line["event"] for line in lines]
        assert sorted(clients.labels) == list(range(40)), "each label once, none lost"
        clients.announce(3)
        clients.read_update(3)


def retried(attempt: Callable[[], T], timeout_seconds: float = PATIENCE_SECONDS) -> T:
    """The outcome once the outside answers."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return attempt()
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
