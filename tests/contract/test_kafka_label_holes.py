"""Where the label topic does not hold what comes next, reading stops with a sentence that says how much is gone."""

import re

import pytest
from confluent_kafka.admin import AdminClient

from kafka_brokers import Broker, create_topic, new_name, produce
from label_sources import OpenSource, delete_before, numbered, read, topic_of
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.topic_ends import read_log
from penstock.adapters.kafka.topic_identity import TopicIdentity
from penstock.errors import ConfigurationError, RetentionError, UnavailableError
from penstock.flow import Offsets
from waiting import wait_for


def test_an_offset_beyond_the_end_stops_with_a_sentence(broker: Broker, open_source: OpenSource) -> None:
    topic = topic_of(broker, 4)
    with pytest.raises(
        RetentionError, match=rf"'{topic}' partition 0 at offset 9, but the log ends at 4.*lost 5 events"
    ):
        open_source(broker.bootstrap_servers, topic).start(Offsets(next={0: 9}))


def test_a_checkpoint_with_more_partitions_than_the_topic_stops_with_a_sentence(
    broker: Broker, open_source: OpenSource
) -> None:
    topic = topic_of(broker, 4)
    with pytest.raises(RetentionError, match=r"partition 2 at offset 1, but the topic has only 1 partitions"):
        open_source(broker.bootstrap_servers, topic).start(Offsets(next={0: 1, 2: 1}))


def test_a_missing_topic_is_named_with_the_command_that_creates_it(broker: Broker, open_source: OpenSource) -> None:
    with pytest.raises(ConfigurationError, match=r"'nowhere.labels' does not exist at .*`penstock topics create`"):
        open_source(broker.bootstrap_servers, "nowhere.labels").start(Offsets())


def test_a_broker_that_does_not_answer_is_unavailable_not_fatal(open_source: OpenSource, unused_address: str) -> None:
    source = open_source(unused_address, "any", timeout_seconds=0.3)
    for _ in range(2):
        with pytest.raises(UnavailableError, match=f"Kafka does not answer at {unused_address}"):
            source.start(Offsets())


def test_a_hole_between_checkpoint_and_log_stops_with_its_size(kafka: LocalKafka, open_source: OpenSource) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 2)
    produce(kafka.bootstrap_servers, topic, numbered(1, 100), partition=1)
    delete_before(kafka, topic, 1, 80)
    with pytest.raises(RetentionError, match=rf"75 events of '{topic}' partition 1 .* offset 5, .* begins at 80"):
        open_source(kafka.bootstrap_servers, topic).start(Offsets(next={0: 0, 1: 5}))
    source = open_source(kafka.bootstrap_servers, topic)
    source.start(Offsets(next={0: 0}))
    assert read(source, 20) == {1: numbered(1, 20, start=80)}


@pytest.mark.parametrize("answers", [True, False], ids=["and the broker says how many", "and the broker goes"])
def test_a_hole_that_opens_while_running_stops_with_its_size_where_that_is_to_be_had(
    kafka: LocalKafka, open_source: OpenSource, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1)
    produce(kafka.bootstrap_servers, topic, numbered(0, 10))
    source = open_source(kafka.bootstrap_servers, topic)
    source.start(Offsets())
    assert read(source, 1, max_messages=1) == {0: numbered(0, 1)}
    source.pause([0])
    delete_before(kafka, topic, 0, 7)
    said = rf"6 events of '{topic}' partition 0 are gone"
    if not answers:

        def gone(*_: object) -> None:
            raise UnavailableError("gone")

        monkeypatch.setattr(source._catalog, "watermarks", gone)
        said = rf"'{topic}' partition 0 cannot be read on from offset 1: .*--accept-loss"
    source.resume([0])
    with pytest.raises(RetentionError, match=said):
        read(source, 9)


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
