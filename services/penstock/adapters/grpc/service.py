"""The methods of the Open Inference Protocol v2 over the data plane; every refusal as a status of gRPC."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from penstock.adapters.grpc import messages
from penstock.adapters.grpc.codec import decode_request, encode_response
from penstock.adapters.grpc.large_messages import check_parts
from penstock.serving.aside import LARGE_BYTES
from penstock.serving.data_plane import EXTENSIONS, NAME, VERSION, DataPlane
from penstock.serving.refusals import (
    BadInputError,
    InferenceError,
    NotReadyError,
    OverdueError,
    QueueFullError,
    RequestError,
    TooLargeError,
    UnknownModelError,
)
from penstock.serving.requests import InferRequest, InferResponse
from penstock.telemetry import Telemetry

Context = Any
"""`grpc.aio.ServicerContext`, which is published without types, as the messages are."""
Method = Callable[[Any, Context], Awaitable[Any]]

STATUS: Mapping[type[RequestError], grpc.StatusCode] = {
    BadInputError: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownModelError: grpc.StatusCode.NOT_FOUND,
    TooLargeError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    NotReadyError: grpc.StatusCode.UNAVAILABLE,
    QueueFullError: grpc.StatusCode.UNAVAILABLE,
    OverdueError: grpc.StatusCode.DEADLINE_EXCEEDED,
    InferenceError: grpc.StatusCode.INTERNAL,
}
PUSHBACK = "grpc-retry-pushback-ms"
"""How gRPC says Retry-After."""
BY_ITSELF = frozenset(("ModelInfer",))
"""Takes and gives bytes: a large message is turned into one, and back, beside the event loop."""

log = structlog.get_logger(__name__)


def handlers(plane: DataPlane, telemetry: Telemetry) -> Any:
    """What a gRPC server answers."""
    service = _Service(plane, telemetry)
    return grpc.method_handlers_generic_handler(
        messages.SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(
                _answering(getattr(service, name)),
                request_deserializer=None if name in BY_ITSELF else _reader(request),
                response_serializer=None if name in BY_ITSELF else response.SerializeToString,
            )
            for name, (request, response) in messages.METHODS.items()
        },
    )


class _Service:
    def __init__(self, plane: DataPlane, telemetry: Telemetry) -> None:
        self._plane = plane
        self._telemetry = telemetry

    async def ServerLive(self, _request: Any, _context: Context) -> Any:  # noqa: N802 - the protocol's name
        return messages.ServerLiveResponse(live=True)

    async def ServerReady(self, _request: Any, _context: Context) -> Any:  # noqa: N802 - the protocol's name
        try:
            await self._plane.check_ready()
        except NotReadyError:
            return messages.ServerReadyResponse(ready=False)
        return messages.ServerReadyResponse(ready=True)

    async def ModelReady(self, request: Any, _context: Context) -> Any:  # noqa: N802 - the protocol's name
        try:
            await self._plane.check_ready(request.name, request.version or None)
        except NotReadyError:
            return messages.ModelReadyResponse(ready=False)
        return messages.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, _request: Any, _context: Context) -> Any:  # noqa: N802 - the protocol's name
        return messages.ServerMetadataResponse(name=NAME, version=VERSION, extensions=EXTENSIONS)

    async def ModelMetadata(self, request: Any, _context: Context) -> Any:  # noqa: N802 - the protocol's name
        metadata = await self._plane.metadata(request.name, request.version or None)
        answer = messages.ModelMetadataResponse(
            name=metadata.name, versions=metadata.versions, platform=metadata.platform
        )
        for field, tensors in ((answer.inputs, metadata.inputs), (answer.outputs, metadata.outputs)):
            for tensor in tensors:
                field.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        return answer

    async def ModelInfer(self, content: bytes, _context: Context) -> bytes:  # noqa: N802 - the protocol's name
        try:
            answer = await self._infer(content)
        except RequestError as error:
            self._telemetry.count("penstock_requests_total", code=STATUS[type(error)].name)
            raise
        except asyncio.CancelledError:  # by its caller, or by gRPC when the caller's deadline has passed
            self._telemetry.count("penstock_requests_total", code=grpc.StatusCode.CANCELLED.name)
            raise
        self._telemetry.count("penstock_requests_total", code=grpc.StatusCode.OK.name)
        return answer

    async def RepositoryIndex(self, request: Any, _context: Context) -> Any:  # noqa: N802 - the protocol's name
        answer = messages.RepositoryIndexResponse()
        for entry in self._plane.index(ready_only=request.ready):
            answer.models.add(name=entry.name, version=entry.version, state=entry.state, reason=entry.reason)
        return answer

    async def _infer(self, content: bytes) -> bytes:
        plane, is_large = self._plane, len(content) > LARGE_BYTES
        arrived_seconds = plane.clock.monotonic_seconds()
        parse = partial(_parsed, content, plane.max_request_rows)
        message = await plane.aside.read(parse) if is_large else parse()
        await plane.check_served(message.model_name, message.model_version or None)

        def write(response: InferResponse, _request: InferRequest) -> bytes:
            encoded: bytes = encode_response(response, raw=bool(message.raw_input_contents)).SerializeToString()
            return encoded

        read = partial(decode_request, message, arrived_seconds=arrived_seconds, max_rows=plane.max_request_rows)
        return await plane.infer(read, write, is_large=is_large)


def _parsed(content: bytes, max_rows: int) -> Any:
    if len(content) > LARGE_BYTES:
        check_parts(content, max_rows)
    try:
        return messages.ModelInferRequest.FromString(content)
    except DecodeError:
        raise BadInputError("The message is not a ModelInferRequest of the Open Inference Protocol.") from None


def _answering(method: Method) -> Method:
    async def answer(request: Any, context: Context) -> Any:
        try:
            if isinstance(request, DecodeError):
                raise BadInputError("The message does not decode.")
            return await method(request, context)
        except RequestError as error:
            if isinstance(error, QueueFullError):
                context.set_trailing_metadata(((PUSHBACK, str(error.retry_after_seconds * 1000)),))
            code, sentence = STATUS[type(error)], str(error)
        except Exception:  # whatever fails, its caller gets a sentence and the server goes on
            log.exception("a request failed")
            code, sentence = grpc.StatusCode.INTERNAL, "The replica failed on this request; the reason is in its log."
        return await context.abort(code, sentence)  # raises

    return answer


def _reader(request: Any) -> Callable[[bytes], Any]:
    def read(content: bytes) -> Any:
        try:
            return request.FromString(content)
        except DecodeError as error:
            return error  # refused with a sentence, where an exception here would be an internal error

    return read
