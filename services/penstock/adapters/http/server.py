"""uvicorn with uvloop and httptools, quiet, on a socket of ours; the process decides about signals."""

import asyncio
import logging
import math
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from penstock.adapters.http.protocol import ReplicaProtocol, WholeRequests
from penstock.adapters.http.sockets import BACKLOG, listening_socket, shared_socket

KEEP_ALIVE_SECONDS = 75
"""A connection on which no whole head of a request arrives for so long is closed."""

T = TypeVar("T")
log = structlog.get_logger(__name__)


class HttpServer:
    """Listens from construction, or while `serve` runs if the port is shared; answers while `serve` runs."""

    def __init__(self, *, host: str, port: int, shared: bool = False) -> None:
        """Take the port; 0 takes a free one. A `shared` one other processes may listen on, too.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        self._socket = shared_socket(host, port) if shared else listening_socket(host, port)
        self._host = host
        self.port: int = self._socket.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._stopping = False

    @property
    def url(self) -> str:
        """Where it answers."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def serve(
        self,
        app: ASGIApp,
        *,
        grace_seconds: float,
        whole: WholeRequests | None = None,
        on_listening: Callable[[], None] = lambda: None,
    ) -> None:
        """Answer until `stop`; requests in flight may then take `grace_seconds` more.

        Requests that `whole` takes are answered by it, all others by `app`. `on_listening` is called once, when a
        client can connect.
        """
        _quiet_uvicorn()
        config = uvicorn.Config(
            app,
            http=cast(Any, partial(ReplicaProtocol, whole=whole)),  # called as a class is
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
        self._server = _Server(config, on_listening)
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
    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._on_listening()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise them once more after its own shutdown."""
        yield


class _ToStructlog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log.error("http server", text=record.getMessage(), exc_info=record.exc_info)


def _quiet_uvicorn() -> None:
    """Only its errors, through our log; a client's nonsense is none."""
    logger = logging.getLogger("uvicorn")
    logger.handlers = [_ToStructlog()]
    logger.propagate = False
    logger.setLevel(logging.ERROR)
