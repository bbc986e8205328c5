"""A request of more rows than one pass takes: pass by pass, so that others are answered between them."""

from collections.abc import Callable

import numpy as np

from penstock.learning.rows import Columns
from penstock.serving.inference import Answer, Probabilities, Waiting
from penstock.serving.refusals import RequestError
from penstock.serving.slot import ServedModel


class Pieces:
    """Belongs to the event loop. The next piece stands behind whoever has come meanwhile; one model answers all."""

    def __init__(self, whole: Waiting, *, piece_rows: int, queue: Callable[[Waiting], None]) -> None:
        """`queue` takes a piece of at most `piece_rows`, and calls its `deliver` later."""
        self._whole = whole
        self._piece_rows = piece_rows
        self._queue = queue
        self._pinned: ServedModel | None = whole.pinned
        self._probabilities: Probabilities | None = None
        self._done = 0

    def queue_next(self) -> None:
        """Have the next piece computed."""
        whole, end = self._whole, min(self._done + self._piece_rows, self._whole.num_rows)
        columns: Columns = {name: rows[self._done : end] for name, rows in whole.columns.items()}
        self._queue(whole._replace(columns=columns, num_rows=end - self._done, pinned=self._pinned, deliver=self._take))

    def _take(self, outcome: Answer | RequestError) -> None:
        if isinstance(outcome, RequestError):
            return self._whole.deliver(outcome)
        if self._probabilities is None:
            self._probabilities = np.empty((self._whole.num_rows, outcome.probabilities.shape[1]), dtype=np.float32)
        self._probabilities[self._done : self._done + len(outcome.probabilities)] = outcome.probabilities
        self._done += len(outcome.probabilities)
        self._pinned = outcome.served
        if self._done < self._whole.num_rows:
            return self.queue_next()
        return self._whole.deliver(Answer(served=outcome.served, probabilities=self._probabilities))
