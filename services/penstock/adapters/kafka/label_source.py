"""The label topic as the intake reads it: all partitions assigned, each from an explicit offset, nothing skipped."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Literal

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from penstock.adapters.kafka.catalog import Catalog
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import (
    address,
    connect_consumer,
    consumer_config,
    fetch_wait_ms,
    wait_until_connected,
)
from penstock.adapters.kafka.health import BrokerHealth
from penstock.clock import Clock, SystemClock
from penstock.errors import ConfigurationError, RetentionError, UnavailableError
from penstock.flow import Offsets
from penstock.intake.gaps import ACCEPT, Gap, gap_at

REFRESH_SECONDS = 5.0
"""How often new partitions are looked for."""
REFRESH_TIMEOUT_SECONDS = 0.2
ENDS_SECONDS = 0.1
"""How often the ends that other threads ask for are renewed, and offsets that they gave are committed."""

NewPartitions = Literal["read", "offer", "leave"]
"""What becomes of a partition added while running: read from its start at once; offered as `added_partitions` to a
reader whose order depends on their number; or left to the next start."""

log = structlog.get_logger(__name__)


class LabelSource:
    """`intake.ports.MessageSource` for one thread; as `trainer.ports.OffsetLog` for any.

    Messages are `confluent_kafka.Message` objects.
    """

    def __init__(
        self,
        options: Mapping[str, KafkaValue],
        topic: str,
        group_id: str,
        *,
        timeout_seconds: float = 5.0,
        refresh_seconds: float = REFRESH_SECONDS,
        new_partitions: NewPartitions = "read",
        clock: Clock | None = None,
    ) -> None:
        self._options = {"group.id": group_id, **options}
        self._topic = topic
        self._timeout_seconds = timeout_seconds
        self._refresh_seconds = refresh_seconds
        self._new_partitions = new_partitions
        self._clock = clock or SystemClock()
        self._health = BrokerHealth(address(options))
        self._catalog = Catalog(options, self._health, timeout_seconds=timeout_seconds)
        self._consumer: Any = None
        self._reached: dict[int, int] = {}  # all below it was returned, as known at the start or at an end since
        self._ends_heard: dict[int, int] = {}
        self._added: set[int] = set()  # known of, and not read
        self._end_offsets = Offsets()  # replaced whole, for other threads
        self._to_commit = Offsets()  # replaced whole, by other threads
        self._ends_due = self._refresh_due = 0.0

    def start(self, offsets: Offsets) -> None:
        """Assign every partition, from these next offsets; one that they lack from the start of its log.

        Raises:
            RetentionError: the log no longer holds, or does not yet hold, what follows an offset.
            ConfigurationError: the topic is missing.
            UnavailableError: the broker does not answer; try again.
        """
        partitions = self._catalog.partitions(self._topic)
        self._refuse_missing(offsets, partitions)
        for partition in partitions:
            low, self._ends_heard[partition] = self._catalog.watermarks(self._topic, partition)
            self._reached[partition] = offsets.next.get(partition, low)
            self._refuse_hole(partition, low)
        self._consumer = self._assigned_consumer()
        self._refresh_due = self._clock.monotonic_seconds() + self._refresh_seconds
        self._hear_ends()
        log.info("reading labels", topic=self._topic, offsets=self._reached)

    def poll(self, max_messages: int, timeout_seconds: float) -> list[Any]:
        """As `intake.ports.MessageSource.poll`.

        Raises:
            RetentionError: the events at the position are gone.
        """
        first = self._consumer.poll(timeout_seconds)
        found = [] if first is None else [first]
        if found and max_messages > 1:
            # It waits for all it is asked for, so it is not asked to wait.
            found += self._consumer.consume(max_messages - 1, 0)
        messages = [message for message in found if message.error() is None]
        if messages:
            self._health.answered()
        if len(messages) < len(found):
            for message in found:
                if message.error() is not None:
                    self._note(message)
        self._keep_up()
        return messages

    def partitions(self) -> tuple[int, ...]:
        """All partitions, ascending."""
        return tuple(sorted(self._reached))

    def added_partitions(self) -> frozenset[int]:
        """As `intake.ports.MessageSource.added_partitions`."""
        return frozenset(self._added) if self._new_partitions == "offer" else frozenset()

    def read_too(self, partitions: Collection[int]) -> None:
        """As `intake.ports.MessageSource.read_too`.

        Raises:
            RetentionError: its first events are gone already.
            UnavailableError: the broker does not answer; what is not yet read is still offered.
        """
        for partition in sorted(partitions):
            low, end = self._catalog.watermarks(self._topic, partition)
            self._refuse_gap(gap_at(partition, wanted=0, low=low, end=end))
            self._ends_heard[partition], self._reached[partition] = end, 0
            self._consumer.incremental_assign(self._at({partition: 0}))
            self._added.discard(partition)
            log.info("a partition was added; reading it too", topic=self._topic, partition=partition)

    def partitions_at_end(self) -> frozenset[int]:
        """As `intake.ports.MessageSource.partitions_at_end`."""
        return frozenset(
            position.partition
            for position in self._consumer.position(self._of(self._reached))
            if max(position.offset, self._reached[position.partition]) >= self._end_of(position.partition)
        )

    def pause(self, partitions: Collection[int]) -> None:
        """As `intake.ports.MessageSource.pause`."""
        self._consumer.pause(self._of(partitions))

    def resume(self, partitions: Collection[int]) -> None:
        """As `intake.ports.MessageSource.resume`."""
        self._consumer.resume(self._of(partitions))

    def commit(self, offsets: Offsets) -> None:
        """As `trainer.ports.OffsetLog.commit`; returns at once. The polling thread sends it: a consumer serves one.

        librdkafka's Python client makes a second thread wait until the first leaves `poll`, which may be never.
        """
        self._to_commit = offsets

    def end_offsets(self) -> Offsets:
        """As `trainer.ports.OffsetLog.end_offsets`."""
        return self._end_offsets

    def close(self) -> None:
        """Leave the broker."""
        self._catalog.close()
        if self._consumer is not None:
            self._send_commit()
            self._consumer.close()
            self._consumer = None

    def _assigned_consumer(self) -> Any:
        wait_ms = fetch_wait_ms(is_embedded=self._catalog.is_embedded)
        config = consumer_config({"fetch.wait.max.ms": wait_ms, **self._options})
        consumer = connect_consumer(config, self._health, on_commit=self._committed)
        try:
            wait_until_connected(consumer, self._topic, self._health, self._timeout_seconds)
            consumer.assign(self._at(self._reached))
        except BaseException:
            consumer.close()
            raise
        return consumer

    def _refuse_missing(self, offsets: Offsets, partitions: Collection[int]) -> None:
        for partition in sorted(set(offsets.next) - set(partitions)):
            raise RetentionError(
                f"The checkpoint continues {self._topic!r} partition {partition} at offset {offsets[partition]}, but "
                f"the topic has only {len(partitions)} partitions: it was made anew. {ACCEPT}"
            )

    def _refuse_hole(self, partition: int, low: int) -> None:
        self._refuse_gap(gap_at(partition, wanted=self._reached[partition], low=low, end=self._ends_heard[partition]))

    def _refuse_gap(self, gap: Gap | None) -> None:
        if gap is not None:
            raise RetentionError(f"{gap.sentence(self._topic)} {ACCEPT}")

    def _note(self, message: Any) -> None:
        """Something that came in place of a message."""
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            self._reached[message.partition()] = message.offset()
            self._health.answered()
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION):
            self._raise_hole(message)
        else:
            self._health.failed(error)

    def _raise_hole(self, message: Any) -> None:
        partition = message.partition()
        with suppress(UnavailableError):  # the broker has gone since; how many events are missing is then not known
            low, self._ends_heard[partition] = self._catalog.watermarks(self._topic, partition)
            self._reached[partition] = message.offset()
            self._refuse_hole(partition, low)
        raise RetentionError(
            f"{self._topic!r} partition {partition} cannot be read on from offset {message.offset()}: "
            f"{message.error().str()}. {ACCEPT}"
        )

    def _keep_up(self) -> None:
        """What is renewed now and then, on the thread that polls."""
        now = self._clock.monotonic_seconds()
        if now >= self._ends_due:
            self._ends_due = now + ENDS_SECONDS
            self._hear_ends()
            self._send_commit()
        if now >= self._refresh_due:
            self._refresh_due = now + self._refresh_seconds
            self._look_for_new_partitions()

    def _send_commit(self) -> None:
        offsets, self._to_commit = self._to_commit, Offsets()
        if offsets.next:
            try:
                self._consumer.commit(offsets=self._at(offsets.next), asynchronous=True)
            except KafkaException as error:
                self._committed(error.args[0], [])

    def _hear_ends(self) -> None:
        self._end_offsets = Offsets(next={partition: self._end_of(partition) for partition in self._reached})

    def _end_of(self, partition: int) -> int:
        """The offset behind the last message, as last heard; no question is asked."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return max(int(high), self._ends_heard[partition])

    def _look_for_new_partitions(self) -> None:
        try:
            partitions = self._catalog.partitions(self._topic, timeout_seconds=REFRESH_TIMEOUT_SECONDS)
            self._take_note(frozenset(partitions) - self._added - set(self._reached))
        except (ConfigurationError, UnavailableError) as error:
            log.debug("partitions not refreshed", reason=str(error))

    def _take_note(self, added: frozenset[int]) -> None:
        self._added |= added
        if self._new_partitions == "read":
            self.read_too(tuple(self._added))
        for partition in sorted(added & self._added) if self._new_partitions == "leave" else ():
            log.warning("a partition was added; it is read from the next start on", partition=partition)

    def _committed(self, error: Any, _partitions: object) -> None:
        if error is not None and error.code() != KafkaError._NO_OFFSET:
            log.warning("group offsets not committed; only lag tools read them", reason=error.str())

    def _at(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]

    def _of(self, partitions: Collection[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions]
