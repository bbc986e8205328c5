"""The prediction topic on both brokers: written without waiting, read from a moment on, its end known when asked."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # re-exported without __all__
from structlog.testing import capture_logs

from counted_telemetry import CountedTelemetry
from kafka_brokers import Broker, create_topic, new_name, produce, real
from penstock.adapters.kafka import prediction_source as module
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.prediction_sink import KafkaPredictionSink
from penstock.adapters.kafka.prediction_source import KafkaPredictionSource
from penstock.adapters.kafka.topic_rules import predictions_settings
from penstock.adapters.kafka.topics import create_topics, describe
from penstock.errors import ConfigurationError, UnavailableError
from waiting import PATIENCE_SECONDS, wait_for

Open = Callable[..., KafkaPredictionSource]
PREDICTIONS = {"message.timestamp.type": "LogAppendTime"}


@pytest.fixture
def opened() -> Iterator[Open]:
    """Makes started sources, and closes them at the end."""
    sources: list[KafkaPredictionSource] = []

    def make(bootstrap_servers: str, topic: str) -> KafkaPredictionSource:
        source = KafkaPredictionSource({"bootstrap.servers": bootstrap_servers}, topic)
        sources.append(source)
        source.start()
        return source

    yield make
    for source in sources:
        source.close()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def values(count: int, start: int = 0) -> list[bytes | None]:
    return [b"%d" % number for number in range(start, start + count)]


def read(source: KafkaPredictionSource, count: int) -> dict[int, list[bytes]]:
    """The values of the next `count` messages, by partition."""
    found: dict[int, list[bytes]] = {}

    def complete() -> bool:
        for message in source.poll(100, 0.1):
            found.setdefault(message.partition(), []).append(message.value())
        return sum(map(len, found.values())) >= count

    wait_for(complete, f"{count} messages", every_seconds=0)
    return found


def two_stretches(broker: Broker) -> tuple[str, int]:
    """A topic with 30 and 20 messages, a moment, and 5 and 4 more; and the moment."""
    topic = new_name()
    broker.create_topic(topic, 2)
    produce(broker.bootstrap_servers, topic, values(30), partition=0)
    produce(broker.bootstrap_servers, topic, values(20), partition=1)
    time.sleep(0.05)  # timestamps are milliseconds, and the moment must lie between them
    moment = now_ms()
    time.sleep(0.05)
    produce(broker.bootstrap_servers, topic, values(5, 30), partition=0)
    produce(broker.bootstrap_servers, topic, values(4, 20), partition=1)
    return topic, moment


def test_reading_begins_with_what_was_stamped_since(kafka: LocalKafka, opened: Open) -> None:
    topic, moment = two_stretches(real(kafka))
    source = opened(kafka.bootstrap_servers, topic)
    assert source.poll(10, 0.05) == [], "nothing is read before a moment is given"
    assert source.partitions_at_end() == frozenset()
    source.skip_to(since_ms=moment, until_ms=now_ms(), max_messages=1000)
    assert read(source, 9) == {0: values(5, 30), 1: values(4, 20)}
    assert [source.position(partition) for partition in (0, 1)] == [35, 24]
    assert dict(source.end_offsets().next) == {0: 35, 1: 24}
    wait_for(lambda: source.poll(1, 0.05) == [] and source.partitions_at_end() == {0, 1}, "both are at their ends")


def test_what_could_not_be_held_is_not_read(kafka: LocalKafka, opened: Open) -> None:
    topic, moment = two_stretches(real(kafka))
    source = opened(kafka.bootstrap_servers, topic)
    source.skip_to(since_ms=0, until_ms=moment, max_messages=3)
    assert read(source, 15) == {0: values(8, 27), 1: values(7, 17)}


def test_skipping_never_goes_back_and_reads_nothing_twice(kafka: LocalKafka, opened: Open) -> None:
    topic, moment = two_stretches(real(kafka))
    source = opened(kafka.bootstrap_servers, topic)
    source.skip_to(since_ms=moment, until_ms=now_ms(), max_messages=1000)
    read(source, 9)
    source.skip_to(since_ms=0, until_ms=now_ms(), max_messages=1000)
    produce(kafka.bootstrap_servers, topic, values(2, 100), partition=1)
    assert read(source, 2) == {1: values(2, 100)}
    produce(kafka.bootstrap_servers, topic, values(500, 200), partition=0)
    source.skip_to(since_ms=0, until_ms=now_ms() + 1000, max_messages=10)
    assert read(source, 10) == {0: values(10, 690)}


def test_the_embedded_broker_is_read_from_its_start(broker: Broker, opened: Open) -> None:
    topic, moment = two_stretches(broker)
    source = opened(broker.bootstrap_servers, topic)
    source.skip_to(since_ms=moment if broker.kind == "embedded" else 0, until_ms=now_ms(), max_messages=1000)
    assert read(source, 59) == {0: values(35), 1: values(24)}
    source.skip_to(since_ms=now_ms(), until_ms=now_ms(), max_messages=1)
    produce(broker.bootstrap_servers, topic, values(2, 100), partition=1)
    assert read(source, 2) == {1: values(2, 100)}


def test_a_paused_partition_is_not_at_its_end_and_goes_on_where_it_was(broker: Broker, opened: Open) -> None:
    topic, _ = two_stretches(broker)
    source = opened(broker.bootstrap_servers, topic)
    source.skip_to(since_ms=0, until_ms=now_ms(), max_messages=1000)
    source.pause({0})
    first = read(source, 24)
    held = len(first.pop(0, []))
    assert first == {1: values(24)}
    if held < 35:  # what librdkafka had handed over before the pause
        assert 0 not in source.partitions_at_end()
        source.resume({0})
        assert read(source, 35 - held) == {0: values(35 - held, held)}


def test_a_topic_that_does_not_exist_is_named_with_the_command(broker: Broker, opened: Open) -> None:
    with pytest.raises(ConfigurationError, match="create it with `penstock topics create`"):
        opened(broker.bootstrap_servers, new_name())


def test_without_a_broker_there_is_no_answer(unused_address: str) -> None:
    source = KafkaPredictionSource({"bootstrap.servers": unused_address}, "any", timeout_seconds=0.5)
    try:
        with pytest.raises(UnavailableError):
            source.start()
    finally:
        source.close()


def test_a_partition_that_is_added_is_read_from_its_start(
    kafka: LocalKafka, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.1)
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1, PREDICTIONS)
    source = opened(kafka.bootstrap_servers, topic)
    source.skip_to(since_ms=0, until_ms=now_ms(), max_messages=10)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result(60)
    wait_for(lambda: source.poll(1, 0.05) == [] and source.partitions() == (0, 1), "the partition is found")
    produce(kafka.bootstrap_servers, topic, values(3), partition=1)
    assert read(source, 3) == {1: values(3)}


def test_predictions_that_retention_has_taken_are_passed_over(kafka: LocalKafka, opened: Open) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1, PREDICTIONS)
    produce(kafka.bootstrap_servers, topic, values(10), partition=0)
    source = opened(kafka.bootstrap_servers, topic)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    source.skip_to(since_ms=0, until_ms=now_ms(), max_messages=100)
    read(source, 10)
    source.pause({0})
    produce(kafka.bootstrap_servers, topic, values(10, 10), partition=0)
    partition = TopicPartition(topic, 0, 15)
    admin.delete_records([partition])[partition].result(60)
    source.resume({0})
    assert read(source, 5) == {0: values(5, 15)}


@pytest.mark.parametrize(("settings", "said"), [(PREDICTIONS, 0), ({}, 1)])
def test_timestamps_that_are_not_the_brokers_are_said_once(
    kafka: LocalKafka, opened: Open, settings: dict[str, str | int], said: int
) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1, settings)
    produce(kafka.bootstrap_servers, topic, values(10), partition=0)
    source = opened(kafka.bootstrap_servers, topic)
    source.skip_to(since_ms=0, until_ms=now_ms(), max_messages=100)
    with capture_logs() as lines:
        read(source, 10)
        produce(kafka.bootstrap_servers, topic, values(10), partition=0)
        read(source, 10)
    assert sum("LogAppendTime" in str(line["event"]) for line in lines) == said


def test_what_the_sink_is_given_arrives_and_is_counted(broker: Broker, opened: Open) -> None:
    topic, telemetry = new_name(), CountedTelemetry()
    broker.create_topic(topic, 2)
    sink = KafkaPredictionSink(broker.options, topic, telemetry)
    for number in range(50):
        sink.send(b"key-%d" % number, b"%d" % number)
    sink.flush(60)
    sink.close()
    assert telemetry.value("penstock_predictions_logged_total") == 50
    source = opened(broker.bootstrap_servers, topic)
    source.skip_to(since_ms=0, until_ms=now_ms(), max_messages=1000)
    assert sorted(int(value) for found in read(source, 50).values() for value in found) == list(range(50))


def test_without_a_broker_predictions_are_given_up_and_counted_and_the_end_is_quick(
    unused_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.adapters.kafka.prediction_sink.DELIVERY_SECONDS", 0.5)
    telemetry = CountedTelemetry()
    sink = KafkaPredictionSink({"bootstrap.servers": unused_address}, "any", telemetry)
    sink.send(b"key", b"value")

    def dropped() -> bool:
        sink.serve()
        return telemetry.value("penstock_predictions_dropped_total", reason="delivery") == 1

    wait_for(dropped, "the prediction is given up")
    sink.close()
    monkeypatch.setattr("penstock.adapters.kafka.prediction_sink.DELIVERY_SECONDS", PATIENCE_SECONDS)
    sink = KafkaPredictionSink({"bootstrap.servers": unused_address}, "any", telemetry)
    sink.send(b"key", b"value")
    began = time.monotonic()
    sink.flush(0.1)
    sink.send(b"key", b"too late")
    sink.close()
    assert time.monotonic() - began < PATIENCE_SECONDS / 4


def test_the_topic_is_made_with_the_others_where_predictions_are_logged(kafka: LocalKafka) -> None:
    options: dict[str, Any] = {"bootstrap.servers": kafka.bootstrap_servers}
    model = new_name()
    made = create_topics(options, model, prediction_window_seconds=7200)
    assert [finding.ok for finding in made] == [True] * 4
    assert "predictions are kept 4 hours" in made[-1].sentence
    found = describe(options, model, prediction_window_seconds=7200)
    assert all(finding.ok for finding in found), found
    longer = describe(options, model, prediction_window_seconds=4 * 7200)
    assert "shorter than intake.late_labels.window_seconds (28800)" in longer[-1].sentence
    assert not longer[-1].ok


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"cleanup.policy": "compact"}, "is compacted: it keeps predictions without end"),
        ({"message.timestamp.type": "CreateTime"}, "Set message.timestamp.type=LogAppendTime"),
    ],
)
def test_doctor_says_what_is_wrong_with_a_prediction_topic(
    kafka: LocalKafka, settings: dict[str, str], sentence: str
) -> None:
    options: dict[str, Any] = {"bootstrap.servers": kafka.bootstrap_servers}
    model = new_name()
    create_topic(kafka.bootstrap_servers, f"{model}.predictions", 1, {**predictions_settings(3600), **settings})
    found = create_topics(options, model, prediction_window_seconds=3600)
    assert not found[-1].ok
    assert sentence in found[-1].sentence
