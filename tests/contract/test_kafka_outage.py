"""A broker that is killed and comes back: everything goes on, and the log says so in a few lines."""

import time
from collections.abc import Callable, Iterator
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


def test_source_feed_update_log_and_dead_letters_survive_the_death_of_the_broker(mortal_kafka: LocalKafka) -> None:
    kafka, model = mortal_kafka, new_name()
    options = {"bootstrap.servers": kafka.bootstrap_servers}
    create_model_topics(kafka.bootstrap_servers, model, label_partitions=2)
    source = LabelSource(options, f"{model}.labels", "group", timeout_seconds=2.0)
    log = KafkaUpdateLog(options, model, timeout_seconds=1.0)
    feed = KafkaUpdateFeed(options, model)
    letters = DeadLetters(options, f"{model}.dead-letters")
    labels: list[int] = []
    updates: list[LogRecord] = []

    def read_labels(count: int) -> bool:
        labels.extend(int(message.value()) for message in source.poll(10, 0.1))
        return len(labels) >= count

    def read_updates(count: int) -> bool:
        updates.extend(feed.poll(0.1))
        return len(updates) >= count

    try:
        retried(lambda: source.start(Offsets()))
        retried(feed.newest)
        retried(lambda: log.claim("a"))
        retried(lambda: log.append(update_of(model, version=1)))
        produce(kafka.bootstrap_servers, f"{model}.labels", [b"%d" % number for number in range(20)])
        wait_for(lambda: read_labels(20), "the labels are read", every_seconds=0)
        wait_for(lambda: update_of(model, version=1) in updates or read_updates(99), "the update is read")

        kafka.kill()
        with capture_logs() as lines:
            letters.send(DeadLetter(key=None, value=b"sent while away", headers=[]))
            with pytest.raises(UnavailableError):
                log.append(update_of(model, version=2))
            until = time.monotonic() + 2
            while time.monotonic() < until:
                assert source.poll(10, 0.1) == []
                assert feed.poll(0.1) == []
                assert not letters.wait_acknowledged(0.05)
        said = [line["event"] for line in lines if line["log_level"] == "warning"]
        assert f"Kafka does not answer at {kafka.bootstrap_servers}, trying again" in said
        assert len(said) <= 4, said  # one for each client

        kafka.start()
        with capture_logs() as lines:
            retried(lambda: log.append(update_of(model, version=2)))
            produce(
                kafka.bootstrap_servers, f"{model}.labels", [b"%d" % number for number in range(20, 40)], partition=1
            )
            wait_for(lambda: read_labels(40), "the labels are read on", every_seconds=0)
            wait_for(lambda: update_of(model, version=2) in updates or read_updates(99), "the feed reads on")
            assert letters.wait_acknowledged(PATIENCE_SECONDS)
        assert "Kafka answers again" in [line["event"] for line in lines]
        assert sorted(labels) == list(range(40)), "each label once, none lost"
        retried(lambda: log.append(update_of(model, version=3)))
        wait_for(lambda: update_of(model, version=3) in updates or read_updates(99), "the feed reads on")
    finally:
        for client in (source, feed, log, letters):
            client.close()


def retried(attempt: Callable[[], T], timeout_seconds: float = PATIENCE_SECONDS) -> T:
    """The outcome once the outside answers."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return attempt()
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
