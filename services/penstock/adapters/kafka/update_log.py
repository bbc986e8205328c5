"""The update topic as its one writer sees it: claims, fencing and acknowledged appends, without clocks."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from penstock import failpoints
from penstock.adapters.kafka.acknowledged import AcknowledgedWriter
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import address
from penstock.adapters.kafka.health import BrokerHealth
from penstock.adapters.kafka.log_reader import Entry, LogReader
from penstock.adapters.kafka.tail import Tail, epoch_of, read_tail
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.topic_rules import update_topic_problem
from penstock.adapters.kafka.topics import read_settings
from penstock.errors import ConfigurationError, FencedError
from penstock.flow import Claim, LogRecord, ModelUpdate, Recorded, Withdrawal
from penstock.wire.model_update import encode_record
from penstock.wire.signature import SigningKeys

UPDATES_PER_CLAIM = 15
"""The claim is repeated this often, so that the first steps back from the log's end come upon it."""
CLOSE_SECONDS = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """The outcome of a claim: `trainer.ports.Claimed`."""

    claim: Claim
    highest_version: int
    newest_update: ModelUpdate | None


class KafkaUpdateLog:
    """`trainer.ports.UpdateLog`: one thread claims; then any may use it, one after the other.

    `holder` must differ between two trainers that can run at the same moment.
    """

    def __init__(
        self,
        options: Mapping[str, KafkaValue],
        model: str,
        *,
        timeout_seconds: float = 5.0,
        signing_keys: SigningKeys | None = None,
    ) -> None:
        """With `signing_keys` every update is signed by the first."""
        self._options = options
        self._signing_keys = signing_keys
        self._model = model
        self._topic = TopicNames(model).updates
        self._health = BrokerHealth(address(options))
        self._reader = LogReader(options, self._topic, self._health, timeout_seconds=timeout_seconds)
        self._writer = AcknowledgedWriter(options, self._topic, self._health, timeout_seconds=timeout_seconds)
        self._in_use = threading.Lock()
        self._claim: Claim | None = None
        self._end = 0
        self._updates_since_claim = 0

    def claim(self, holder: str) -> Claimed:
        """Append a claim with the next epoch and read back to it, until ours is the highest in the log.

        1. Find the highest epoch at the end of the log.
        2. Append a claim of the next one.
        3. Read what was appended between the two by others: if it holds an epoch as high as ours, claim again.

        Raises:
            UnavailableError: the broker does not answer.
            ConfigurationError: the topic is missing, has more than one partition, or is not compacted.
        """
        with self._in_use:
            self._check_topic()
            self._writer.connect()
            failpoints.reach("claim.begun")
            tail = read_tail(self._reader)
            failpoints.reach("claim.tail_read")
            claim = self._append_claim(holder, tail)
            while (seen := self._read_back(tail)).highest_epoch >= claim.epoch:
                log.info("another trainer claimed at the same moment; claiming again", epoch=claim.epoch)
                tail = Tail(entries=(*seen.entries, Entry(offset=self._end - 1, record=claim)), end=self._end)
                claim = self._append_claim(holder, tail)
            failpoints.reach("claim.read_back")
            self._claim = claim
            self._updates_since_claim = 0
            return Claimed(claim=claim, highest_version=seen.highest_version, newest_update=seen.newest_update)

    def append(self, update: ModelUpdate) -> None:
        """As `trainer.ports.UpdateLog.append`.

        Raises:
            FencedError: another trainer has claimed since.
            UnavailableError: not acknowledged in time; the caller may try again with the same update.
            ConfigurationError: the update is larger than the topic takes.
        """
        with self._in_use:
            self._look_for_higher_claim()
            failpoints.reach("announcement.not_fenced")
            repeats_claim = self._updates_since_claim >= UPDATES_PER_CLAIM
            self._append([self._own_claim(), update] if repeats_claim else [update])
            failpoints.reach("announcement.acknowledged")
            self._updates_since_claim = 1 if repeats_claim else self._updates_since_claim + 1

    def note_recorded(self, recorded: Recorded) -> None:
        """As `trainer.ports.UpdateLog.note_recorded`; raises as `append`."""
        with self._in_use:
            self._look_for_higher_claim()
            self._append([recorded])

    def refuse_fenced(self) -> None:
        """Raise if this trainer must not write anywhere any more.

        Raises:
            FencedError: another trainer has claimed since.
            UnavailableError: the broker does not answer.
        """
        with self._in_use:
            if self._claim is not None:
                self._look_for_higher_claim()

    def withdraw(self) -> None:
        """Append a tombstone: replicas keep serving the model and flag it. Raises `UnavailableError`."""
        with self._in_use:
            self._write([Withdrawal(model=self._model)])

    def close(self) -> None:
        """Leave the broker; a call that still waits for it is left to the end of the process."""
        if self._in_use.acquire(timeout=CLOSE_SECONDS):
            try:
                self._reader.close()
                self._writer.close()
            finally:
                self._in_use.release()

    def _check_topic(self) -> None:
        num_partitions = len(self._reader.catalog.partitions(self._topic))
        settings = read_settings(self._options, self._topic, self._health)
        problem = update_topic_problem(num_partitions, settings, self._topic)
        if problem is not None:
            raise ConfigurationError(problem)
        if settings is None:
            log.info("whether the update topic is compacted cannot be read from this broker", topic=self._topic)

    def _append_claim(self, holder: str, tail: Tail) -> Claim:
        claim = Claim(epoch=tail.highest_epoch + 1, holder=holder)
        self._end = self._write([claim]) + 1
        failpoints.reach("claim.appended")
        return claim

    def _read_back(self, tail: Tail) -> Tail:
        """The tail, and what others appended between it and our claim."""
        between = self._reader.read(tail.end, self._end - 1)
        return Tail(entries=(*tail.entries, *between), end=self._end - 1)

    def _append(self, records: Sequence[LogRecord]) -> None:
        offset = self._write(records)
        if offset != self._end + len(records) - 1:
            self._look_for_higher_claim()  # somebody wrote in between
        else:
            self._end = offset + 1

    def _look_for_higher_claim(self) -> None:
        """One question to the broker, unless somebody else has written."""
        low, end = self._reader.ends()
        if end < self._end:
            log.warning("the update topic was cut or made anew; reading it from its start", topic=self._topic)
            self._end, self._updates_since_claim = low, UPDATES_PER_CLAIM
        if end > self._end:
            self._refuse_fenced(self._reader.read(max(low, self._end), end))
            self._end = end

    def _refuse_fenced(self, entries: Sequence[Entry]) -> None:
        own = self._own_claim()
        for entry in entries:
            rival = isinstance(entry.record, Claim) and entry.record.holder != own.holder
            if epoch_of(entry) > own.epoch or (rival and epoch_of(entry) == own.epoch):
                by = f" by {entry.record.holder!r}" if isinstance(entry.record, Claim) else ""
                raise FencedError(
                    f"The model {self._model!r} was claimed{by} with epoch {epoch_of(entry)}, over our epoch "
                    f"{own.epoch}: another trainer has taken over, so this one stops. Run one trainer per model."
                )

    def _own_claim(self) -> Claim:
        assert self._claim is not None, "claim before append"
        return self._claim

    def _write(self, records: Sequence[LogRecord]) -> int:
        return self._writer.write([self._encoded(record) for record in records])

    def _encoded(self, record: LogRecord) -> tuple[bytes, bytes | None]:
        key, value = encode_record(record, self._model)
        if self._signing_keys is not None and isinstance(record, ModelUpdate | Recorded) and value is not None:
            value = self._signing_keys.signed(key, value)
        return key, value
