"""What goes back over HTTP: JSON, and for every error `{"error": "a sentence"}`."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from penstock.serving.refusals import (
    BadInputError,
    InferenceError,
    NotReadyError,
    QueueFullError,
    RequestError,
    UnknownModelError,
)

JSON = "application/json"


class BodyTooLargeError(RequestError):
    """The body is longer than `serving.max_body_bytes`."""


STATUS: Mapping[type[RequestError], int] = {
    BadInputError: 400,
    UnknownModelError: 404,
    BodyTooLargeError: 413,
    NotReadyError: 503,
    QueueFullError: 503,
    InferenceError: 500,
}


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON."""
    return Response(msgspec.json.encode(content), status, headers, media_type=JSON)


def error_response(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """The one form of every error."""
    return json_response({"error": sentence}, status, headers)


def refusal_response(error: RequestError) -> Response:
    """The answer to a request that gets no result."""
    headers: dict[str, str] = {}
    if isinstance(error, QueueFullError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, BodyTooLargeError):
        headers["Connection"] = "close"
    return error_response(STATUS[type(error)], str(error), headers)
