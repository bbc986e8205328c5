"""The label topic, read by assignment and explicit offsets: nothing lost, nothing skipped, nothing waited for."""

import time

from confluent_kafka import TopicPartition

from kafka_brokers import Broker, new_name, produce
from label_sources import OpenSource, numbered, reaches_end, read, topic_of
from penstock.flow import Offsets
from waiting import PATIENCE_SECONDS, wait_for


def test_every_partition_is_read_in_order_from_its_start(broker: Broker, open_source: OpenSource) -> None:
    topic = topic_of(broker, 50, 0, 7)
    source = open_source(broker.bootstrap_servers, topic)
    source.start(Offsets())
    assert source.partitions() == (0, 1, 2)
    assert read(source, 57) == {0: numbered(0, 50), 2: numbered(2, 7)}
    reaches_end(source, {0, 1, 2})


def test_reading_goes_on_at_the_given_offsets(broker: Broker, open_source: OpenSource) -> None:
    topic = topic_of(broker, 20, 20)
    source = open_source(broker.bootstrap_servers, topic)
    source.start(Offsets(next={0: 15, 1: 20}))
    assert read(source, 5) == {0: numbered(0, 5, start=15)}
    reaches_end(source, {0, 1})


def test_no_more_messages_than_asked_for_come_at_once(broker: Broker, open_source: OpenSource) -> None:
    source = open_source(broker.bootstrap_servers, topic_of(broker, 30))
    source.start(Offsets())
    sizes: list[int] = []
    while sum(sizes) < 30:
        sizes.append(len(source.poll(8, 1.0)))
    assert max(sizes) <= 8
    assert source.poll(1, 0.0) == []


def test_a_partition_leaves_its_end_when_a_message_is_there_and_returns_once_it_is_read(
    broker: Broker, open_source: OpenSource
) -> None:
    topic = topic_of(broker, 3, 3)
    source = open_source(broker.bootstrap_servers, topic)
    source.start(Offsets())
    read(source, 6)
    reaches_end(source, {0, 1})
    source.pause([1])  # until both are there: one alone would be the end
    produce(broker.bootstrap_servers, topic, numbered(1, 2, start=3), partition=1)
    source.resume([1])
    assert read(source, 1, max_messages=1) == {1: numbered(1, 1, start=3)}
    assert source.partitions_at_end() == {0}
    assert read(source, 1) == {1: numbered(1, 1, start=4)}
    assert source.partitions_at_end() == {0, 1}


def test_nothing_is_at_its_end_while_messages_wait(broker: Broker, open_source: OpenSource) -> None:
    source = open_source(broker.bootstrap_servers, topic_of(broker, 5, 0))
    source.start(Offsets())
    assert source.partitions_at_end() == {1}


def test_a_paused_partition_is_silent_and_goes_on_where_it_stopped(broker: Broker, open_source: OpenSource) -> None:
    topic = topic_of(broker, 40, 40)
    source = open_source(broker.bootstrap_servers, topic)
    source.start(Offsets())
    source.pause([0])
    first = read(source, 40)
    assert first == {1: numbered(1, 40)}
    assert source.poll(100, 0.2) == []
    assert source.partitions_at_end() == {1}
    source.pause([1])
    source.resume([0])
    some = read(source, 10, max_messages=10)
    source.pause([0])
    produce(broker.bootstrap_servers, topic, numbered(1, 5, start=40), partition=1)
    assert source.poll(100, 0.2) == []
    source.resume([0, 1])
    rest = read(source, 35)
    assert some[0] + rest[0] == numbered(0, 40)
    assert rest[1] == numbered(1, 5, start=40)


def test_keys_headers_and_timestamps_arrive_as_they_were_sent(broker: Broker, open_source: OpenSource) -> None:
    topic = new_name()
    broker.create_topic(topic, 1)
    before_ms = int(time.time() * 1000) - 1000
    produce(broker.bootstrap_servers, topic, [b"v", None], key=b"\x00\xff")
    source = open_source(broker.bootstrap_servers, topic)
    source.start(Offsets())
    messages = [message for _ in range(2) for message in source.poll(1, PATIENCE_SECONDS)]
    assert [(m.key(), m.value(), m.topic(), m.offset()) for m in messages] == [
        (b"\x00\xff", b"v", topic, 0),
        (b"\x00\xff", None, topic, 1),
    ]
    kind, timestamp_ms = messages[0].timestamp()
    assert kind != 0
    assert before_ms < timestamp_ms < before_ms + 60_000


def test_ends_are_known_without_a_question_and_grow_as_messages_come(broker: Broker, open_source: OpenSource) -> None:
    topic = topic_of(broker, 4, 0)
    source = open_source(broker.bootstrap_servers, topic)
    assert source.end_offsets().next == {}
    source.start(Offsets())
    assert source.end_offsets().next == {0: 4, 1: 0}
    produce(broker.bootstrap_servers, topic, numbered(1, 3), partition=1)
    read(source, 7)

    def grown() -> bool:
        source.poll(1, 0.05)
        return source.end_offsets().next == {0: 4, 1: 3}

    wait_for(grown, "the new end is known")


def test_group_offsets_are_committed_for_lag_tools(broker: Broker, open_source: OpenSource) -> None:
    from confluent_kafka import Consumer

    topic = topic_of(broker, 9, 9)
    source = open_source(broker.bootstrap_servers, topic)
    source.start(Offsets())
    source.commit(Offsets(next={0: 5, 1: 9}))
    onlooker = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "group", "log_level": 0})
    wanted = [TopicPartition(topic, 0), TopicPartition(topic, 1)]

    def committed() -> bool:
        source.poll(1, 0)
        return [each.offset for each in onlooker.committed(wanted, timeout=60)] == [5, 9]

    try:
        wait_for(committed, "the group's offsets are there")
    finally:
        onlooker.close()
