"""What a replica answers, whatever the transport: inference, metadata, health."""

import reprlib
from collections.abc import Callable, Mapping

from penstock import __version__
from penstock.clock import Clock
from penstock.learning.config import ModelConfig
from penstock.serving.batching import Answer, Batcher, Probabilities
from penstock.serving.inputs import EXPECTED_DATATYPE, columns_of_inputs
from penstock.serving.prediction_log import PredictionLog
from penstock.serving.refusals import BadInputError, NotReadyError, UnknownModelError
from penstock.serving.requests import InferRequest, InferResponse, ModelMetadata, OutputTensor, TensorMetadata
from penstock.serving.slot import ServedModel, Slot
from penstock.telemetry import Telemetry

NAME = "penstock"
VERSION = __version__
DEFAULT_OUTPUTS = ("label", "probability")


class DataPlane:
    """Belongs to one event loop; knows neither transport nor broker."""

    def __init__(
        self,
        model: ModelConfig,
        *,
        slot: Slot,
        batcher: Batcher,
        telemetry: Telemetry,
        clock: Clock,
        prediction_log: PredictionLog | None = None,
    ) -> None:
        self._model = model.name
        self._schema = model.schema
        self._slot = slot
        self._batcher = batcher
        self._telemetry = telemetry
        self._clock = clock
        self._prediction_log = prediction_log
        self._draining = False

    def drain(self) -> None:
        """Not ready from now on; requests that come all the same are answered."""
        self._draining = True

    def check_ready(self, model: str | None = None, version: str | None = None) -> None:
        """Return if ready (and serving this model and version).

        Raises:
            NotReadyError: no model yet, or shutting down.
            UnknownModelError: another model or version.
        """
        self._served(self._model if model is None else model, version)
        if self._draining:
            raise NotReadyError("This replica is shutting down; ask another one.")

    def check_served(self, model: str, version: str | None) -> None:
        """Return if there is a model to answer with. Raises as `check_ready`, except while shutting down."""
        self._served(model, version)

    def metadata(self, model: str, version: str | None = None) -> ModelMetadata:
        """Of what is served now. Raises as `check_ready`, except while shutting down."""
        served = self._served(model, version)
        num_classes = len(served.class_names)
        return ModelMetadata(
            name=model,
            version=served.version_text,
            inputs=tuple(
                TensorMetadata(
                    name=feature.name,
                    datatype=EXPECTED_DATATYPE[feature.kind],
                    shape=(-1, feature.dense_width) if feature.kind == "vector" else (-1,),
                )
                for feature in self._schema
            ),
            outputs=(
                TensorMetadata(name="label", datatype="BYTES", shape=(-1,)),
                TensorMetadata(name="probability", datatype="FP32", shape=(-1,)),
                TensorMetadata(name="probabilities", datatype="FP32", shape=(-1, num_classes)),
            ),
            trained_until=served.trained_until,
            sha256=served.sha256,
            epoch=served.epoch,
            withdrawn=self._slot.withdrawn,
        )

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer with one version's weights.

        Raises:
            RequestError: see `refusals`.
        """
        started = self._clock.monotonic_seconds()
        self._served(request.model, request.version)
        outputs = _wanted(request.outputs)
        columns, num_rows = columns_of_inputs(request.inputs, self._schema)
        answer = await self._batcher.predict(columns, num_rows, request.version)
        response = InferResponse(
            model=request.model,
            version=answer.served.version_text,
            id=request.id,
            trained_until=answer.served.trained_until,
            sha256=answer.served.sha256,
            outputs=tuple(OUTPUTS[name](answer) for name in outputs),
            prediction_id=self._prediction_log.take(request.id, columns, answer) if self._prediction_log else None,
        )
        self._telemetry.observe("penstock_request_seconds", self._clock.monotonic_seconds() - started)
        return response

    def _served(self, model: str, version: str | None) -> ServedModel:
        if model != self._model:
            raise UnknownModelError(f"There is no model {reprlib.repr(model)} here; {self._model!r} is served.")
        return self._slot.serving(version)


def _wanted(outputs: tuple[str, ...] | None) -> tuple[str, ...]:
    if not outputs:
        return DEFAULT_OUTPUTS
    for name in outputs:
        if name not in OUTPUTS:
            raise BadInputError(f"Output {reprlib.repr(name)} is unknown; there are {', '.join(map(repr, OUTPUTS))}.")
        if outputs.count(name) > 1:
            raise BadInputError(f"Output {name!r} is requested twice; name each output once.")
    return outputs


def _label(answer: Answer) -> OutputTensor:
    names = answer.served.class_names
    labels = [names[index] for index in answer.probabilities.argmax(axis=1).tolist()]
    return OutputTensor(name="label", datatype="BYTES", shape=(len(labels),), values=labels)


def _probability(answer: Answer) -> OutputTensor:
    best: Probabilities = answer.probabilities.max(axis=1)
    return OutputTensor(name="probability", datatype="FP32", shape=best.shape, values=best)


def _probabilities(answer: Answer) -> OutputTensor:
    return OutputTensor(
        name="probabilities",
        datatype="FP32",
        shape=answer.probabilities.shape,
        values=answer.probabilities,
        labels=answer.served.class_names,
    )


OUTPUTS: Mapping[str, Callable[[Answer], OutputTensor]] = {
    "label": _label,
    "probability": _probability,
    "probabilities": _probabilities,
}
