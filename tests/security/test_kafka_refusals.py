"""What Kafka refuses is said without the secret, and nothing is lost where the trainer may not write."""

import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from certificates import Authority
from configurations import events, new_model
from kafka_brokers import create_model_topics
from line import Process
from nursery import Nursery
from secured_kafka import Secured, binding, documented, letters, line_as, produce
from verifying.learnt import newest_checkpoint
from waiting import wait_for


def test_nobody_can_do_what_is_not_in_the_table(secured: Secured, granted: str) -> None:
    labels, updates, dead_letters = (f"{granted}.{kind}" for kind in ("labels", "updates", "dead-letters"))
    replica, producer, trainer, stranger = secured.mtls, *map(secured.sasl, ("producer", "trainer", "stranger"))
    may_not_write = ((replica, updates), (replica, labels), (producer, updates), (producer, dead_letters))
    for who, topic in (*may_not_write, (trainer, labels), (stranger, labels)):
        assert not may_write(who, topic), f"{who.get('sasl.username', 'replica')} may write {topic}"
    may_not_read = ((replica, labels), (producer, labels), (producer, updates), (trainer, dead_letters))
    for who, topic in (*may_not_read, (stranger, updates)):
        assert not may_read(who, topic), f"{who.get('sasl.username', 'replica')} may read {topic}"
    assert may_write(producer, labels)
    assert may_read(replica, updates)


def test_a_wrong_password_authority_or_missing_certificate_is_said_without_the_secret(
    secured: Secured, granted: str, nursery: Nursery, tmp_path: Path
) -> None:
    wrong = {
        "password": secured.sasl("trainer", **{"sasl.password": "planted-and-wrong"}),
        "authority": secured.sasl("trainer", **{"ssl.ca.location": str(Authority(tmp_path, "others").ca_file)}),
        "certificate": {key: value for key, value in secured.mtls.items() if value != str(secured.replica)},
    }
    lines = [line_as(secured, options, granted, tmp_path / what, nursery) for what, options in wrong.items()]
    doctors = [line.start("doctor") for line in lines]
    try:
        for doctor in doctors:
            assert doctor.wait() == 1, doctor.text()
            assert "FAIL" in doctor.text()
            assert "planted" not in doctor.text()
    finally:
        for line in lines:
            line.close()


def test_no_checkpoint_passes_a_dead_letter_that_the_trainer_may_not_write(
    secured: Secured, nursery: Nursery, tmp_path: Path
) -> None:
    """Row 12: the dead-letter topic denied. Training goes on; what is kept stands before the poison until then."""
    model = new_model()
    create_model_topics(secured.kafka.bootstrap_servers, model, 1)
    write = ("trainer", "topic", f"{model}.dead-letters", "WRITE")
    secured.give(*(binding(*right) for right in documented(model) - {write}))
    running = line_as(secured, secured.sasl("trainer"), model, tmp_path, nursery)
    try:
        trainer = running.start_trainer()
        produce(secured.sasl("producer"), running.topics.labels, [*events(64), b"poison", *events(200, start=64)])
        wait_for(lambda: "Topic authorization failed" in trainer.text(), "the trainer says what it may not do")
        wait_for(lambda: num_learnt(trainer) > 64, "it trains on behind the poison")
        kept = newest_checkpoint(tmp_path / "state", model)
        assert kept is None or kept.offsets[0] <= 64, "no checkpoint stands behind the poison"
        assert letters(secured, model) == []
        secured.give(binding(*write))
        wait_for(lambda: letters(secured, model) == [b"poison"], "the poison is a dead letter")
        wait_for(lambda: (found := newest_checkpoint(tmp_path / "state", model)) and found.offsets[0] == 265, "saved")
        assert trainer.stop() == 0, trainer.text()
    finally:
        running.close()


def num_learnt(trainer: Process) -> float:
    """By its own metrics."""
    metrics = trainer.says("metrics")
    assert metrics is not None
    with urllib.request.urlopen(str(metrics["url"]), timeout=60) as answer:
        found = re.search(rb"^penstock_events_learnt_total (\S+)$", answer.read(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def may_write(options: Mapping[str, str], topic: str) -> bool:
    outcomes: list[KafkaError | None] = []
    producer = Producer({**options, "log_level": 0, "message.timeout.ms": 60_000})
    producer.produce(topic, b"x", on_delivery=lambda error, _: outcomes.append(error))
    producer.flush(90)
    return is_allowed(outcomes[0])


def may_read(options: Mapping[str, str], topic: str) -> bool:
    ignored = {"group.id": "penstock"}  # not every one of them may look for it, which is another question
    consumer = Consumer({**options, **ignored, "log_level": 0, "enable.partition.eof": True})
    try:
        if not is_allowed(consumer.list_topics(topic, timeout=60).topics[topic].error):
            return False  # nobody would say so of an assignment
        consumer.assign([TopicPartition(topic, 0, 0)])
        while (message := consumer.poll(60)) is not None:
            error = message.error()
            if error is None or error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                return is_allowed(error)
        raise AssertionError("neither a message, nor an end, nor an error came")
    finally:
        consumer.close()


def is_allowed(error: KafkaError | None) -> bool:
    """Any other error fails the test."""
    if error is None or error.code() == KafkaError._PARTITION_EOF:
        return True
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, error.str()
    return False
