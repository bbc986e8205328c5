"""A TCP proxy on 127.0.0.1 that can delay, drip, stall, refuse and cut, as a network does."""

import asyncio
import random
import socket
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

CHUNK = 1 << 16
STALLED_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Weather:
    """What becomes of connections.

    `refuses`: new ones are closed at once. `answers`: each request gets these bytes, from nobody behind. `stalls`:
    nothing passes. `latency_seconds`: from and to, in between which each piece is delayed, in order.
    `bytes_per_second`: 0 is as fast as it goes.
    """

    refuses: bool = False
    answers: bytes = b""
    stalls: bool = False
    latency_seconds: tuple[float, float] = (0.0, 0.0)
    bytes_per_second: int = 0


FAIR = Weather()


class UnsteadyProxy:
    """Listens from `with` to its end; `upstream` may be set later and its owner may come and go."""

    def __init__(self, *, seed: int = 0) -> None:
        self.upstream = 0
        self.weather = FAIR
        self._chance = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name="unsteady-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    @property
    def address(self) -> str:
        """Where to connect to."""
        return f"127.0.0.1:{self.port}"

    def turn(self, weather: Weather) -> None:
        """New weather, for new connections: those of now break."""
        self.weather = weather
        self._call(self._break_all())

    def _call(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(60)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, sock=self._listener))
        self._loop.run_forever()

    async def _end(self) -> None:
        self._server.close()
        await self._break_all()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _break_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        ahead: asyncio.StreamWriter | None = None
        try:
            if self.weather.refuses:
                return
            if self.weather.answers:
                await self._answer(reader, writer)
                return
            back, ahead = await asyncio.open_connection("127.0.0.1", self.upstream)
            self._writers.add(ahead)
            await asyncio.gather(self._pass_on(reader, ahead), self._pass_on(back, writer))
        except OSError:
            return
        finally:
            for end in (writer, ahead):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(CHUNK):
            writer.write(self.weather.answers)
            await writer.drain()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(CHUNK):
            while self.weather.stalls:
                await asyncio.sleep(STALLED_SECONDS)
            await asyncio.sleep(self._chance.uniform(*self.weather.latency_seconds))
            for part in self._drops(piece):
                writer.write(part)
                await writer.drain()
                if self.weather.bytes_per_second:
                    await asyncio.sleep(len(part) / self.weather.bytes_per_second)
        writer.transport.abort()

    def _drops(self, piece: bytes) -> list[bytes]:
        rate = self.weather.bytes_per_second
        size = max(rate // 20, 1) if rate else len(piece)
        return [piece[start : start + size] for start in range(0, len(piece), size)]
