"""Reads a stretch of a partition that is known to be there; never waits for a message that is not there yet."""

from collections.abc import Iterator
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from penstock.adapters.kafka.connection import unanswered
from penstock.adapters.kafka.health import BrokerHealth
from penstock.errors import UnavailableError

FETCH_WAIT_MS = 10
"""For the consumer. A stretch may end in offsets that hold no message; the broker then says so this much later."""


def messages_between(
    consumer: Any, start: TopicPartition, end: int, health: BrokerHealth, *, timeout_seconds: float
) -> Iterator[Any]:
    """The messages from `start` up to, not including, `end`, which must not be beyond the log's end.

    Raises:
        UnavailableError: the broker does not answer or refuses, or the log has been cut meanwhile; try again.
    """
    try:
        consumer.assign([start])
        yield from _messages(consumer, end, health, timeout_seconds)
    except KafkaException as error:
        raise unanswered(error, health) from None
    finally:
        consumer.unassign()


def _messages(consumer: Any, end: int, health: BrokerHealth, timeout_seconds: float) -> Iterator[Any]:
    while True:
        message = consumer.poll(timeout_seconds)
        if message is None:
            raise UnavailableError(f"Kafka does not answer at {health.address}.")
        error = message.error()
        if error is None:
            health.answered()
            if message.offset() < end:
                yield message
            if message.offset() >= end - 1:
                return
        elif error.code() == KafkaError._PARTITION_EOF:
            return
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise UnavailableError(f"The log of {message.topic()!r} was cut while it was read: {error.str()}.")
        elif error.code() < 0 or error.retriable() or error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            health.failed(error)  # of a group that nobody joins, reading asks nothing
        else:
            raise KafkaException(error)
