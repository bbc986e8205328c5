"""The answer to what cannot be read as a request; nothing behind it is read."""

import json
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from penstock.adapters.http.exchanges import Exchange

MAX_HEAD_BYTES = 65_536
"""Of a head, and of what stands between two chunks of a body or behind its last one."""
LINGER_SECONDS = 5
"""A client that still sends has so long to read why it is refused; closed at once, it might never see it."""


class UnreadableError(Exception):
    """No request can be read from what came."""

    status = 400
    sentence = "This is not an HTTP/1.1 request."


class TooLongError(UnreadableError):
    """A head, or what takes the place of one within a body, is longer than it may be."""

    status = 431
    sentence = (
        "The head of a request, or what stands between two chunks of its body, is at most "
        f"{MAX_HEAD_BYTES} bytes long; this one is longer."
    )


class LastWords(Exchange):
    """In the place of a request, so that it waits for its turn as those do."""

    __slots__ = ("_say", "text")

    def __init__(self, error: UnreadableError, say: Callable[["LastWords"], None]) -> None:
        super().__init__()
        body = json.dumps({"error": error.sentence}).encode()
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.text = STATUS_LINE[error.status] + head + body
        self._say = say

    async def run_asgi(self, _app: object) -> None:
        """Its turn has come."""
        self._say(self)
