"""From a request, through a forward pass, to what its transport sends; large ones beside the event loop."""

import asyncio
import math
import reprlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np
import structlog

from penstock.clock import Clock
from penstock.features import FeatureSchema
from penstock.learning.rows import Columns
from penstock.serving.aside import LARGE_VALUES, Aside
from penstock.serving.batching import Batcher, never, settle
from penstock.serving.inference import Answer
from penstock.serving.inputs import MOST_ROWS, columns_of_inputs
from penstock.serving.outputs import WantedOutput, output_of, wanted_outputs
from penstock.serving.prediction_log import PredictionLog
from penstock.serving.refusals import BadInputError, InferenceError, RequestError
from penstock.serving.requests import InferRequest, InferResponse
from penstock.serving.slot import ServedModel
from penstock.telemetry import Telemetry

TIMEOUT = "timeout"
"""A parameter of a request: microseconds that its answer may take."""
LONGEST_TIMEOUT = 2**63
"""What is longer counts as this: JSON may hold an integer that no float does."""
PASS_TEXT_BYTES = 262_144
"""Of texts in one forward pass of a large request: some fifty milliseconds of looking words up."""

T = TypeVar("T")
Write = Callable[[InferResponse, InferRequest], T]
"""From an answer, and what was asked, to what a transport sends."""

log = structlog.get_logger(__name__)


class Asked(msgspec.Struct, frozen=True):
    """A request that has been found good."""

    request: InferRequest
    wanted: Sequence[WantedOutput]
    columns: Columns
    num_rows: int
    pass_rows: int = MOST_ROWS
    """Of one forward pass, at most."""


class Answering:
    """Belongs to one event loop; as `DataPlane`, which hands it what it was given."""

    def __init__(
        self,
        schema: FeatureSchema,
        *,
        batcher: Batcher,
        telemetry: Telemetry,
        clock: Clock,
        timeout_seconds: float,
        prediction_log: PredictionLog | None,
        max_request_rows: int,
        max_text_bytes: int,
    ) -> None:
        self._schema = schema
        self._batcher = batcher
        self._telemetry = telemetry
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._prediction_log = prediction_log
        self._max_request_rows = max_request_rows
        self._max_text_bytes = max_text_bytes
        self.aside = Aside()

    def check_large(self, request: InferRequest) -> Asked:
        """As `check`; long texts are to be read in several passes."""
        asked = self.check(request)
        texts = [column for column in asked.columns.values() if not isinstance(column, np.ndarray)]
        row_bytes = sum(column.nbytes for column in texts) // asked.num_rows + 1
        return msgspec.structs.replace(asked, pass_rows=max(1, PASS_TEXT_BYTES // row_bytes))

    def check(self, request: InferRequest) -> Asked:
        """The request as columns; on any thread.

        Raises:
            BadInputError: it does not fit the model.
        """
        columns, num_rows = columns_of_inputs(
            request.inputs, self._schema, max_rows=self._max_request_rows, max_text_bytes=self._max_text_bytes
        )
        return Asked(request, wanted_outputs(request), columns, num_rows)

    async def answer(self, asked: Asked, write: Write[T], pinned: ServedModel | None) -> T:
        """What `write` makes of the answer; as `submit`."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.submit(asked, write, pinned, partial(settle, future), future.cancelled)
        return await future

    def submit(
        self,
        asked: Asked,
        write: Write[T],
        pinned: ServedModel | None,
        deliver: Callable[[T | RequestError], None],
        is_given_up: Callable[[], bool] = never,
    ) -> None:
        """Have `deliver` called with what `write` makes of the answer; as `Batcher.submit`."""

        def deliver_answer(answer: Answer | RequestError) -> None:
            if isinstance(answer, RequestError):
                return deliver(answer)
            prediction_id = None if self._prediction_log is None else self._logged(asked, answer)
            if answer.probabilities.size <= LARGE_VALUES:
                return deliver(self._written(asked, write, answer, prediction_id))
            return self.aside.write(partial(self._written, asked, write, answer, prediction_id), deliver)

        self._batcher.submit(
            asked.columns,
            asked.num_rows,
            deliver_answer,
            pinned=pinned,
            deadline_seconds=self._deadline_seconds(asked.request),
            is_given_up=is_given_up,
            pass_rows=asked.pass_rows,
        )

    def _logged(self, asked: Asked, answer: Answer) -> str | None:
        """The id under which the predictions are logged, if they are."""
        assert self._prediction_log is not None  # asked before
        try:
            return self._prediction_log.take(asked.request.id, asked.columns, answer)
        except Exception:  # a defect; no answer must be lost by it
            log.exception("predictions were not logged")
            return None

    def _written(self, asked: Asked, write: Write[T], answer: Answer, prediction_id: str | None) -> T | RequestError:
        try:
            return write(self._response(asked, answer, prediction_id), asked.request)
        except Exception:  # a defect; whoever shared the forward pass must not pay for it
            log.exception("an answer failed")
            return InferenceError("The replica failed on this request; the reason is in its log.")

    def _response(self, asked: Asked, answer: Answer, prediction_id: str | None) -> InferResponse:
        request, parameters = asked.request, answer.served.identity()
        if prediction_id is not None:
            parameters["prediction_id"] = prediction_id
        response = InferResponse(
            model=request.model,
            version=answer.served.version_text,
            id=request.id,
            parameters=parameters,
            outputs=tuple([output_of(answer, output) for output in asked.wanted]),
        )
        self._telemetry.observe("penstock_request_seconds", self._clock.monotonic_seconds() - request.arrived_seconds)
        return response

    def _deadline_seconds(self, request: InferRequest) -> float:
        timeout = self._timeout_seconds
        microseconds = request.parameters.get(TIMEOUT)
        if microseconds is not None:
            if not isinstance(microseconds, int) or isinstance(microseconds, bool) or microseconds < 0:
                raise BadInputError(
                    f"Parameter {TIMEOUT!r} of the request is {reprlib.repr(microseconds)}; it is an integer of "
                    "microseconds, 0 for none."
                )
            timeout = min(timeout, min(microseconds, LONGEST_TIMEOUT) / 1_000_000 or math.inf)
        return request.arrived_seconds + timeout
