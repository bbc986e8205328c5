"""uvicorn's protocol, with three differences.

Slow heads are given up, offers of other protocols are passed over, and whole requests take a short way.

Most requests for inference are small and arrive in one piece, head and body. For those a task, a scope and the messages
of ASGI cost more than the answer itself, so `WholeRequests` answers them through a callback. Everything else takes
uvicorn's own way: bodies that come in pieces, pipelined requests, old versions of HTTP, other paths.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from penstock.adapters.http.lost_clients import is_lost

NOT_HTTP = b'{"error":"This is not an HTTP/1.1 request."}'
NOT_HTTP_HEAD = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
)

UPGRADE = re.compile(rb"\r\nupgrade:[^\r]*", re.IGNORECASE)
"""By it Java's client offers to go on in another protocol; the parser would take the body for that one's."""

Headers = Sequence[tuple[bytes, bytes]]
Reply = Callable[[int, Headers, bytes], None]
"""Takes the status, the headers but for the length, and the body; once, on the event loop."""


class WholeRequests(Protocol):
    """What answers requests that arrive in one piece."""

    path: bytes
    """The one that it answers, by POST."""

    def takes(self, headers: Headers) -> bool:
        """True if it answers a request with these headers (names in lower case)."""
        ...

    def answer(self, headers: Headers, body: bytes, reply: Reply) -> None:
        """Have `reply` called now or later. Does not raise."""
        ...


class ReplicaProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, whole: WholeRequests | None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._whole = whole
        self._head_is_whole = False
        self._is_in_message = False
        self._parts: list[bytes] | None = None
        """Of a body that may turn out to be there already; None: the request takes the long way."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it, too
        """Expect a head from the beginning on, not only after the first answer."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """A part of a head does not stop the clock, or one byte a minute would hold a connection for ever."""
        clock, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        self._head_is_whole = False
        super().data_received(data if self._is_in_message else _without_offers(data))
        if self._parts is not None:
            self._take_the_long_way()
        if clock is not None:
            if self._head_is_whole or self.transport.is_closing():
                clock.cancel()
            else:
                self.timeout_keep_alive_task = clock

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn always lets go, which is what None means
        """Keep a connection whose client has said all and waits for the answer; it is closed behind that."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """What uvicorn does here only the long way needs."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self._is_in_message = True

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._head_is_whole = True
        if self._is_for_the_short_way():
            self._parts = []
        else:
            self._begin()

    def on_body(self, body: bytes) -> None:
        """Some of it."""
        if self._parts is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Answer a request that came whole."""
        self._is_in_message = False
        if self._parts is None:
            return super().on_message_complete()
        assert self._whole is not None  # it took the request
        parts, self._parts = self._parts, None
        exchange = _Exchange()
        self.cycle = exchange  # type: ignore[assignment]  # uvicorn asks it no more than this
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._whole.answer(self.headers, body, partial(self._reply, exchange))
        return None

    def send_400_response(self, msg: str) -> None:
        """Bytes that are not HTTP get the one form of every error, too."""
        self._parts = None
        self.transport.write(NOT_HTTP_HEAD % len(NOT_HTTP) + NOT_HTTP)
        self.transport.close()

    def _is_for_the_short_way(self) -> bool:
        return (
            self._whole is not None
            and self.url == self._whole.path
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and self._whole.takes(self.headers)
        )

    def _take_the_long_way(self) -> None:
        """The rest of the body is still to come."""
        parts, self._parts = self._parts or [], None
        if not self.transport.is_closing():
            self._begin()
            for part in parts:
                super().on_body(part)

    def _begin(self) -> None:
        """What uvicorn does when a message begins and when its head is there."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.headers += headers
        self.url, self.expect_100_continue = url, expects
        super().on_headers_complete()

    def _reply(self, exchange: "_Exchange", status: int, headers: Headers, body: bytes) -> None:
        if exchange.disconnected or self.transport.is_closing():
            return
        exchange.response_complete = True
        head = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            head += (name, b": ", value, b"\r\n")
        if not exchange.keep_alive:
            head.append(b"connection: close\r\n")
        try:
            self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (b"".join(head), len(body), body))
        except RuntimeError as error:
            if not is_lost(error):
                raise
            return
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()


def _without_offers(data: bytes) -> bytes:
    """The beginning of a message, less the header by which it offers another protocol."""
    end = data.find(b"\r\n\r\n")
    found = UPGRADE.search(data, 0, end) if end > 0 else None
    return data if found is None else data[: found.start()] + data[found.end() :]


class _Exchange:
    """A request on the short way, as far as uvicorn knows its own `RequestResponseCycle`."""

    __slots__ = ("disconnected", "keep_alive", "more_body", "response_complete")

    def __init__(self) -> None:
        self.response_complete = False
        self.more_body = False
        self.disconnected = False
        self.keep_alive = True

    @property
    def message_event(self) -> "_Exchange":
        return self

    def set(self) -> None:
        """Nobody waits for messages."""
