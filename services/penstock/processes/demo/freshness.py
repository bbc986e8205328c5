"""Measures freshness: from an event's production to the first answer by weights that have learnt it.

Exact, not estimated: the update topic says which offsets a version has learnt, the delivery report which offset an
event got, and a prober at each replica when a version first answered.
"""

import threading
import time
from collections import deque

import numpy as np
import numpy.typing as npt

from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.errors import UnavailableError
from penstock.flow import ModelUpdate
from penstock.processes.demo.replica_client import ReplicaClient

PROBE_SECONDS = 0.01


class UpdateWatch:
    """A thread that follows a model's updates: what each version has learnt, and the newest one."""

    def __init__(self, kafka: dict[str, KafkaValue], model: str) -> None:
        self._feed = KafkaUpdateFeed(kafka, model)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{model}", daemon=True)
        self.updates: list[ModelUpdate] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def newest(self) -> ModelUpdate | None:
        """The update announced last."""
        return self.updates[-1] if self.updates else None

    def end(self) -> None:
        """Stop soon."""
        self._stopping.set()

    def wait(self, timeout_seconds: float) -> None:
        """Until it has stopped."""
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                for record in self._feed.poll(0.1):
                    if isinstance(record, ModelUpdate):
                        self.updates.append(record)
        finally:
            self._feed.close()


class VersionProbe:
    """A thread that asks one replica for one image again and again, and notes when a version first answered."""

    def __init__(self, url: str, model: str) -> None:
        self._client = ReplicaClient(url, model)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"probe-{url}", daemon=True)
        self.version = 0
        self.first_answers: list[tuple[int, float]] = []
        """(version, wall-clock seconds of its first answer), versions ascending."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Stop soon."""
        self._stopping.set()

    def wait(self, timeout_seconds: float) -> None:
        """Until it has stopped."""
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        image = np.zeros((1, 64), dtype=np.float32)
        while not self._stopping.wait(PROBE_SECONDS):
            try:
                answer = self._client.ask(image)
            except UnavailableError:
                continue
            if answer is not None and answer.version > self.version:
                self.first_answers.append((answer.version, time.time()))
                self.version = answer.version
        self._client.close()


class ProducedEvents:
    """Where and when each produced event was acknowledged; filled by delivery reports."""

    def __init__(self) -> None:
        self._events: deque[tuple[int, int, float]] = deque()

    def add(self, partition: int, offset: int, *, produced_at: float) -> None:
        """One event's place on the label topic and the wall-clock seconds when it was produced."""
        self._events.append((partition, offset, produced_at))

    def __len__(self) -> int:
        return len(self._events)

    def freshness_seconds(self, watch: UpdateWatch, probe: VersionProbe) -> npt.NDArray[np.float64]:
        """One value an event that this replica has already answered with, in no order."""
        updates = list(watch.updates)
        answers = np.array(list(probe.first_answers), dtype=np.float64).reshape(-1, 2)
        events = np.array(list(self._events), dtype=np.float64).reshape(-1, 3)
        found = []
        for partition in np.unique(events[:, 0]).astype(int):
            mine = events[events[:, 0] == partition]
            learnt_up_to = np.array([update.offsets[int(partition)] for update in updates])
            versions = np.array([update.version for update in updates])
            first_update = np.searchsorted(learnt_up_to, mine[:, 1], side="right")
            mine, first_update = mine[first_update < len(updates)], first_update[first_update < len(updates)]
            first_answer = np.searchsorted(answers[:, 0], versions[first_update] if len(versions) else first_update)
            answered = first_answer < len(answers)
            found.append(answers[first_answer[answered], 1] - mine[answered, 2])
        return np.concatenate(found) if found else np.empty(0)
