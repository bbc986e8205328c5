"""uvicorn's protocol, with four differences.

Slow and endless heads are given up, what cannot be read is answered behind what could, offers of other protocols are
passed over, and whole requests take a short way.

Most requests for inference are small and arrive in one piece, head and body. For those a task, a scope and the messages
of ASGI cost more than the answer itself, so `WholeRequests` answers them through a callback. Everything else takes
uvicorn's own way: bodies that come in pieces, pipelined requests, old versions of HTTP, other paths.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, Protocol

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from penstock.adapters.http.exchanges import Exchange
from penstock.adapters.http.last_words import (
    LINGER_SECONDS,
    MAX_HEAD_BYTES,
    LastWords,
    TooLongError,
    UnreadableError,
)
from penstock.adapters.http.lost_clients import is_lost
from penstock.adapters.http.offers import head_without_offer, reader

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
        self._awaits_rest = False
        """Of a request whose head is whole."""
        self._is_over = False
        """Something has been refused, and no more is read."""
        self._vain_bytes = 0
        """That came since there was last a whole head, some of a body or its end."""
        self._head_without_offer: bytes | None = None
        self._parts: list[bytes] | None = None
        """Of a body that may turn out to be there already; None: the request takes the long way."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it, too
        """Expect a head from the beginning on, not only after the first answer."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """A part of a head does not stop the clock, or one byte a minute would hold a connection for ever."""
        if self._is_over:
            return
        clock, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        self._head_is_whole = False
        self._vain_bytes += len(data)
        self._read(data)
        if self._vain_bytes > MAX_HEAD_BYTES and not self._is_over:
            self._refuse(TooLongError())
        if self._parts is not None:
            self._take_the_long_way()
        if clock is not None:
            if self._head_is_whole or self._is_over or self.transport.is_closing():
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

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        if self.parser.should_upgrade():
            self._head_without_offer = head_without_offer(self.parser, self.url, self.headers)
            if self._head_without_offer is not None:
                return
        self._head_is_whole = True
        self._vain_bytes = 0
        if len(self.url) + sum(map(len, chain(*self.headers))) + 4 * len(self.headers) > MAX_HEAD_BYTES:
            raise TooLongError
        if self._is_for_the_short_way():
            self._parts = []
        else:
            self._begin()
        self._awaits_rest = True

    def on_body(self, body: bytes) -> None:
        """Some of it."""
        self._vain_bytes = 0
        if self._parts is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Answer a request that came whole."""
        if self._head_without_offer is not None:
            return None
        self._vain_bytes = 0
        self._awaits_rest = False
        if self._parts is None:
            return super().on_message_complete()
        assert self._whole is not None  # it took the request
        parts, self._parts = self._parts, None
        exchange = Exchange()
        self.cycle = exchange  # type: ignore[assignment]  # uvicorn asks it no more than this
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._whole.answer(self.headers, body, partial(self._reply, exchange))
        return None

    def _read(self, data: bytes) -> None:
        left: list[bytes | memoryview] = [data]
        while left and not self._is_over:
            piece = left.pop()
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as offer:
                left.append(memoryview(piece)[offer.args[0] :])
                self.parser = reader(self)
                if self._head_without_offer is not None:
                    left.append(self._head_without_offer)
                    self._head_without_offer = None
            except httptools.HttpParserError as error:
                reason = error.__context__
                self._refuse(reason if isinstance(reason, UnreadableError) else UnreadableError())

    def _refuse(self, error: UnreadableError) -> None:
        """Answer what cannot be read behind all that came before it, and read no more."""
        self._is_over = True
        words = LastWords(error, self._say)
        before, self.cycle = self.cycle, words  # type: ignore[assignment]  # as above
        waits = before is not None and not before.response_complete
        if self._awaits_rest and self._parts is None:  # it is a request that has begun, and that nobody shall answer
            waits = bool(self.pipeline)
            if waits:
                self.pipeline.popleft()
            else:
                before.disconnected = True
                before.message_event.set()
        self._parts = None
        if waits:
            self.pipeline.appendleft((words, self.app))  # type: ignore[arg-type]  # as above
        else:
            self._say(words)

    def _say(self, words: LastWords) -> None:
        words.response_complete = True
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        if self.transport.is_closing() or not self._write(words.text):
            return
        if words.keep_alive:
            self.transport.write_eof()
            self.timeout_keep_alive_task = self.loop.call_later(LINGER_SECONDS, self.timeout_keep_alive_handler)
        else:
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

    def _reply(self, exchange: Exchange, status: int, headers: Headers, body: bytes) -> None:
        if exchange.disconnected or self.transport.is_closing():
            return
        exchange.response_complete = True
        head = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            head += (name, b": ", value, b"\r\n")
        if not exchange.keep_alive:
            head.append(b"connection: close\r\n")
        if not self._write(b"%bcontent-length: %d\r\n\r\n%b" % (b"".join(head), len(body), body)):
            return
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _write(self, answer: bytes) -> bool:
        """False if nobody is there any more."""
        try:
            self.transport.write(answer)
        except RuntimeError as error:
            if not is_lost(error):
                raise
            return False
        return True
