"""What a replica answers, whatever the transport: inference, metadata, health."""

import asyncio
import math
import reprlib
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from penstock import __version__
from penstock.clock import Clock
from penstock.learning.config import ModelConfig
from penstock.learning.rows import Columns
from penstock.serving.batching import Batcher, never, settle
from penstock.serving.inference import Answer
from penstock.serving.inputs import EXPECTED_DATATYPE, columns_of_inputs
from penstock.serving.loaded_versions import LoadedVersions
from penstock.serving.outputs import WantedOutput, output_of, wanted_outputs
from penstock.serving.prediction_log import PredictionLog
from penstock.serving.refusals import BadInputError, InferenceError, NotReadyError, RequestError, UnknownModelError
from penstock.serving.requests import (
    IndexEntry,
    InferRequest,
    InferResponse,
    ModelMetadata,
    TensorMetadata,
)
from penstock.serving.slot import ServedModel, Slot
from penstock.telemetry import Telemetry

NAME = "penstock"
VERSION = __version__
EXTENSIONS = ("binary_tensor_data", "classification", "model_repository")
PLATFORM = "penstock_pytorch"
TIMEOUT = "timeout"
"""A parameter of a request: microseconds that its answer may take."""
LONGEST_TIMEOUT = 2**63
"""What is longer counts as this: JSON may hold an integer that no float does."""

log = structlog.get_logger(__name__)


