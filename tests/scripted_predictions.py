"""A prediction topic in memory: brokers stamp what replicas log, and what is stamped later is not there yet."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from kafka_messages import KafkaMessage
from penstock.errors import UnavailableError
from penstock.flow import Offsets
from penstock.wire.message import Message
from stepped_clock import SteppedClock


@dataclass(frozen=True)
class Logged:
    """One prediction; unless it has a value, one that tells it from all others."""

    stamped_ms: int
    prediction_id: str
    partition: int = 0
    value: bytes | None = None


class ScriptedPredictions:
    """`intake.ports.PredictionSource` over predictions in the order in which they are stamped.

    A poll hands over as many as `chop` says; one that finds nothing takes all of its timeout.
    """

    def __init__(
        self,
        logged: Sequence[Logged],
        clock: SteppedClock,
        *,
        num_partitions: int = 2,
        chop: Callable[[int], int] = lambda most: most,
    ) -> None:
        self._clock = clock
        self._chop = chop
        self._log: dict[int, list[KafkaMessage]] = {partition: [] for partition in range(num_partitions)}
        self._position: dict[int, int] = {}
        self._next = 0
        self.paused: set[int] = set()
        self.is_away = False
        self.num_read = 0
        for one in logged:
            self.append(one)

    def append(self, one: Logged) -> None:
        messages = self._log[one.partition]
        messages.append(
            KafkaMessage(
                one.value or value_of(one.partition, len(messages)),
                at_offset=len(messages),
                at_partition=one.partition,
                timestamp_ms=one.stamped_ms,
                with_key=one.prediction_id.encode(),
            )
        )

    def skip_to(self, *, since_ms: int, until_ms: int, max_messages: int) -> None:
        self._fail_if_away()
        for partition, messages in self._log.items():
            visible = messages[: self._end(partition)]
            first = next((m.at_offset for m in visible if m.timestamp_ms >= since_ms), len(visible))
            behind = next((m.at_offset for m in visible if m.timestamp_ms >= until_ms), len(visible))
            start = max(first, behind - max_messages)
            self._position[partition] = max(self._position.get(partition, 0), start)

    def poll(self, max_messages: int, timeout_seconds: float) -> list[Message]:
        taken: list[Message] = []
        wanted = self._chop(max_messages)
        for _ in self._position if not self.is_away else ():
            partition = self._next % len(self._log)
            self._next += 1
            if partition in self.paused:
                continue
            at = self._position[partition]
            part = self._log[partition][at : min(at + wanted - len(taken), self._end(partition))]
            self._position[partition] += len(part)
            taken.extend(part)
        if not taken:
            self._clock.seconds += timeout_seconds
        self.num_read += len(taken)
        return taken

    def partitions(self) -> tuple[int, ...]:
        return tuple(self._log)

    def partitions_at_end(self) -> frozenset[int]:
        return frozenset(p for p, position in self._position.items() if position >= self._end(p))

    def position(self, partition: int) -> int:
        return self._position.get(partition, 0)

    def end_offsets(self) -> Offsets:
        self._fail_if_away()
        return Offsets(next={partition: self._end(partition) for partition in self._log})

    def pause(self, partitions: Collection[int]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        self.paused -= set(partitions)

    def _end(self, partition: int) -> int:
        return sum(message.timestamp_ms <= self._clock.now_ms() for message in self._log[partition])

    def _fail_if_away(self) -> None:
        if self.is_away:
            raise UnavailableError("Kafka does not answer.")


def value_of(partition: int, offset: int) -> bytes:
    """What stands in the log there."""
    return f"{partition}:{offset}".encode()
