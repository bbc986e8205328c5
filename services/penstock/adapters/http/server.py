"""uvicorn with uvloop and httptools, quiet, on a socket of ours; the process decides about signals."""

import asyncio
import logging
import math
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from penstock.errors import ConfigurationError

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75
"""A connection on which no whole head of a request arrives for so long is closed."""
NOT_HTTP = b'{"error":"This is not an HTTP/1.1 request."}'

NOT_HTTP_HEAD = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
)

T = TypeVar("T")
log = structlog.get_logger(__name__)


class HttpServer:
    """Listens from construction; answers while `serve` runs."""

    def __init__(self, *, host: str, port: int) -> None:
        """Take the port; 0 takes a free one.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        self._socket = _listening_socket(host, port)
        self._host = host
        self.port: int = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._stopping = False

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def serve(self, app: ASGIApp, *, grace_seconds: float) -> None:
        """Answer until `stop`; requests in flight may then take `grace_seconds` more."""
        _quiet_uvicorn()
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(grace_seconds),
        )
        self._server = _Server(config)
        self._server.should_exit = self._stopping
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """End `serve`, or keep it from beginning; from its event loop only."""
        self._stopping = True
        if self._server is not None:
            self._server.should_exit = True

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


def run_on_uvloop(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end on a new uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise them once more after its own shutdown."""
        yield


class _Protocol(HttpToolsProtocol):
    """As uvicorn has it, but a connection that does not come out with a whole head is closed like an idle one."""

    _head_is_whole = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it, too
        """Expect a head from the beginning on, not only after the first answer."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """A part of a head does not stop the clock, or one byte a minute would hold a connection for ever."""
        clock, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        self._head_is_whole = False
        super().data_received(data)
        if clock is not None:
            if self._head_is_whole or self.transport.is_closing():
                clock.cancel()
            else:
                self.timeout_keep_alive_task = clock

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._head_is_whole = True
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are not HTTP get the one form of every error, too."""
        self.transport.write(NOT_HTTP_HEAD % len(NOT_HTTP) + NOT_HTTP)
        self.transport.close()


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.error("http server", text=record.getMessage(), exc_info=record.exc_info)


def _quiet_uvicorn() -> None:
    """Only its errors, through our log; a client's nonsense is none."""
    logger = logging.getLogger("uvicorn")
    logger.handlers = [_ToStructlog()]
    logger.propagate = False
    logger.setLevel(logging.ERROR)


def _listening_socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"serving.port is {port}: {host}:{port} cannot be listened on ({error.strerror or error}); "
            "set serving.port to a free port, or to 0 for any, and serving.host to an address of this machine."
        ) from None
