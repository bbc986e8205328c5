"""The prediction topic as the intake reads it, to join late labels: from a point in time on, and never back."""

from collections.abc import Collection, Mapping
from typing import Any

import structlog
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, TopicPartition

from penstock.adapters.kafka.catalog import Catalog
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import (
    address,
    connect_consumer,
    consumer_config,
    fetch_wait_ms,
    unanswered,
    wait_until_connected,
)
from penstock.adapters.kafka.health import BrokerHealth
from penstock.clock import Clock, SystemClock
from penstock.errors import ConfigurationError, UnavailableError
from penstock.flow import Offsets

REFRESH_SECONDS = 30.0
"""How often new partitions are looked for."""
TIMEOUT_SECONDS = 1.0
"""Of one question to the broker, while labels wait."""
QUEUED_KILOBYTES = 16 * 1024
"""What librdkafka may fetch ahead of an intake that is busy."""

log = structlog.get_logger(__name__)


class KafkaPredictionSource:
    """`intake.ports.PredictionSource`, for one thread. Messages are `confluent_kafka.Message` objects."""

    def __init__(
        self, options: Mapping[str, KafkaValue], topic: str, *, timeout_seconds: float = 5.0, clock: Clock | None = None
    ) -> None:
        self._options = options
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._clock = clock or SystemClock()
        self._health = BrokerHealth(address(options))
        self._catalog = Catalog(options, self._health, timeout_seconds=TIMEOUT_SECONDS)
        self._consumer: Any = None
        self._partitions: tuple[int, ...] = ()
        self._next: dict[int, int] = {}
        self._ends_heard: dict[int, int] = {}
        self._refresh_due = 0.0
        self._stamped_by_broker: bool | None = None

    def start(self) -> None:
        """Connect.

        Raises:
            ConfigurationError: the topic is missing.
            UnavailableError: the broker does not answer; try again.
        """
        self._partitions = self._catalog.partitions(self._topic, timeout_seconds=self._timeout_seconds)
        wait_ms = fetch_wait_ms(is_embedded=self._catalog.is_embedded)
        config = {"fetch.wait.max.ms": wait_ms, "queued.max.messages.kbytes": QUEUED_KILOBYTES, **self._options}
        consumer = connect_consumer(consumer_config(config), self._health)
        try:
            wait_until_connected(consumer, self._topic, self._health, self._timeout_seconds)
        except BaseException:  # the next attempt makes one of its own
            consumer.close()
            raise
        self._consumer = consumer
        self._refresh_due = self._clock.monotonic_seconds() + REFRESH_SECONDS

    def skip_to(self, *, since_ms: int, until_ms: int, max_messages: int) -> None:
        """As `intake.ports.PredictionSource.skip_to`. Raises `UnavailableError`."""
        finds_by_time = not self._catalog.is_embedded
        first = self._offsets_at(since_ms) if finds_by_time else {}
        behind = self._offsets_at(until_ms) if finds_by_time else {}
        wanted: dict[int, int] = {}
        for partition in self._partitions:
            low, self._ends_heard[partition] = self._catalog.watermarks(self._topic, partition)
            start = max(low, first.get(partition, low), behind.get(partition, low) - max_messages)
            if start > self._next.get(partition, -1):
                wanted[partition] = start
        self._assign(wanted)
        log.info("reading predictions", topic=self._topic, offsets=dict(sorted(self._next.items())))

    def poll(self, max_messages: int, timeout_seconds: float) -> list[Any]:
        """As `intake.ports.PredictionSource.poll`."""
        first = self._consumer.poll(timeout_seconds)
        found = [] if first is None else [first]
        if found and max_messages > 1:
            found += self._consumer.consume(max_messages - 1, 0)
        messages = [message for message in found if message.error() is None]
        for message in found:
            if message.error() is None:
                self._next[message.partition()] = message.offset() + 1
            else:
                self._note(message)
        if messages:
            self._health.answered()
            self._look_at_timestamps(messages[0])
        self._look_for_new_partitions()
        return messages

    def partitions(self) -> tuple[int, ...]:
        """All partitions, ascending."""
        return self._partitions

    def partitions_at_end(self) -> frozenset[int]:
        """As `intake.ports.PredictionSource.partitions_at_end`."""
        return frozenset(partition for partition, next_ in self._next.items() if next_ >= self._end_of(partition))

    def position(self, partition: int) -> int:
        """As `intake.ports.PredictionSource.position`."""
        return self._next.get(partition, 0)

    def end_offsets(self) -> Offsets:
        """As `intake.ports.PredictionSource.end_offsets`. Raises `UnavailableError`."""
        for partition in self._partitions:
            self._ends_heard[partition] = self._catalog.watermarks(self._topic, partition)[1]
        return Offsets(next=dict(self._ends_heard))

    def pause(self, partitions: Collection[int]) -> None:
        """As `intake.ports.PredictionSource.pause`."""
        self._consumer.pause([TopicPartition(self._topic, partition) for partition in partitions])

    def resume(self, partitions: Collection[int]) -> None:
        """As `intake.ports.PredictionSource.resume`."""
        self._consumer.resume([TopicPartition(self._topic, partition) for partition in partitions])

    def close(self) -> None:
        """Leave the broker."""
        self._catalog.close()
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _offsets_at(self, timestamp_ms: int) -> dict[int, int]:
        """Of each partition's first message stamped then or later; its end if there is none."""
        asked = [TopicPartition(self._topic, partition, max(timestamp_ms, 0)) for partition in self._partitions]
        try:
            answers = self._catalog.consumer.offsets_for_times(asked, timeout=TIMEOUT_SECONDS)
        except KafkaException as error:
            raise unanswered(error, self._health) from None
        found: dict[int, int] = {}
        for answer in answers:
            if answer.error is not None:
                raise unanswered(KafkaException(answer.error), self._health)
            end = self._catalog.watermarks(self._topic, answer.partition)[1] if answer.offset < 0 else answer.offset
            found[answer.partition] = end
        return found

    def _assign(self, wanted: Mapping[int, int]) -> None:
        held = [TopicPartition(self._topic, partition) for partition in wanted if partition in self._next]
        if held:
            self._consumer.incremental_unassign(held)
        self._consumer.incremental_assign([TopicPartition(self._topic, p, offset) for p, offset in wanted.items()])
        self._next |= wanted

    def _note(self, message: Any) -> None:
        """Something that came in place of a message."""
        error, partition = message.error(), message.partition()
        if error.code() == KafkaError._PARTITION_EOF:
            self._next[partition] = self._ends_heard[partition] = message.offset()
            self._health.answered()
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION):
            self._read_what_is_left(partition, error)
        else:
            self._health.failed(error)

    def _read_what_is_left(self, partition: int, error: Any) -> None:
        """Retention was quicker, or the topic was made anew."""
        try:
            low, self._ends_heard[partition] = self._catalog.watermarks(self._topic, partition)
        except UnavailableError:
            low = 0
        log.warning("predictions are gone before they were read", partition=partition, reason=error.str(), next=low)
        self._assign({partition: low})

    def _end_of(self, partition: int) -> int:
        """The offset behind the last message, as last heard; no question is asked."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return max(int(high), self._ends_heard.get(partition, 0))

    def _look_at_timestamps(self, message: Any) -> None:
        is_ours = message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME
        if is_ours != self._stamped_by_broker:
            self._stamped_by_broker = is_ours
            if not is_ours:
                log.warning(
                    "predictions carry the replicas' timestamps: late labels may be joined otherwise when read again; "
                    "set message.timestamp.type=LogAppendTime",
                    topic=self._topic,
                )

    def _look_for_new_partitions(self) -> None:
        now = self._clock.monotonic_seconds()
        if now < self._refresh_due or not self._next:
            return
        self._refresh_due = now + REFRESH_SECONDS
        try:
            partitions = self._catalog.partitions(self._topic)
            for partition in sorted(set(partitions) - set(self._partitions)):
                low, self._ends_heard[partition] = self._catalog.watermarks(self._topic, partition)
                self._assign({partition: low})
                log.info("a partition was added; reading it too", topic=self._topic, partition=partition, offset=low)
            self._partitions = partitions
        except (ConfigurationError, UnavailableError) as error:
            log.debug("partitions not refreshed", reason=str(error))
