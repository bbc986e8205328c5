"""Reads stretches of the update topic, decoded; never waits for a record that is not there yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import structlog
from confluent_kafka import TopicPartition

from penstock.adapters.kafka.catalog import Catalog
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.health import BrokerHealth
from penstock.adapters.kafka.stretch import FETCH_WAIT_MS, messages_between
from penstock.errors import InvalidEventError, RefusedUpdateError
from penstock.flow import LogRecord
from penstock.make_way import MakeWay, go_on
from penstock.wire.model_update import decode_record

PARTITION = 0
"""The only one."""

Check = Callable[[bytes | None, bytes | None], None]
"""Raises `RefusedUpdateError` for a record, by key and value, that must not be taken."""

OnRefused = Callable[[str], None]
"""Hears the reason why a record is passed over."""

log = structlog.get_logger(__name__)


def _take_all(_key: bytes | None, _value: bytes | None) -> None:
    return


def _tell_no_one(_reason: str) -> None:
    return


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A record and where it stands in the log."""

    offset: int
    record: LogRecord


class LogReader:
    """Not thread-safe."""

    def __init__(
        self,
        options: Mapping[str, KafkaValue],
        topic: str,
        health: BrokerHealth,
        *,
        timeout_seconds: float = 5.0,
        check: Check = _take_all,
        on_refused: OnRefused = _tell_no_one,
    ) -> None:
        self._topic = topic
        self._check, self._on_refused = check, on_refused
        self._health = health
        self._timeout_seconds = timeout_seconds
        self.catalog = Catalog({"fetch.wait.max.ms": FETCH_WAIT_MS, **options}, health, timeout_seconds=timeout_seconds)
        self._consumer = self.catalog.consumer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ends(self) -> tuple[int, int]:
        """The log's first offset, and the one after its last. Raises `UnavailableError`."""
        return self.catalog.watermarks(self._topic, PARTITION)

    def read(self, start: int, end: int) -> list[Entry]:
        """The records from `start` up to, not including, `end`, which must not be beyond the log's end.

        What does not decode, or `check` refuses, is logged and left out.

        Raises:
            UnavailableError: the broker does not answer, or the log has been cut meanwhile; try again.
        """
        if start >= end:
            return []
        first = TopicPartition(self._topic, PARTITION, start)
        messages = messages_between(self._consumer, first, end, self._health, timeout_seconds=self._timeout_seconds)
        found = (decoded(message, self._check, on_refused=self._on_refused) for message in messages)
        return [entry for entry in found if entry is not None]

    def close(self) -> None:
        """Leave the broker."""
        self.catalog.close()


def decoded(
    message: Any, check: Check = _take_all, make_way: MakeWay = go_on, on_refused: OnRefused = _tell_no_one
) -> Entry | None:
    """The entry that a message holds, or None with a line in the log if it is no record of ours or `check` refuses.

    `make_way` is called between the steps of decoding.
    """
    try:
        check(message.key(), message.value())
        return Entry(offset=message.offset(), record=decode_record(message.key(), message.value(), make_way))
    except (InvalidEventError, RefusedUpdateError) as error:
        log.warning(
            "a record of the update topic is not taken; it is skipped",
            topic=message.topic(),
            offset=message.offset(),
            reason=str(error),
        )
        on_refused(error.reason)
        return None
