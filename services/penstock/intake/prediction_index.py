"""The logged predictions of a bounded window, by id: what a late label is joined to.

What is held is a function of the log and of the window's end alone, however the messages arrived: of the predictions
stamped within the window the newest, in the order of timestamp, partition and offset, as many as the limits allow.
"""

from collections import deque
from collections.abc import Iterable

from penstock.intake.same_id import LoggedPrediction, SameId
from penstock.wire.message import Message


class PredictionIndex:
    """Predictions that were read: those up to the window's end within the limits, and those ahead of it.

    Owns nothing but memory: at most `max_predictions` and `max_bytes` (of ids and values) up to the window's end, and
    as many ahead of it as were added.
    """

    def __init__(self, *, max_predictions: int, max_bytes: int) -> None:
        self._max_predictions = max_predictions
        self._max_bytes = max_bytes
        self._by_id: dict[bytes, SameId] = {}
        self._ahead: dict[int, deque[LoggedPrediction]] = {}
        self._ahead_bytes: dict[int, int] = {}
        self._newest_ms: dict[int, int] = {}
        self._admitted: deque[LoggedPrediction] = deque()
        self._admitted_bytes = 0

    def add(self, messages: Iterable[Message]) -> None:
        """Take messages of the prediction topic, each partition's in order; those without id or value are nothing."""
        for message in messages:
            key, value = message.key(), message.value()
            if key is None or value is None:
                continue
            partition = message.partition()
            # A new leader's clock may be behind that of the one before: within a partition time stands still then.
            newest_ms = self._newest_ms[partition] = max(message.timestamp()[1], self.newest_ms(partition))
            one = LoggedPrediction(newest_ms, partition, message.offset(), key, value)
            self._ahead.setdefault(partition, deque()).append(one)
            self._ahead_bytes[partition] = self._ahead_bytes.get(partition, 0) + _size(one)
            same_id = self._by_id.get(key)
            if same_id is None:
                same_id = self._by_id[key] = SameId()
            same_id.add(one)

    def newest_ms(self, partition: int) -> int:
        """The timestamp of the last prediction added of a partition; 0 before the first."""
        return self._newest_ms.get(partition, 0)

    def ahead_of(self, partition: int) -> tuple[int, int]:
        """How many predictions of a partition wait ahead of the window's end, and their bytes."""
        return len(self._ahead.get(partition, ())), self._ahead_bytes.get(partition, 0)

    def move_window(self, since_ms: int, until_ms: int) -> None:
        """Let the window end with `until_ms`, everything up to which has been added, and forget what is too old."""
        admitted: list[LoggedPrediction] = []
        for partition, ahead in self._ahead.items():
            while ahead and ahead[0].timestamp_ms <= until_ms:
                one = ahead.popleft()
                self._ahead_bytes[partition] -= _size(one)
                admitted.append(one)
        self._admitted.extend(sorted(admitted))
        self._admitted_bytes += sum(map(_size, admitted))
        while self._admitted and self._is_too_much(since_ms):
            self._forget(self._admitted.popleft())

    def find(self, prediction_id: str, *, at_ms: int, latest_ms: int) -> bytes | None:
        """The newest prediction under this id up to `at_ms`; else the first up to `latest_ms`; else None."""
        same_id = self._by_id.get(prediction_id.encode())
        found = same_id.find(at_ms=at_ms, latest_ms=latest_ms) if same_id is not None else None
        return found.value if found is not None else None

    def __len__(self) -> int:
        return len(self._admitted)

    def _is_too_much(self, since_ms: int) -> bool:
        return (
            self._admitted[0].timestamp_ms < since_ms
            or len(self._admitted) > self._max_predictions
            or self._admitted_bytes > self._max_bytes
        )

    def _forget(self, oldest: LoggedPrediction) -> None:
        self._admitted_bytes -= _size(oldest)
        same_id = self._by_id[oldest.prediction_id]
        same_id.remove(oldest)
        if not same_id:
            del self._by_id[oldest.prediction_id]


def _size(one: LoggedPrediction) -> int:
    return len(one.prediction_id) + len(one.value)
