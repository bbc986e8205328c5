"""Metrics of several processes from one scrape: whichever is asked collects what the others expose.

Each answers on a socket file in a folder that they share; one that does not is left out, and its series end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

ANSWER_SECONDS = 1.0
"""How long a scrape waits for one that is busy."""
LABEL = "process"


class GroupMetrics:
    """Of process `number`, and of all in its group.

    Args:
        render: this process's own metrics, in Prometheus' text format.
    """

    def __init__(self, folder: Path, number: int, render: Callable[[], tuple[bytes, str]]) -> None:
        self._folder = folder
        self._number = number
        self._render_own = render

    async def serve(self) -> None:
        """Answer the others, until cancelled."""
        path = self._path(self._number)
        path.unlink(missing_ok=True)  # left by one that was killed
        async with await asyncio.start_unix_server(self._answer, path) as server:
            await server.serve_forever()

    async def render(self) -> tuple[bytes, str]:
        """All series of all processes, told apart by the label `process`; and the content type."""
        others = sorted(int(path.stem) for path in self._folder.glob("*.metrics"))
        asked: list[Awaitable[bytes]] = [self._ask(number) for number in others if number != self._number]
        found = await asyncio.gather(*asked)
        texts = dict(zip([number for number in others if number != self._number], found, strict=True))
        texts[self._number] = self._render_own()[0]
        # Reading them back takes milliseconds, which no answer should wait for.
        return await asyncio.to_thread(_joined, texts), CONTENT_TYPE_LATEST

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._render_own()[0])
        await writer.drain()
        writer.close()

    async def _ask(self, number: int) -> bytes:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._path(number))
                try:
                    return await reader.read()
                finally:
                    writer.close()
        except OSError:  # it has gone or hangs (TimeoutError is one, too)
            return b""

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.metrics"


class _Joined(Collector):
    def __init__(self, texts: dict[int, bytes]) -> None:
        self._texts = texts

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for number, text in sorted(self._texts.items()):
            for family in text_string_to_metric_families(text.decode()):
                joined = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                joined.samples += [
                    sample._replace(labels={**sample.labels, LABEL: str(number)}) for sample in family.samples
                ]
        return families.values()


def _joined(texts: dict[int, bytes]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Joined(texts))
    return generate_latest(registry)
