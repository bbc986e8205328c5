"""Requests that wait for the same model, answered by one forward pass and split back."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import structlog

from penstock.clock import Clock
from penstock.learning.rows import Columns
from penstock.serving.refusals import BadInputError, InferenceError, OverdueError, RequestError
from penstock.serving.slot import ServedModel, Slot
from penstock.telemetry import Telemetry

RECENT_BATCHES = 64

Probabilities = npt.NDArray[np.float32]

log = structlog.get_logger(__name__)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`probabilities` float32 [n, classes], computed by `served`."""

    served: ServedModel
    probabilities: Probabilities


class Waiting(NamedTuple):
    """A request in the queue: `columns` of `num_rows`, for the `pinned` model or the newest.

    `deliver` is called on the event loop with what came of it; `is_given_up` tells, from any thread, whether anybody
    still wants to know. Neither raises.
    """

    columns: Columns
    num_rows: int
    pinned: ServedModel | None
    deadline_seconds: float
    deliver: "Callable[[Answer | RequestError], None]"
    is_given_up: Callable[[], bool]

    def is_overdue(self, now_seconds: float) -> bool:
        return self.deadline_seconds < now_seconds or self.is_given_up()


class JoinedInference:
    """Used by one thread at a time."""

    def __init__(self, slot: Slot, *, max_batch_rows: int, telemetry: Telemetry, clock: Clock) -> None:
        self._slot = slot
        self._max_batch_rows = max_batch_rows
        self._telemetry = telemetry
        self._clock = clock
        self._recent_rows: deque[int] = deque(maxlen=RECENT_BATCHES)

    def batch_sizes(self) -> Sequence[int]:
        """Those in use of late, each rounded up to a power of two: a new model is warmed for them."""
        powers = {1 << (rows - 1).bit_length() for rows in list(self._recent_rows)}
        return sorted({min(power, self._max_batch_rows) for power in powers or {1}})

    def can_join(self, first: Waiting, num_rows: int, waiting: Waiting) -> bool:
        """True if one pass may take `waiting` too, behind `first` and others with `num_rows` between them."""
        return waiting.pinned is first.pinned and num_rows + waiting.num_rows <= self._max_batch_rows

    def outcomes(self, batch: Sequence[Waiting]) -> list[Answer | RequestError]:
        """One per request, in order, of one model."""
        now = self._clock.monotonic_seconds()
        if any(overdue := [waiting.is_overdue(now) for waiting in batch]):
            return self._without(batch, overdue)
        try:
            served = batch[0].pinned or self._slot.newest()
        except RequestError as error:
            return [error] * len(batch)
        try:
            probabilities = self._forward(served, _joined([waiting.columns for waiting in batch]))
        except Exception:  # of the model's own code, which may raise anything; the thread must go on
            if len(batch) > 1:  # one of them may be at fault; the others must not pay for it
                return [outcome for waiting in batch for outcome in self.outcomes([waiting])]
            log.exception("inference failed", version=served.version, rows=batch[0].num_rows)
            return [InferenceError(f"Version {served.version_text} failed on this request; the reason is in the log.")]
        return _split(served, probabilities, batch)

    def _without(self, batch: Sequence[Waiting], overdue: Sequence[bool]) -> list[Answer | RequestError]:
        in_time = [waiting for waiting, too_late in zip(batch, overdue, strict=True) if not too_late]
        outcomes = iter(self.outcomes(in_time) if in_time else ())
        error = OverdueError("The request's time was over before its turn came; it was not computed.")
        return [error if too_late else next(outcomes) for too_late in overdue]

    def _forward(self, served: ServedModel, columns: Columns) -> Probabilities:
        num_rows = len(next(iter(columns.values())))
        self._recent_rows.append(num_rows)
        self._telemetry.observe("penstock_inference_rows", num_rows)
        with np.errstate(over="ignore"):  # values that are too large are clipped or refused, not warned about
            return served.probabilities(columns)


def _joined(parts: Sequence[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, object] = {}
    for name, first in parts[0].items():
        columns = [part[name] for part in parts]
        joined[name] = np.concatenate(columns) if isinstance(first, np.ndarray) else pa.concat_arrays(columns)
    return joined


def _split(served: ServedModel, probabilities: Probabilities, batch: Sequence[Waiting]) -> list[Answer | RequestError]:
    outcomes: list[Answer | RequestError] = []
    finite = bool(np.isfinite(probabilities).all())
    start = 0
    for waiting in batch:
        rows = probabilities[start : start + waiting.num_rows]
        start += waiting.num_rows
        if finite or np.isfinite(rows).all():
            outcomes.append(Answer(served=served, probabilities=rows))
        else:
            outcomes.append(BadInputError("The inputs are so large that the model's answer to them is not finite."))
    return outcomes
