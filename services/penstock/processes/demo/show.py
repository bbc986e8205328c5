"""The play: two new digits at a time to both lines, examinations over HTTP, freshness all the while."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.label_producer import LabelProducer, Outgoing
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.errors import StopError
from penstock.processes.demo.configuration import Line
from penstock.processes.demo.digits import DigitStream, Images
from penstock.processes.demo.examiner import Examiner
from penstock.processes.demo.freshness import ProducedEvents, UpdateWatch, VersionProbe
from penstock.processes.demo.view import Snapshot, View

EVENTS_PER_SECOND = 50.0
TICK_SECONDS = 0.05
EXAMINATION_SECONDS = 0.6
START_SECONDS = 90.0
END_SECONDS = 0.5
"""For all threads together; one that waits for an answer longer than that ends with the process."""
LEARNT_SECONDS = 40.0


class Show:
    """Streams the digits and watches both lines; a context manager, for its threads."""

    def __init__(self, lines: tuple[Line, Line], bootstrap_servers: str, stream: DigitStream, view: View) -> None:
        kafka: dict[str, KafkaValue] = {"bootstrap.servers": bootstrap_servers}
        self._lines = lines
        self._view = view
        self.stream = stream
        self._producers = [LabelProducer(kafka, TopicNames(line.model).labels) for line in lines]
        self._watches = [UpdateWatch(kafka, line.model) for line in lines]
        self._probes = [VersionProbe(url, lines[0].model) for url in lines[0].replica_urls]
        self.examiners = [Examiner(line.replica_urls, line.model, stream) for line in lines]
        self._produced = ProducedEvents()
        self._num_produced = 0
        self._digits: tuple[int, ...] = ()
        self._examined_at = 0.0
        self._stage = "starting"
        self._speed = _Speed()

    def __enter__(self) -> Self:
        for watch in self._watches:
            watch.start()
        for probe in self._probes:
            probe.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        followers: list[VersionProbe | UpdateWatch] = [*self._probes, *self._watches]
        for each in followers:
            each.end()
        deadline = time.monotonic() + END_SECONDS
        for each in followers:
            each.wait(max(deadline - time.monotonic(), 0))

    @property
    def num_versions(self) -> int:
        """Versions announced."""
        return len(self._watches[0].updates)

    def freshness_seconds(self) -> npt.NDArray[np.float64]:
        """Of every event at every replica, so far."""
        return np.concatenate([self._produced.freshness_seconds(self._watches[0], probe) for probe in self._probes])

    def play(self) -> Iterator[None]:
        """Yields about twenty times a second; between two yields nothing takes long."""
        yield from self._until(self._all_started, START_SECONDS, "trainers and replicas have not started")
        for pair, images in zip(self.stream.pairs, self.stream.train, strict=True):
            self._stage = f"new digits {pair[0]} and {pair[1]}"
            self._digits += pair
            yield from self._produce(images)
            yield from self._until(self._all_learnt, LEARNT_SECONDS, "the events produced have not all been served")
            self._examine()
        self._stage = "done"
        self._show()
        yield

    def _produce(self, images: Images) -> Iterator[None]:
        began = time.monotonic()
        for sent, value in enumerate(images.events(f"pair-{self._digits[-1]}")):
            while sent / EVENTS_PER_SECOND > time.monotonic() - began:
                yield from self._tick()
            self._send(value)

    def _send(self, value: bytes) -> None:
        message = Outgoing(value=value, content_type="application/json", num_events=1)
        produced_at = time.time()
        self._producers[0].send(
            message,
            partial(self._produced.add, produced_at=produced_at),
        )
        self._producers[1].send(message)
        self._num_produced += 1

    def _tick(self) -> Iterator[None]:
        for producer in self._producers:
            producer.flush(0)
        if self._num_produced and time.monotonic() - self._examined_at >= EXAMINATION_SECONDS:
            self._examine()
        self._show()
        yield
        time.sleep(TICK_SECONDS)

    def _until(self, condition: Callable[[], bool], timeout_seconds: float, otherwise: str) -> Iterator[None]:
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            if time.monotonic() > deadline:
                raise StopError(f"After {timeout_seconds:.0f} seconds {otherwise}; the logs folder says more.")
            yield from self._tick()

    def _examine(self) -> None:
        self._examined_at = time.monotonic()
        for examiner in self.examiners:
            examiner.examine(self._digits, num_events=self._num_produced)

    def _all_started(self) -> bool:
        """True once the trainers read their topics and the replicas answer, if only that they are not ready."""
        return all(
            "penstock_consumer_lag_events{" in _fetch(line.metrics_url)
            and all(_fetch(f"{url}/v2/health/live") for url in line.replica_urls)
            for line in self._lines
        )

    def _all_learnt(self) -> bool:
        """True once a replica of each line answers with weights that have learnt everything produced."""
        for watch in self._watches:
            if watch.newest is None or sum(watch.newest.offsets.next.values()) < self._num_produced:
                return False
        newest = self._watches[0].newest
        return newest is not None and all(probe.version >= newest.version for probe in self._probes)

    def _show(self) -> None:
        newest = self._watches[0].newest
        marks, baseline = (examiner.newest for examiner in self.examiners)
        fresh = self.freshness_seconds()
        learnt = int(newest.metrics["events_learnt"]) if newest else 0
        self._view.show(
            Snapshot(
                stage=self._stage,
                num_produced=self._num_produced,
                num_total=self.stream.num_events,
                num_learnt=learnt,
                events_per_second=self._speed.of(learnt),
                classes=int(newest.metrics["classes"]) if newest else 0,
                versions=tuple(probe.version for probe in self._probes),
                freshness_p50=float(np.percentile(fresh, 50)) if len(fresh) else None,
                freshness_p99=float(np.percentile(fresh, 99)) if len(fresh) else None,
                accuracy=marks.accuracy if marks else None,
                baseline_accuracy=baseline.accuracy if baseline else None,
                by_digit=marks.by_digit if marks else {},
                baseline_by_digit=baseline.by_digit if baseline else {},
            )
        )


class _Speed:
    """Events a second over the last few seconds."""

    WINDOW_SECONDS = 3.0

    def __init__(self) -> None:
        self._readings: list[tuple[float, int]] = []

    def of(self, num_learnt: int) -> float:
        now = time.monotonic()
        self._readings = [r for r in self._readings if now - r[0] <= self.WINDOW_SECONDS] + [(now, num_learnt)]
        (began, first), (_, last) = self._readings[0], self._readings[-1]
        return (last - first) / (now - began) if now > began else 0.0


def _fetch(url: str) -> str:
    """The body of a 200 answer, or nothing."""
    try:
        with urllib.request.urlopen(url, timeout=1.0) as response:
            return str(response.read().decode())
    except OSError:
        return ""
