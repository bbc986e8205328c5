"""The label topic, read by assignment and explicit offsets: nothing lost, nothing skipped, nothing waited for."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # re-exported without __all__
from structlog.testing import capture_logs

from kafka_brokers import Broker, create_topic, new_name, produce
from penstock.adapters.kafka.label_source import LabelSource
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.topic_ends import read_log
from penstock.adapters.kafka.topic_identity import TopicIdentity
from penstock.errors import ConfigurationError, RetentionError, UnavailableError
from penstock.flow import Offsets
from waiting import PATIENCE_SECONDS, wait_for

Open = Callable[..., LabelSource]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Makes sources, and closes them at the end."""
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


def topic_of(broker: Broker, *counts: int) -> str:
    """A topic with so many messages in each partition, `p<partition>-<offset>`."""
    topic = new_name()
    broker.create_topic(topic, len(counts))
    for partition, count in enumerate(counts):
        produce(broker.bootstrap_servers, topic, numbered(partition, count), partition=partition)
    return topic


def numbered(partition: int, count: int, start: int = 0) -> list[bytes | None]:
    return [f"p{partition}-{offset}".encode() for offset in range(start, start + count)]


def read(source: LabelSource, count: int, max_messages: int = 100) -> dict[int, list[bytes]]:
    """The values of the next `count` messages, by partition in the order of arrival."""
    values: dict[int, list[bytes]] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sum(map(len, values.values())) < count:
        assert time.monotonic() < deadline, f"only {values} came"
        for message in source.poll(max_messages, 0.5):
            values.setdefault(message.partition(), []).append(message.value())
    return values


def reaches_end(source: LabelSource, partitions: set[int]) -> None:
    """Poll until these partitions are at their end, and no message comes."""

    def at_end() -> bool:
        assert source.poll(10, 0.05) == []
        return source.partitions_at_end() == partitions

    wait_for(at_end, f"the partitions {partitions} are at their end", every_seconds=0)


def test_every_partition_is_read_in_order_from_its_start(broker: Broker, opened: Open) -> None:
    topic = topic_of(broker, 50, 0, 7)
    source = opened(broker.bootstrap_servers, topic)
    source.start(Offsets())
    assert source.partitions() == (0, 1, 2)
    assert read(source, 57) == {0: numbered(0, 50), 2: numbered(2, 7)}
    reaches_end(source, {0, 1, 2})


def test_reading_goes_on_at_the_given_offsets(broker: Broker, opened: Open) -> None:
    topic = topic_of(broker, 20, 20)
    source = opened(broker.bootstrap_servers, topic)
    source.start(Offsets(next={0: 15, 1: 20}))
    assert read(source, 5) == {0: numbered(0, 5, start=15)}
    reaches_end(source, {0, 1})


def test_no_more_messages_than_asked_for_come_at_once(broker: Broker, opened: Open) -> None:
    source = opened(broker.bootstrap_servers, topic_of(broker, 30))
    source.start(Offsets())
    sizes: list[int] = []
    while sum(sizes) < 30:
        sizes.append(len(source.poll(8, 1.0)))
    assert max(sizes) <= 8
    assert source.poll(1, 0.0) == []


def test_a_partition_leaves_its_end_when_a_message_is_there_and_returns_once_it_is_read(
    broker: Broker, opened: Open
) -> None:
    topic = topic_of(broker, 3, 3)
    source = opened(broker.bootstrap_servers, topic)
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


def test_nothing_is_at_its_end_while_messages_wait(broker: Broker, opened: Open) -> None:
    source = opened(broker.bootstrap_servers, topic_of(broker, 5, 0))
    source.start(Offsets())
    assert source.partitions_at_end() == {1}


def test_a_paused_partition_is_silent_and_goes_on_where_it_stopped(broker: Broker, opened: Open) -> None:
    topic = topic_of(broker, 40, 40)
    source = opened(broker.bootstrap_servers, topic)
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


def test_keys_headers_and_timestamps_arrive_as_they_were_sent(broker: Broker, opened: Open) -> None:
    topic = new_name()
    broker.create_topic(topic, 1)
    before_ms = int(time.time() * 1000) - 1000
    produce(broker.bootstrap_servers, topic, [b"v", None], key=b"\x00\xff")
    source = opened(broker.bootstrap_servers, topic)
    source.start(Offsets())
    messages = [message for _ in range(2) for message in source.poll(1, PATIENCE_SECONDS)]
    assert [(m.key(), m.value(), m.topic(), m.offset()) for m in messages] == [
        (b"\x00\xff", b"v", topic, 0),
        (b"\x00\xff", None, topic, 1),
    ]
    kind, timestamp_ms = messages[0].timestamp()
    assert kind != 0
    assert before_ms < timestamp_ms < before_ms + 60_000