class DataPlane:
    """Belongs to one event loop; knows neither transport nor broker.

    Args:
        timeout_seconds: a request that has waited longer is dropped before it is computed.
        loaded: fetches versions that are not in the slot; without it they are unknown.
        max_staleness_seconds: not ready while the newest model is staler than this; 0: whatever its age.
    """

    def __init__(
        self,
        model: ModelConfig,
        *,
        slot: Slot,
        batcher: Batcher,
        telemetry: Telemetry,
        clock: Clock,
        timeout_seconds: float = math.inf,
        prediction_log: PredictionLog | None = None,
        loaded: LoadedVersions | None = None,
        max_staleness_seconds: float = 0.0,
    ) -> None:
        self.model = model.name
        self.inputs = tuple(
            TensorMetadata(
                name=feature.name,
                datatype=EXPECTED_DATATYPE[feature.kind],
                shape=(-1, feature.dense_width) if feature.kind == "vector" else (-1,),
            )
            for feature in model.schema
        )
        """What every version takes."""
        self._schema = model.schema
        self._slot = slot
        self._batcher = batcher
        self._telemetry = telemetry
        self.clock = clock
        """By which requests have arrived."""
        self._timeout_seconds = timeout_seconds
        self._prediction_log = prediction_log
        self._loaded = loaded
        self._max_staleness_seconds = max_staleness_seconds
        self._draining = False

    def drain(self) -> None:
        """Not ready from now on; requests that come all the same are answered."""
        self._draining = True

    async def check_ready(self, model: str | None = None, version: str | None = None) -> None:
        """Return if ready (and serving this model and version).

        Raises:
            NotReadyError: no model yet, the newest too stale, or shutting down.
            UnknownModelError: another model or version.
        """
        served = await self._served(self.model if model is None else model, version)
        if self._draining:
            raise NotReadyError("This replica is shutting down; ask another one.")
        if version is None:
            self._refuse_stale(served)

    async def check_served(self, model: str, version: str | None) -> None:
        """Return if there is a model to answer with. Raises as `check_ready`, except while shutting down."""
        await self._served(model, version)

    async def metadata(self, model: str, version: str | None = None) -> ModelMetadata:
        """Of a version, or of the newest. Raises as `check_ready`, except while shutting down."""
        served = await self._served(model, version)
        return ModelMetadata(
            name=model,
            versions=tuple(resident.version_text for resident in self._answering()),
            platform=PLATFORM,
            inputs=self.inputs,
            outputs=(
                TensorMetadata(name="label", datatype="BYTES", shape=(-1,)),
                TensorMetadata(name="probability", datatype="FP32", shape=(-1,)),
                TensorMetadata(name="probabilities", datatype="FP32", shape=(-1, len(served.class_names))),
            ),
            parameters={
                **_identity(served),
                "epoch": served.epoch,
                "withdrawn": self._slot.withdrawn,
                "staleness_seconds": self._staleness_seconds(served),
            },
        )

    def index(self, *, ready_only: bool = False) -> list[IndexEntry]:
        """What answers; a model that does not is listed with the reason, unless only ready ones are asked for."""
        try:
            self._slot.newest()
        except NotReadyError as error:
            entry = IndexEntry(name=self.model, version="", state="UNAVAILABLE", reason=str(error))
            return [] if ready_only else [entry]
        return [IndexEntry(name=self.model, version=served.version_text, state="READY") for served in self._answering()]

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer with one version's weights; what is cancelled before its turn comes is not computed.

        Raises:
            RequestError: see `refusals`.
        """
        served = await self._served(request.model, request.version)
        future: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()
        self._submit(request, None if request.version is None else served, partial(settle, future), future.cancelled)
        return await future

    def infer_newest(self, request: InferRequest, deliver: Callable[[InferResponse | RequestError], None]) -> None:
        """As `infer` for a request that names no version, without a task: `deliver` is called later, and never raises.

        Raises:
            RequestError: nothing will be delivered.
        """
        self.check_newest(request.model)
        self._submit(request, None, deliver)

    def check_newest(self, model: str) -> None:
        """As `check_served` of a request that names no version."""
        self._check_model(model)
        self._slot.newest()

    def _submit(
        self,
        request: InferRequest,
        pinned: ServedModel | None,
        deliver: Callable[[InferResponse | RequestError], None],
        is_given_up: Callable[[], bool] = never,
    ) -> None:
        wanted = wanted_outputs(request)
        columns, num_rows = columns_of_inputs(request.inputs, self._schema)

        def deliver_answer(answer: Answer | RequestError) -> None:
            outcome: InferResponse | RequestError
            try:
                outcome = (
                    answer if isinstance(answer, RequestError) else self._response(request, wanted, columns, answer)
                )
            except Exception:  # a defect; whoever shared the forward pass must not pay for it
                log.exception("an answer failed")
                outcome = InferenceError("The replica failed on this request; the reason is in its log.")
            deliver(outcome)

        self._batcher.submit(
            columns,
            num_rows,
            deliver_answer,
            pinned=pinned,
            deadline_seconds=self._deadline_seconds(request),
            is_given_up=is_given_up,
        )

    def _response(
        self, request: InferRequest, wanted: Sequence[WantedOutput], columns: Columns, answer: Answer
    ) -> InferResponse:
        parameters = _identity(answer.served)
        if self._prediction_log is not None:
            prediction_id = self._prediction_log.take(request.id, columns, answer)
            if prediction_id is not None:
                parameters["prediction_id"] = prediction_id
        response = InferResponse(
            model=request.model,
            version=answer.served.version_text,
            id=request.id,
            parameters=parameters,
            outputs=tuple([output_of(answer, output) for output in wanted]),
        )
        self._telemetry.observe("penstock_request_seconds", self.clock.monotonic_seconds() - request.arrived_seconds)
        return response

    def _staleness_seconds(self, served: ServedModel) -> float:
        """Since the newest event that these weights have learnt, by its Kafka timestamp."""
        return max(0.0, (self.clock.now_ms() - served.trained_until_ms) / 1000)

    def _refuse_stale(self, served: ServedModel) -> None:
        staleness = self._staleness_seconds(served)
        if 0 < self._max_staleness_seconds < staleness:
            raise NotReadyError(
                f"The newest model, version {served.version_text}, has learnt nothing newer than "
                f"{served.trained_until}, {staleness:.0f} s ago; serving.max_staleness_seconds is "
                f"{self._max_staleness_seconds:g}."
            )

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

    async def _served(self, model: str, version: str | None) -> ServedModel:
        self._check_model(model)
        newest = self._slot.newest()
        if version is None:
            return newest
        for served in self._slot.residents:
            if served.version_text == version:
                return served
        if self._loaded is not None:
            return await self._loaded.get(version, timeout_seconds=self._timeout_seconds)
        raise UnknownModelError(
            f"Version {reprlib.repr(version)} of model {model!r} is not served; "
            f"{', '.join(served.version_text for served in self._slot.residents)} answer."
        )

    def _check_model(self, model: str) -> None:
        if model != self.model:
            raise UnknownModelError(f"There is no model {reprlib.repr(model)} here; {self.model!r} is served.")

    def _answering(self) -> Sequence[ServedModel]:
        residents = self._slot.residents
        if self._loaded is None:
            return residents
        versions = {served.version for served in residents}
        return [*(served for served in self._loaded.models if served.version not in versions), *residents]


def _identity(served: ServedModel) -> dict[str, str]:
    """Which weights: what every answer says of the version that computed it."""
    identity = {"trained_until": served.trained_until, "sha256": served.sha256}
    if served.mlflow_version is not None:
        identity["mlflow_version"] = served.mlflow_version
    return identity
