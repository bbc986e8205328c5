"""What a replica answers, whatever the transport: inference, metadata, health."""

import math
import reprlib
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from penstock import __version__
from penstock.clock import Clock
from penstock.learning.config import ModelConfig
from penstock.serving.answering import Answering, Write
from penstock.serving.batching import Batcher
from penstock.serving.inputs import EXPECTED_DATATYPE, MOST_ROWS
from penstock.serving.loaded_versions import LoadedVersions
from penstock.serving.prediction_log import PredictionLog
from penstock.serving.refusals import NotReadyError, RequestError, UnknownModelError
from penstock.serving.requests import (
    IndexEntry,
    InferRequest,
    ModelMetadata,
    TensorMetadata,
)
from penstock.serving.slot import ServedModel, Slot
from penstock.telemetry import Telemetry

NAME = "penstock"
VERSION = __version__
EXTENSIONS = ("binary_tensor_data", "classification", "model_repository")
PLATFORM = "penstock_pytorch"
T = TypeVar("T")


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
        max_request_rows: int = MOST_ROWS,
        max_text_bytes: int = sys.maxsize,
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
        self._slot = slot
        self.clock = clock
        """By which requests have arrived."""
        self.max_request_rows = max_request_rows
        """A request of more is refused."""
        self._timeout_seconds = timeout_seconds
        self._loaded = loaded
        self._max_staleness_seconds = max_staleness_seconds
        self._draining = False
        self._answering = Answering(
            model.schema,
            batcher=batcher,
            telemetry=telemetry,
            clock=clock,
            timeout_seconds=timeout_seconds,
            prediction_log=prediction_log,
            max_request_rows=max_request_rows,
            max_text_bytes=max_text_bytes,
        )
        self.aside = self._answering.aside
        """Where transports read what is large."""

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
            versions=tuple(resident.version_text for resident in self._versions()),
            platform=PLATFORM,
            inputs=self.inputs,
            outputs=(
                TensorMetadata(name="label", datatype="BYTES", shape=(-1,)),
                TensorMetadata(name="probability", datatype="FP32", shape=(-1,)),
                TensorMetadata(name="probabilities", datatype="FP32", shape=(-1, len(served.class_names))),
            ),
            parameters={
                **served.identity(),
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
        return [IndexEntry(name=self.model, version=served.version_text, state="READY") for served in self._versions()]

    async def infer(self, read: Callable[[], InferRequest], write: Write[T], *, is_large: bool = False) -> T:
        """Answer with one version's weights; what is cancelled before its turn comes is not computed.

        A request that `is_large` is read beside the event loop, and so is a large answer written.

        Raises:
            RequestError: see `refusals`.
        """
        if is_large:
            asked = await self.aside.read(lambda: self._answering.check_large(read()))
        else:
            asked = self._answering.check(read())
        served = await self._served(asked.request.model, asked.request.version)
        return await self._answering.answer(asked, write, None if asked.request.version is None else served)

    def infer_newest(self, request: InferRequest, write: Write[T], deliver: Callable[[T | RequestError], None]) -> None:
        """As `infer` for a request that names no version, without a task: `deliver` is called later, and never raises.

        Raises:
            RequestError: nothing will be delivered.
        """
        self.check_newest(request.model)
        self._answering.submit(self._answering.check(request), write, None, deliver)

    def check_newest(self, model: str) -> None:
        """As `check_served` of a request that names no version."""
        self._check_model(model)
        self._slot.newest()

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

    def _versions(self) -> Sequence[ServedModel]:
        residents = self._slot.residents
        if self._loaded is None:
            return residents
        versions = {served.version for served in residents}
        return [*(served for served in self._loaded.models if served.version not in versions), *residents]
