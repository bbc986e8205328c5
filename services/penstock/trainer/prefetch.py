"""Polls and decodes the next micro-batch while the learner works on this one."""

import queue
import threading
from typing import Protocol

from penstock.flow import EventBatch

POLL_SECONDS = 0.1
"""How long the intake waits for messages before it looks whether it should stop."""


class BatchSource(Protocol):
    """Where micro-batches come from; used by one thread only."""

    def next_batch(self, timeout_seconds: float) -> EventBatch | None:
        """The next closed micro-batch, or None at the timeout."""
        ...


class Prefetcher:
    """Runs a `BatchSource` on a thread of its own, at most `depth` closed batches ahead.

    An error of the source reaches the learner's thread from `next_batch`, behind the batches that preceded it.
    """

    def __init__(self, source: BatchSource, *, depth: int = 2) -> None:
        self._source = source
        self._ready: queue.Queue[EventBatch | BaseException] = queue.Queue(maxsize=depth)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Begin polling."""
        self._thread.start()

    def next_batch(self, timeout_seconds: float) -> EventBatch | None:
        """As `BatchSource.next_batch`."""
        try:
            item = self._ready.get(timeout=max(timeout_seconds, 0.0))
        except queue.Empty:
            return None
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Stop polling and wait for the thread to leave the source."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                batch = self._source.next_batch(POLL_SECONDS)
                if batch is not None:
                    self._hand_over(batch)
        except BaseException as error:  # whatever it is, it ends the trainer, and there with its own sentence
            self._hand_over(error)

    def _hand_over(self, item: EventBatch | BaseException) -> None:
        while not self._stopping.is_set():
            try:
                self._ready.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return
