"""What goes back over HTTP: JSON, and for every error `{"error": "a sentence"}`."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

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

JSON = "application/json"


class SlowBodyError(RequestError):
    """The body did not arrive in time."""


class UnknownEncodingError(RequestError):
    """The body is compressed in a way that is not read here."""


STATUS: Mapping[type[RequestError], int] = {
    BadInputError: 400,
    UnknownModelError: 404,
    SlowBodyError: 408,
    TooLargeError: 413,
    UnknownEncodingError: 415,
    NotReadyError: 503,
    QueueFullError: 503,
    OverdueError: 504,
    InferenceError: 500,
}
_ENDING_THE_CONNECTION = (TooLargeError, SlowBodyError)
"""What is left of the body would be taken for the next request."""


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
    if isinstance(error, _ENDING_THE_CONNECTION):
        headers["Connection"] = "close"
    if isinstance(error, UnknownEncodingError):
        headers["Accept-Encoding"] = "gzip, deflate"
    return error_response(STATUS[type(error)], str(error), headers)
