"""One connection of the HTTP server without a network: bytes are fed piece by piece, and what is written is kept."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from penstock.adapters.http.protocol import Headers, ReplicaProtocol, Reply
from waiting import PATIENCE_SECONDS

SHORT, LONG = b"/short", b"/long"


class Written(asyncio.Transport):
    """All that a client would get."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = b""
        self.is_ended = False
        self._grown = asyncio.Event()

    def write(self, data: Any) -> None:
        assert not self.is_ended
        self.bytes += data
        self._grown.set()

    def write_eof(self) -> None:
        self.is_ended = True

    def close(self) -> None:
        self.is_ended = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """Whoever feeds does not mind."""

    def resume_reading(self) -> None:
        """As above."""

    async def until(self, condition: Callable[[bytes], bool]) -> bytes:
        """What is written once that is true of it; all of it is taken away."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(self.bytes):
                self._grown.clear()
                await self._grown.wait()
        taken, self.bytes = self.bytes, b""
        return taken


class HeldShortWay:
    """`protocol.WholeRequests` that sends bodies back, when `let_go` is called if it `holds`."""

    path = SHORT

    def __init__(self, *, holds: bool = False) -> None:
        self._holds = holds
        self._held: list[Callable[[], None]] = []

    def takes(self, headers: Headers) -> bool:
        return True

    def answer(self, headers: Headers, body: bytes, reply: Reply) -> None:
        self._held.append(lambda: reply(200, [], b"short:" + body))
        if not self._holds:
            self.let_go()

    def let_go(self) -> None:
        held, self._held = self._held, []
        for one in held:
            one()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """The long way: sends bodies back."""
    await Response(b"long:" + await Request(scope, receive).body())(scope, receive, send)


def fed(scenario: Callable[[ReplicaProtocol, Written], Coroutine[Any, Any, None]], short_way: HeldShortWay) -> None:
    """Run `scenario` with a connection that has just been made."""

    async def run() -> None:
        config = uvicorn.Config(echo, ws="none", lifespan="off", log_config=None, access_log=False)
        protocol = ReplicaProtocol(config, ServerState(), {}, whole=short_way)
        written = Written()
        protocol.connection_made(cast(asyncio.Transport, written))
        await scenario(protocol, written)

    asyncio.run(run())


def request(path: bytes, body: bytes, more: bytes = b"") -> bytes:
    """A POST; `more` are lines of its head."""
    return b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (path, more, len(body), body)
