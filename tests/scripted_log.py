"""A label topic in memory with its own clock: messages arrive when the script says so."""

from collections.abc import Callable, Collection, Mapping, Sequence

from kafka_messages import KafkaMessage
from penstock.telemetry import MetricName
from penstock.wire.dead_letter import DeadLetter
from penstock.wire.message import Message
from stepped_clock import SteppedClock


class ScriptedLog:
    """A `MessageSource` over partitions held in memory.

    Each poll hands over as many messages as `chop` says, of partitions picked by it; a poll that finds nothing takes
    all of its timeout.
    """

    def __init__(
        self,
        log: Mapping[int, Sequence[KafkaMessage]],
        clock: SteppedClock,
        *,
        offsets: Mapping[int, int] | None = None,
        chop: Callable[[int], int] = lambda most: most,
        grows: bool = False,
    ) -> None:
        self._log = {partition: list(messages) for partition, messages in log.items()}
        self._clock = clock
        self._position = {partition: (offsets or {}).get(partition, 0) for partition in log}
        self._chop = chop
        self._grows = grows
        self._next = 0
        self._added: dict[int, list[KafkaMessage]] = {}
        self.paused: set[int] = set()
        self.polls: list[tuple[int, float]] = []

    def poll(self, max_messages: int, timeout_seconds: float) -> list[Message]:
        assert max_messages >= 1
        assert timeout_seconds >= 0
        self.polls.append((max_messages, timeout_seconds))
        wanted = self._chop(max_messages)
        taken: list[Message] = []
        for _ in self._log:
            partition = list(self._log)[self._next % len(self._log)]
            self._next += 1
            if partition in self.paused:
                continue
            at = self._position[partition]
            part = self._log[partition][at : at + wanted - len(taken)]
            self._position[partition] += len(part)
            taken.extend(part)
        if not taken:
            self._clock.seconds += timeout_seconds
        return taken

    def partitions(self) -> tuple[int, ...]:
        return tuple(sorted(self._log))

    def partitions_at_end(self) -> frozenset[int]:
        if self._grows:
            return frozenset()
        return frozenset(p for p, messages in self._log.items() if self._position[p] >= len(messages))

    def add_partition(self, partition: int, messages: Sequence[KafkaMessage]) -> None:
        """The topic gains one."""
        self._added[partition] = list(messages)

    def added_partitions(self) -> frozenset[int]:
        return frozenset(self._added)

    def read_too(self, partitions: Collection[int]) -> None:
        for partition in partitions:
            self._log[partition], self._position[partition] = self._added.pop(partition), 0

    def pause(self, partitions: Collection[int]) -> None:
        self.paused |= set(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        self.paused -= set(partitions)

    def append(self, message: KafkaMessage) -> None:
        """A producer's message arrives."""
        self._log[message.at_partition].append(message)


class Letters:
    """A `DeadLetterSink` that keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[DeadLetter] = []

    def send(self, letter: DeadLetter) -> None:
        self.sent.append(letter)


class Reports:
    """A `Telemetry` that keeps what it was told."""

    def __init__(self) -> None:
        self.counts: dict[tuple[MetricName, frozenset[tuple[str, str]]], float] = {}
        self.observed: dict[MetricName, list[float]] = {}

    def count(self, name: MetricName, amount: float = 1, /, **labels: str) -> None:
        key = (name, frozenset(labels.items()))
        self.counts[key] = self.counts.get(key, 0) + amount

    def gauge(self, name: MetricName, value: float, /, **labels: str) -> None:
        raise AssertionError("the intake sets no gauge")

    def observe(self, name: MetricName, value: float, /, **labels: str) -> None:
        self.observed.setdefault(name, []).append(value)

    def identify(self, *, model: str, version: int, sha256: str) -> None:
        raise AssertionError("the intake knows no model")