def test_ends_are_known_without_a_question_and_grow_as_messages_come(broker: Broker, opened: Open) -> None:
    topic = topic_of(broker, 4, 0)
    source = opened(broker.bootstrap_servers, topic)
    assert source.end_offsets().next == {}
    source.start(Offsets())
    assert source.end_offsets().next == {0: 4, 1: 0}
    produce(broker.bootstrap_servers, topic, numbered(1, 3), partition=1)
    read(source, 7)

    def grown() -> bool:
        source.poll(1, 0.05)
        return source.end_offsets().next == {0: 4, 1: 3}

    wait_for(grown, "the new end is known")


def test_group_offsets_are_committed_for_lag_tools(broker: Broker, opened: Open) -> None:
    from confluent_kafka import Consumer

    topic = topic_of(broker, 9, 9)
    source = opened(broker.bootstrap_servers, topic)
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


def test_an_offset_beyond_the_end_stops_with_a_sentence(broker: Broker, opened: Open) -> None:
    topic = topic_of(broker, 4)
    with pytest.raises(
        RetentionError, match=rf"'{topic}' partition 0 at offset 9, but the log ends at 4.*lost 5 events"
    ):
        opened(broker.bootstrap_servers, topic).start(Offsets(next={0: 9}))


def test_a_checkpoint_with_more_partitions_than_the_topic_stops_with_a_sentence(broker: Broker, opened: Open) -> None:
    topic = topic_of(broker, 4)
    with pytest.raises(RetentionError, match=r"partition 2 at offset 1, but the topic has only 1 partitions"):
        opened(broker.bootstrap_servers, topic).start(Offsets(next={0: 1, 2: 1}))


def test_a_missing_topic_is_named_with_the_command_that_creates_it(broker: Broker, opened: Open) -> None:
    with pytest.raises(ConfigurationError, match=r"'nowhere.labels' does not exist at .*`penstock topics create`"):
        opened(broker.bootstrap_servers, "nowhere.labels").start(Offsets())


def test_a_broker_that_does_not_answer_is_unavailable_not_fatal(opened: Open, unused_address: str) -> None:
    source = opened(unused_address, "any", timeout_seconds=0.3)
    for _ in range(2):
        with pytest.raises(UnavailableError, match=f"Kafka does not answer at {unused_address}"):
            source.start(Offsets())


def test_a_hole_between_checkpoint_and_log_stops_with_its_size(kafka: LocalKafka, opened: Open) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 2)
    produce(kafka.bootstrap_servers, topic, numbered(1, 100), partition=1)
    delete_before(kafka, topic, 1, 80)
    with pytest.raises(RetentionError, match=rf"75 events of '{topic}' partition 1 .* offset 5, .* begins at 80"):
        opened(kafka.bootstrap_servers, topic).start(Offsets(next={0: 0, 1: 5}))
    source = opened(kafka.bootstrap_servers, topic)
    source.start(Offsets(next={0: 0}))
    assert read(source, 20) == {1: numbered(1, 20, start=80)}


def test_a_hole_that_opens_while_running_stops_with_its_size(kafka: LocalKafka, opened: Open) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1)
    produce(kafka.bootstrap_servers, topic, numbered(0, 10))
    source = opened(kafka.bootstrap_servers, topic)
    source.start(Offsets())
    assert read(source, 1, max_messages=1) == {0: numbered(0, 1)}
    source.pause([0])
    delete_before(kafka, topic, 0, 7)
    source.resume([0])
    with pytest.raises(RetentionError, match=rf"6 events of '{topic}' partition 0 are gone"):
        read(source, 9)


def test_a_partition_added_while_running_is_read_too(kafka: LocalKafka, opened: Open) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1)
    produce(kafka.bootstrap_servers, topic, numbered(0, 3))
    source = opened(kafka.bootstrap_servers, topic, refresh_seconds=0.1)
    source.start(Offsets())
    read(source, 2, max_messages=2)
    add_partition(kafka.bootstrap_servers, topic)
    produce(kafka.bootstrap_servers, topic, numbered(1, 3), partition=1)
    assert read(source, 4) == {0: numbered(0, 1, start=2), 1: numbered(1, 3)}
    assert source.partitions() == (0, 1)
    reaches_end(source, {0, 1})


