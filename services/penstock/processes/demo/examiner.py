"""Asks the replicas about every held-out image of the digits streamed so far, over and over."""

import threading
from dataclasses import dataclass, field

import numpy as np

from penstock.errors import UnavailableError
from penstock.processes.demo.digits import DigitStream
from penstock.processes.demo.replica_client import ReplicaClient


@dataclass(frozen=True, kw_only=True)
class Marks:
    """One examination: share of right answers, in all and by digit; `num_events` had been produced by then."""

    num_events: int
    accuracy: float
    by_digit: dict[int, float] = field(default_factory=dict)


class Examiner:
    """Examines one line, its replicas in turn; `history` grows with every `examine`."""

    def __init__(self, urls: tuple[str, ...], model: str, stream: DigitStream) -> None:
        self._clients = [ReplicaClient(url, model) for url in urls]
        self._stream = stream
        self._lock = threading.Lock()
        self.history: list[Marks] = []

    @property
    def newest(self) -> Marks | None:
        """The last examination."""
        return self.history[-1] if self.history else None

    def examine(self, digits: tuple[int, ...], *, num_events: int) -> Marks | None:
        """Ask for all held-out images of these digits; None if the replica cannot answer yet."""
        images = self._stream.held_out.of(digits)
        with self._lock:
            client = self._clients[len(self.history) % len(self._clients)]
            try:
                answer = client.ask(images.pixels)
            except UnavailableError:
                return None
            if answer is None:
                return None
            right = np.array([label == str(digit) for label, digit in zip(answer.labels, images.digits, strict=True)])
            marks = Marks(
                num_events=num_events,
                accuracy=float(right.mean()),
                by_digit={digit: float(right[images.digits == digit].mean()) for digit in digits},
            )
            self.history.append(marks)
            return marks
