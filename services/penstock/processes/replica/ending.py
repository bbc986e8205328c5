"""How a replica process comes to its end."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import structlog

from penstock.errors import StopError
from penstock.serving.data_plane import DataPlane

log = structlog.get_logger(__name__)


class Ending:
    """Begins the shutdown, by a signal or because the replica cannot go on; a second signal ends the process."""

    def __init__(self, plane: DataPlane) -> None:
        self.reason: StopError | None = None
        self.begun = False
        self._plane = plane
        self._steps: list[Callable[[], None]] = []
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal, number)

    def when_begun(self, step: Callable[[], None]) -> None:
        """Do this, too, on the event loop; now, if the shutdown has begun."""
        self._steps.append(step)
        if self.begun:
            step()

    def with_standard_input(self) -> None:
        """Begin when it ends, as it does with the process that holds its other end."""
        self._loop.add_reader(sys.stdin.fileno(), self._on_input)

    def from_thread(self, reason: StopError) -> None:
        """End with this error; from any thread."""
        self.reason = reason
        self._loop.call_soon_threadsafe(self._begin)

    def _on_signal(self, number: int) -> None:
        if self.begun:
            os._exit(128 + number)
        log.info("replica stopping", signal=signal.Signals(number).name)
        self._begin()

    def _on_input(self) -> None:
        self._loop.remove_reader(sys.stdin.fileno())
        if not self.begun:
            log.warning("replica stopping, since the process that started it has ended")
            self._begin()

    def _begin(self) -> None:
        self.begun = True
        self._plane.drain()
        for step in self._steps:
            step()
