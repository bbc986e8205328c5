"""POST …/infer: the one route that must be fast, so it speaks ASGI itself."""

import asyncio
from collections.abc import Mapping
from functools import partial

import structlog
from starlette.types import Receive, Scope, Send

from penstock.adapters.http.answers import JSON, error_response, refusal_response
from penstock.adapters.http.bodies import HEADER_LENGTH, decode_request
from penstock.adapters.http.compression import accepted, deflated
from penstock.adapters.http.infer_answers import encode_response
from penstock.adapters.http.request_bodies import BodyReader, json_bytes
from penstock.serving.aside import LARGE_BYTES
from penstock.serving.data_plane import DataPlane
from penstock.serving.refusals import RequestError
from penstock.telemetry import Telemetry

COMPRESSED_FROM_BYTES = 4096
"""A smaller answer costs more to pack than to send; many clients accept packed ones without a wish for them."""

Headers = list[tuple[bytes, bytes]]

FAILED = "The replica failed on this request; the reason is in its log."
JSON_HEADERS: Headers = [(b"content-type", JSON.encode())]
log = structlog.get_logger(__name__)


class InferEndpoint:
    """An ASGI application for the path parameters `model` and, optionally, `version`."""

    def __init__(self, plane: DataPlane, *, bodies: BodyReader, telemetry: Telemetry) -> None:
        self._plane = plane
        self._bodies = bodies
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            found = await self._answer(scope, receive)
        except RequestError as error:
            response = refusal_response(error)
        except Exception:
            log.exception("a request failed")
            response = error_response(500, FAILED)
        else:
            if found is None:
                return  # the client has gone
            content, headers = found
            self._telemetry.count("penstock_requests_total", code="200")
            headers = [*headers, (b"content-length", b"%d" % len(content))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": content})
            return
        self._telemetry.count("penstock_requests_total", code=str(response.status_code))
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[bytes, Headers] | None:
        """The body, and its headers but for its length; None if nobody waits for it."""
        arrived_seconds = self._plane.clock.monotonic_seconds()
        model, version = scope["path_params"]["model"], scope["path_params"].get("version")
        headers = dict(scope["headers"])
        body = await self._bodies.read(headers, receive)
        if body is None:
            return None
        await self._plane.check_served(model, version)
        read = partial(
            decode_request,
            body,
            json_bytes=json_bytes(headers, body),
            model=model,
            version=version,
            arrived_seconds=arrived_seconds,
            max_rows=self._plane.max_request_rows,
        )
        is_large = len(body) > LARGE_BYTES
        content, header_length = await self._plane.infer(read, encode_response, is_large=is_large)
        described = JSON_HEADERS if header_length is None else binary_headers(header_length)
        packing = packing_of(content, headers)
        if packing is None:
            return content, described
        encoding, more = packing
        return await asyncio.to_thread(deflated, content, encoding), [*described, *more]


def binary_headers(header_length: int) -> Headers:
    """Of an answer whose JSON ends there."""
    return [
        (b"content-type", b"application/octet-stream"),
        (HEADER_LENGTH.lower().encode(), b"%d" % header_length),
    ]


def packing_of(content: bytes, headers: Mapping[bytes, bytes]) -> tuple[str, Headers] | None:
    """How an answer is packed for a request with these headers, and what then says so; None: it is not."""
    if len(content) < COMPRESSED_FROM_BYTES or b"accept-encoding" not in headers:
        return None
    encoding = accepted(headers[b"accept-encoding"].decode("latin-1"))
    if encoding is None:
        return None
    return encoding, [(b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding")]