def test_where_order_depends_on_their_number_a_new_partition_waits_for_the_next_start(
    kafka: LocalKafka, opened: Open
) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1)
    source = opened(kafka.bootstrap_servers, topic, refresh_seconds=0.05, new_partitions="leave")
    source.start(Offsets())
    add_partition(kafka.bootstrap_servers, topic)
    produce(kafka.bootstrap_servers, topic, numbered(1, 3), partition=1)
    with capture_logs() as lines:
        wait_for(lambda: source.poll(10, 0.05) == [] and lines, "it is noticed", every_seconds=0)
        for _ in range(5):
            assert source.poll(10, 0.05) == []
    assert [line["event"] for line in lines] == ["a partition was added; it is read from the next start on"]
    assert source.partitions() == (0,)
    again = opened(kafka.bootstrap_servers, topic, new_partitions="leave")
    again.start(Offsets(next={0: 0}))
    assert read(again, 3) == {1: numbered(1, 3)}


def test_a_reader_whose_order_depends_on_their_number_is_offered_a_new_partition(
    kafka: LocalKafka, opened: Open
) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1)
    source = opened(kafka.bootstrap_servers, topic, refresh_seconds=0.05, new_partitions="offer")
    source.start(Offsets())
    add_partition(kafka.bootstrap_servers, topic)
    produce(kafka.bootstrap_servers, topic, numbered(1, 3), partition=1)
    wait_for(lambda: source.poll(10, 0.05) == [] and source.added_partitions() == {1}, "it is offered", every_seconds=0)
    assert source.partitions() == (0,)
    source.read_too({1})
    assert (source.partitions(), source.added_partitions()) == ((0, 1), frozenset())
    assert read(source, 3) == {1: numbered(1, 3)}


def test_a_new_partition_whose_first_events_are_gone_already_stops_with_their_number(
    kafka: LocalKafka, opened: Open
) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1)
    source = opened(kafka.bootstrap_servers, topic, refresh_seconds=0.05)
    source.start(Offsets())
    add_partition(kafka.bootstrap_servers, topic)
    produce(kafka.bootstrap_servers, topic, numbered(1, 3), partition=1)
    delete_before(kafka, topic, 1, 2)
    with pytest.raises(RetentionError, match=rf"2 events of '{topic}' partition 1 are gone"):
        read(source, 1)


def test_a_topic_made_anew_has_another_id(kafka: LocalKafka) -> None:
    topic, servers = new_name(), kafka.bootstrap_servers
    options: dict[str, str | int | float | bool] = {"bootstrap.servers": servers}
    identity = TopicIdentity(options, topic)
    assert identity.read() is None
    create_topic(kafka.bootstrap_servers, topic, 1)
    first = identity.read()
    assert first is not None
    assert read_log(options, topic).topic_id == first
    identity.confirm(first)
    admin = AdminClient(options)
    admin.delete_topics([topic])[topic].result(60)
    wait_for(lambda: identity.read() is None, "it is gone")
    identity.confirm(first)
    create_topic(kafka.bootstrap_servers, topic, 1)
    second = identity.read()
    said = f"made anew while it was read (topic id {first} before, {second} now)"
    with pytest.raises(RetentionError, match=re.escape(said)):
        identity.confirm(first)


def test_a_broker_that_does_not_answer_confirms_what_came_from_it(unused_address: str) -> None:
    identity = TopicIdentity({"bootstrap.servers": unused_address}, "any", timeout_seconds=0.2)
    identity.confirm("an id")
    with pytest.raises(UnavailableError, match=f"Kafka does not answer at {unused_address}"):
        identity.read()


def add_partition(bootstrap_servers: str, topic: str) -> None:
    """A second one, once it is served."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result(60)
    wait_for(lambda: len(admin.list_topics(topic, timeout=60).topics[topic].partitions) == 2, "both are served")


def delete_before(kafka: LocalKafka, topic: str, partition: int, offset: int) -> None:
    """What retention does, at once."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for outcome in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
        assert outcome.result(60).low_watermark == offset
