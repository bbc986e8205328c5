"""Dead letters reach the broker unchanged, and are acknowledged before a checkpoint may move past them."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kafka_brokers import Broker, create_model_topics, create_topic, new_name, take_messages_up_to
from penstock.adapters.kafka.dead_letters import DeadLetters
from penstock.adapters.kafka.label_source import LabelSource
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.flow import Offsets
from penstock.wire.dead_letter import DeadLetter
from waiting import PATIENCE_SECONDS

Open = Callable[[str, str], DeadLetters]

HEADERS: list[tuple[str, bytes | None]] = [
    ("content-type", b"application/json"),
    ("twice", b"1"),
    ("twice", b"2"),
    ("empty", b""),
    ("none", None),
    ("__connect.errors.exception.message", "label is '': give it 1 to 256 characters – été".encode()),
]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Makes outboxes, and closes them at the end."""
    outboxes: list[DeadLetters] = []

    def make(bootstrap_servers: str, topic: str) -> DeadLetters:
        outbox = DeadLetters({"bootstrap.servers": bootstrap_servers}, topic)
        outboxes.append(outbox)
        return outbox

    yield make
    for outbox in outboxes:
        outbox.close()


def letter(value: bytes | None) -> DeadLetter:
    return DeadLetter(key=b"\x00key\xff", value=value, headers=HEADERS)


def read_all(bootstrap_servers: str, topic: str, count: int) -> list[tuple[object, ...]]:
    """Key, value and headers of the first `count` messages."""
    source = LabelSource({"bootstrap.servers": bootstrap_servers}, topic, "onlooker")
    found: list[tuple[object, ...]] = []
    try:
        source.start(Offsets())
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(found) < count and time.monotonic() < deadline:
            found += [(each.key(), each.value(), each.headers()) for each in source.poll(100, 0.5)]
    finally:
        source.close()
    return found


def test_an_acknowledged_letter_is_on_the_topic_with_key_value_and_headers_as_they_were(
    broker: Broker, opened: Open
) -> None:
    topic = new_name()
    broker.create_topic(topic, 1)
    outbox = opened(broker.bootstrap_servers, topic)
    values = [b"\xde\xad not json", None, b""]
    for value in values:
        outbox.send(letter(value))
    assert outbox.wait_acknowledged(PATIENCE_SECONDS)
    assert read_all(broker.bootstrap_servers, topic, 3) == [(b"\x00key\xff", value, HEADERS) for value in values]


def test_with_nothing_sent_nothing_is_waited_for(opened: Open, unused_address: str) -> None:
    assert opened(unused_address, "any").wait_acknowledged(0)


def test_many_letters_from_one_thread_are_waited_for_on_another(broker: Broker, opened: Open) -> None:
    topic = new_name()
    broker.create_topic(topic, 1)
    outbox = opened(broker.bootstrap_servers, topic)

    def send_all() -> None:
        for number in range(2000):
            outbox.send(letter(b"%d" % number))

    sender = threading.Thread(target=send_all)
    sender.start()
    while sender.is_alive():
        assert outbox.wait_acknowledged(PATIENCE_SECONDS)
    assert outbox.wait_acknowledged(PATIENCE_SECONDS)
    assert len(read_all(broker.bootstrap_servers, topic, 2000)) == 2000


def test_while_the_broker_is_away_letters_are_kept_and_the_wait_ends_at_its_timeout(
    opened: Open, unused_address: str
) -> None:
    outbox = opened(unused_address, "any")
    began = time.monotonic()
    outbox.send(letter(b"x"))
    assert not outbox.wait_acknowledged(0.3)
    assert time.monotonic() - began < PATIENCE_SECONDS / 4


def test_a_letter_for_a_missing_topic_waits_until_it_is_created(kafka: LocalKafka, opened: Open) -> None:
    topic = new_name()
    outbox = opened(kafka.bootstrap_servers, topic)
    outbox.send(letter(b"early"))
    assert not outbox.wait_acknowledged(0.3)
    create_topic(kafka.bootstrap_servers, topic, 1)
    assert outbox.wait_acknowledged(PATIENCE_SECONDS)
    assert read_all(kafka.bootstrap_servers, topic, 1) == [(b"\x00key\xff", b"early", HEADERS)]


def test_a_letter_that_the_broker_refuses_is_sent_again_until_it_is_taken(kafka: LocalKafka, opened: Open) -> None:
    topic = new_name()
    create_topic(kafka.bootstrap_servers, topic, 1, {"max.message.bytes": 1000})
    outbox = opened(kafka.bootstrap_servers, topic)
    outbox.send(letter(b"x" * 5000))
    outbox.send(letter(b"small"))
    assert not outbox.wait_acknowledged(1.0)
    take_messages_up_to(100_000, kafka.bootstrap_servers, topic)
    assert outbox.wait_acknowledged(PATIENCE_SECONDS)
    values = [len(value) for _, value, _ in read_all(kafka.bootstrap_servers, topic, 2) if isinstance(value, bytes)]
    assert sorted(values) == [5, 5000]


def test_a_letter_of_900_kilobytes_fits_the_topic_that_we_create(kafka: LocalKafka, opened: Open) -> None:
    model = new_name()
    create_model_topics(kafka.bootstrap_servers, model)
    outbox = opened(kafka.bootstrap_servers, f"{model}.dead-letters")
    outbox.send(letter(b"x" * 1_000_000))
    assert outbox.wait_acknowledged(PATIENCE_SECONDS)
