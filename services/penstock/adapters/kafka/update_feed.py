"""The update topic as a replica reads it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from confluent_kafka import KafkaError, TopicPartition

from penstock.adapters.kafka.catalog import MISSING
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import (
    address,
    connect_consumer,
    consumer_config,
    fetch_wait_ms,
    wait_until_connected,
)
from penstock.adapters.kafka.health import BrokerHealth
from penstock.adapters.kafka.log_reader import PARTITION, LogReader, decoded
from penstock.adapters.kafka.tail import Tail, read_tail
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.topic_rules import update_topic_problem
from penstock.errors import ConfigurationError, UnavailableError
from penstock.flow import LogRecord
from penstock.make_way import MakeWay, go_on
from penstock.wire.model_update import CLAIM_SUFFIX
from penstock.wire.signature import SigningKeys

MAX_RECORDS = 16
"""Returned by one poll; they hold weights."""
QUEUED_KILOBYTES = 16 * 1024
"""What librdkafka may fetch ahead of a replica that is busy."""
RECEIVED_BYTES = 128 * 1024
"""In the socket's buffer (Linux takes twice as many), and so copied out of it by one system call, which nothing
interrupts: of a megabyte it would take half a millisecond."""
PATIENCE_SECONDS = 1.0
"""For one attempt at finding the topic again."""
RETRY_SECONDS = 0.25

log = structlog.get_logger(__name__)


class KafkaUpdateFeed:
    """`serving.ports.UpdateFeed`. Not thread-safe.

    A topic that is cut or made anew, as after the loss of a broker's disk, is read again from its end.
    """

    def __init__(
        self,
        options: Mapping[str, KafkaValue],
        model: str,
        *,
        timeout_seconds: float = 5.0,
        signing_keys: SigningKeys | None = None,
        on_refused: Callable[[str], None] = lambda _: None,
        make_way: MakeWay = go_on,
    ) -> None:
        """With `signing_keys` updates that none of them has signed are skipped, as is what is no record of ours.

        `on_refused` hears why, of each. `make_way` is called between the steps of a poll that are not small.
        """
        self._make_way = make_way
        self._signing_keys = signing_keys
        self._on_refused = on_refused
        self._options = options
        self._topic = TopicNames(model).updates
        self._timeout_seconds = timeout_seconds
        self._health = BrokerHealth(address(options))
        self._consumer: Any = None

    def newest(self) -> list[LogRecord]:
        """As `serving.ports.UpdateFeed.newest`.

        Raises:
            UnavailableError: the broker does not answer, or has no such topic yet.
            ConfigurationError: the topic has more than one partition.
        """
        return self._find(self._timeout_seconds)

    def poll(self, timeout_seconds: float) -> list[LogRecord]:
        """As `serving.ports.UpdateFeed.poll`; records from before may come again after the topic was cut."""
        if self._consumer is None:
            return self._find_again(timeout_seconds)
        first = self._consumer.poll(timeout_seconds)
        if first is None:
            return []
        records: list[LogRecord] = []
        for message in (first, *self._consumer.consume(MAX_RECORDS - 1, 0)):
            if message.error() is not None:
                self._note(message.error())
                continue
            self._make_way()
            if (entry := decoded(message, self._check, self._make_way, self._on_refused)) is not None:
                self._health.answered()
                records.append(entry.record)
        return records

    def close(self) -> None:
        """Leave the broker."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _check(self, key: bytes | None, value: bytes | None) -> None:
        """Raises `RefusedUpdateError` for an update that is not signed as it must be."""
        if self._signing_keys is None or key is None or value is None or key.endswith(CLAIM_SUFFIX.encode()):
            return
        self._signing_keys.check(key, value)

    def _find(self, timeout_seconds: float) -> list[LogRecord]:
        self.close()
        with LogReader(
            self._options,
            self._topic,
            self._health,
            timeout_seconds=timeout_seconds,
            check=self._check,
            on_refused=self._on_refused,
        ) as reader:
            self._check_topic(reader)
            tail = read_tail(reader)
            self._follow(tail, fetch_wait_ms(is_embedded=reader.catalog.is_embedded))
        return [entry.record for entry in tail.entries]

    def _check_topic(self, reader: LogReader) -> None:
        try:
            partitions = reader.catalog.partitions(self._topic)
        except ConfigurationError as error:  # a replica may well start before the topics are created
            raise UnavailableError(str(error)) from None
        problem = update_topic_problem(len(partitions), None, self._topic)
        if problem is not None:
            raise ConfigurationError(problem)

    def _follow(self, tail: Tail, wait_ms: int) -> None:
        config = {
            "fetch.wait.max.ms": wait_ms,
            "queued.max.messages.kbytes": QUEUED_KILOBYTES,
            "socket.receive.buffer.bytes": RECEIVED_BYTES,
            **self._options,
        }
        consumer = connect_consumer(consumer_config(config), self._health)
        try:
            wait_until_connected(consumer, self._topic, self._health, self._timeout_seconds)
            consumer.assign([TopicPartition(self._topic, PARTITION, tail.end)])
        except BaseException:  # one that nothing is assigned to would wait for ever
            consumer.close()
            raise
        self._consumer = consumer

    def _find_again(self, timeout_seconds: float) -> list[LogRecord]:
        try:
            return self._find(PATIENCE_SECONDS)
        except (UnavailableError, ConfigurationError) as error:
            log.debug("update topic not found yet", reason=str(error))
            time.sleep(min(timeout_seconds, RETRY_SECONDS))
            return []

    def _note(self, error: Any) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._health.answered()
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION, *MISSING):
            log.warning("the update topic was cut or made anew; looking for its newest update", reason=error.str())
            self.close()
        else:
            self._health.failed(error)
