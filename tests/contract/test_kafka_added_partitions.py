"""A partition that is added while the label topic is read: read too, offered, or left to the next start."""

import pytest
from structlog.testing import capture_logs

from kafka_brokers import create_topic, new_name, produce
from label_sources import OpenSource, add_partition, delete_before, numbered, reaches_end, read
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.errors import RetentionError
from penstock.flow import Offsets
from waiting import wait_for


def test_a_partition_added_while_running_is_read_too(kafka: LocalKafka, open_source: OpenSource) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1)
    produce(kafka.bootstrap_servers, topic, numbered(0, 3))
    source = open_source(kafka.bootstrap_servers, topic, refresh_seconds=0.1)
    source.start(Offsets())
    read(source, 2, max_messages=2)
    add_partition(kafka.bootstrap_servers, topic)
    produce(kafka.bootstrap_servers, topic, numbered(1, 3), partition=1)
    assert read(source, 4) == {0: numbered(0, 1, start=2), 1: numbered(1, 3)}
    assert source.partitions() == (0, 1)
    reaches_end(source, {0, 1})


def test_where_order_depends_on_their_number_a_new_partition_waits_for_the_next_start(
    kafka: LocalKafka, open_source: OpenSource
) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1)
    source = open_source(kafka.bootstrap_servers, topic, refresh_seconds=0.05, new_partitions="leave")
    source.start(Offsets())
    add_partition(kafka.bootstrap_servers, topic)
    produce(kafka.bootstrap_servers, topic, numbered(1, 3), partition=1)
    with capture_logs() as lines:
        wait_for(lambda: source.poll(10, 0.05) == [] and lines, "it is noticed", every_seconds=0)
        for _ in range(5):
            assert source.poll(10, 0.05) == []
    assert [line["event"] for line in lines] == ["a partition was added; it is read from the next start on"]
    assert source.partitions() == (0,)
    again = open_source(kafka.bootstrap_servers, topic, new_partitions="leave")
    again.start(Offsets(next={0: 0}))
    assert read(again, 3) == {1: numbered(1, 3)}


def test_a_reader_whose_order_depends_on_their_number_is_offered_a_new_partition(
    kafka: LocalKafka, open_source: OpenSource
) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1)
    source = open_source(kafka.bootstrap_servers, topic, refresh_seconds=0.05, new_partitions="offer")
    source.start(Offsets())
    add_partition(kafka.bootstrap_servers, topic)
    produce(kafka.bootstrap_servers, topic, numbered(1, 3), partition=1)
    wait_for(lambda: source.poll(10, 0.05) == [] and source.added_partitions() == {1}, "it is offered", every_seconds=0)
    assert source.partitions() == (0,)
    source.read_too({1})
    assert (source.partitions(), source.added_partitions()) == ((0, 1), frozenset())
    assert read(source, 3) == {1: numbered(1, 3)}


def test_a_new_partition_whose_first_events_are_gone_already_stops_with_their_number(
    kafka: LocalKafka, open_source: OpenSource
) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1)
    source = open_source(kafka.bootstrap_servers, topic, refresh_seconds=0.05)
    source.start(Offsets())
    add_partition(kafka.bootstrap_servers, topic)
    produce(kafka.bootstrap_servers, topic, numbered(1, 3), partition=1)
    delete_before(kafka, topic, 1, 2)
    with pytest.raises(RetentionError, match=rf"2 events of '{topic}' partition 1 are gone"):
        read(source, 1)
