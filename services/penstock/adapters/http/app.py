"""The routes of the Open Inference Protocol v2 over the data plane, and `/metrics`."""

from collections.abc import Awaitable, Callable

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.adapters.http.answers import error_response, json_response, refusal_response
from penstock.adapters.http.cross_origin import CrossOrigin
from penstock.adapters.http.cut_short import answering_when_cut_short
from penstock.adapters.http.infer import InferEndpoint
from penstock.adapters.http.lost_clients import ignoring_lost_clients
from penstock.adapters.http.openapi import openapi_document
from penstock.adapters.http.request_bodies import BodyReader
from penstock.serving.config import ServingConfig
from penstock.serving.data_plane import EXTENSIONS, NAME, VERSION, DataPlane
from penstock.serving.refusals import BadInputError, RequestError
from penstock.serving.requests import ModelMetadata, TensorMetadata
from penstock.telemetry import Telemetry

SENTENCES = {404: "There is nothing at {path}.", 405: "{method} is not allowed at {path}."}

RenderMetrics = Callable[[], Awaitable[tuple[bytes, str]]]
"""Gives all metrics as text, and its content type."""

log = structlog.get_logger(__name__)


def http_app(
    plane: DataPlane,
    config: ServingConfig,
    *,
    telemetry: Telemetry,
    render_metrics: RenderMetrics,
) -> ASGIApp:
    """The ASGI application of a replica."""
    bodies = BodyReader(max_bytes=config.max_body_bytes, timeout_seconds=config.timeout_seconds)
    infer = InferEndpoint(plane, bodies=bodies, telemetry=telemetry)
    pages = _Pages(plane, bodies, render_metrics)
    model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    app = Starlette(
        routes=[
            Route(f"{model}/infer", infer, methods=["POST"]),  # see `_directly`; other methods are 405 by it
            Route(f"{version}/infer", infer, methods=["POST"]),
            Route("/v2", pages.server),
            Route("/v2/health/live", pages.live),
            Route("/v2/health/ready", pages.ready),
            Route(model, pages.model),
            Route(f"{model}/ready", pages.model_ready),
            Route(version, pages.model),
            Route(f"{version}/ready", pages.model_ready),
            Route("/v2/repository/index", pages.index, methods=["POST"]),
            Route("/metrics", pages.metrics),
            Route("/openapi.json", pages.openapi),
        ],
        exception_handlers={RequestError: _refused, HTTPException: _not_routed, Exception: _failed},
    )
    app.router.redirect_slashes = False
    answering = _directly(infer, app)
    if config.cors_origins:
        answering = CrossOrigin(answering, origins=config.cors_origins)
    return ignoring_lost_clients(answering_when_cut_short(answering))


def _directly(infer: ASGIApp, others: ASGIApp) -> ASGIApp:
    """Requests for inference to `infer` without a walk through the routes; everything else to `others`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            match scope["path"].split("/"):
                case ["", "v2", "models", model, "infer"] if model:
                    scope["path_params"] = {"model": model}
                    return await infer(scope, receive, send)
                case ["", "v2", "models", model, "versions", version, "infer"] if model and version:
                    scope["path_params"] = {"model": model, "version": version}
                    return await infer(scope, receive, send)
        return await others(scope, receive, send)

    return app


class _Pages:
    """Everything but inference."""

    def __init__(self, plane: DataPlane, bodies: BodyReader, render_metrics: RenderMetrics) -> None:
        self._plane = plane
        self._bodies = bodies
        self._render_metrics = render_metrics
        self._openapi = openapi_document(plane.model, plane.inputs, VERSION)

    async def server(self, _request: Request) -> Response:
        return json_response({"name": NAME, "version": VERSION, "extensions": EXTENSIONS})

    async def live(self, _request: Request) -> Response:
        return json_response({"live": True})

    async def ready(self, _request: Request) -> Response:
        await self._plane.check_ready()
        return json_response({"ready": True})

    async def model(self, request: Request) -> Response:
        path = request.path_params
        return json_response(_metadata_json(await self._plane.metadata(path["model"], path.get("version"))))

    async def model_ready(self, request: Request) -> Response:
        path = request.path_params
        await self._plane.check_ready(path["model"], path.get("version"))
        return json_response({"name": path["model"], "ready": True})

    async def index(self, request: Request) -> Response:
        body = await self._bodies.read(dict(request.scope["headers"]), request.receive)
        entries = self._plane.index(ready_only=_ready_only(body or b""))
        return json_response(
            [
                {"name": entry.name, "version": entry.version, "state": entry.state, "reason": entry.reason}
                for entry in entries
            ]
        )

    async def openapi(self, _request: Request) -> Response:
        return json_response(self._openapi)

    async def metrics(self, _request: Request) -> Response:
        content, content_type = await self._render_metrics()
        return Response(content, media_type=content_type)


class _IndexRequest(msgspec.Struct):
    ready: bool = False


def _ready_only(body: bytes) -> bool:
    if not body.strip():
        return False
    try:
        return msgspec.json.decode(body, type=_IndexRequest).ready
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadInputError('The body is not empty and no object such as {"ready": true}.') from None


def _metadata_json(metadata: ModelMetadata) -> dict[str, object]:
    return {
        "name": metadata.name,
        "versions": metadata.versions,
        "platform": metadata.platform,
        "inputs": [_tensor_json(tensor) for tensor in metadata.inputs],
        "outputs": [_tensor_json(tensor) for tensor in metadata.outputs],
        "parameters": metadata.parameters,
    }


def _tensor_json(tensor: TensorMetadata) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # registered for it
    return refusal_response(error)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # registered for it
    sentence = SENTENCES.get(error.status_code, "{method} {path} failed: " + error.detail)
    shown = sentence.format(method=request.method, path=request.url.path)
    return error_response(error.status_code, shown, error.headers)


async def _failed(_request: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return error_response(500, "The replica failed on this request; the reason is in its log.")
