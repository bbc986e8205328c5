"""POST …/infer: the one route that must be fast, so it speaks ASGI itself."""

import structlog
from starlette.types import Message, Receive, Scope, Send

from penstock.adapters.http.answers import JSON, BodyTooLargeError, error_response, refusal_response
from penstock.adapters.http.bodies import decode_request, encode_response
from penstock.serving.data_plane import DataPlane
from penstock.serving.refusals import RequestError
from penstock.telemetry import Telemetry

DISCARD_FACTOR = 4
"""Of a body that is too large this many times the limit is read and thrown away, so that its sender hears why."""

log = structlog.get_logger(__name__)


class InferEndpoint:
    """An ASGI application for the path parameters `model` and, optionally, `version`."""

    def __init__(self, plane: DataPlane, *, max_body_bytes: int, telemetry: Telemetry) -> None:
        self._plane = plane
        self._max_body_bytes = max_body_bytes
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path_params"]
        try:
            body = await self._body(receive)
            if body is None:
                return  # the client has gone
            self._plane.check_served(path["model"], path.get("version"))
            request = decode_request(body, model=path["model"], version=path.get("version"))
            content = encode_response(await self._plane.infer(request))
        except RequestError as error:
            response = refusal_response(error)
        except Exception:
            log.exception("a request failed")
            response = error_response(500, "The replica failed on this request; the reason is in its log.")
        else:
            self._telemetry.count("penstock_requests_total", code="200")
            length = str(len(content)).encode()
            headers = [(b"content-type", JSON.encode()), (b"content-length", length)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": content})
            return
        self._telemetry.count("penstock_requests_total", code=str(response.status_code))
        await response(scope, receive, send)

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body, or None if the client went away before its end."""
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            if len(body) <= self._max_body_bytes:
                return body
        parts, num_bytes = [], 0
        while message["type"] == "http.request":
            num_bytes += len(message.get("body", b""))
            if num_bytes <= self._max_body_bytes:
                parts.append(message.get("body", b""))
            if num_bytes > DISCARD_FACTOR * self._max_body_bytes or _is_last(message):
                return self._joined(parts, num_bytes)
            message = await receive()
        return None

    def _joined(self, parts: list[bytes], num_bytes: int) -> bytes:
        if num_bytes > self._max_body_bytes:
            raise BodyTooLargeError(
                f"The body is longer than {self._max_body_bytes} bytes; send fewer rows a request, "
                "or have serving.max_body_bytes raised."
            )
        return b"".join(parts)


def _is_last(message: Message) -> bool:
    return not message.get("more_body", False)
