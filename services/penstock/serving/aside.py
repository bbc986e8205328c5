"""Large requests are read, and large answers written, beside the event loop: one at a time, in small steps.

One thread of Python runs at a time, and lets the next one in only between two calls into a library. So whatever is done
here has no call that takes long: see `adapters.http.large_data`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from penstock.serving.refusals import QueueFullError

LARGE_BYTES: Final = 65_536
"""A longer request is read here; a shorter one takes the event loop some milliseconds at worst."""
LARGE_VALUES: Final = 16_384
"""An answer of more probabilities is written here."""
STEP_VALUES: Final = 8192
"""Read or written in one call."""
MOST_READING: Final = 16
"""Requests that wait to be read, each in memory whole."""

T = TypeVar("T")


class Aside:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")
        self._reading = 0

    async def read(self, work: Callable[[], T]) -> T:
        """What `work` returns.

        Raises:
            QueueFullError: too many wait already.
        """
        if self._reading >= MOST_READING:
            raise QueueFullError(f"{self._reading} large requests wait to be read already; try again.")
        self._reading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._reading -= 1

    def write(self, work: Callable[[], T], deliver: Callable[[T], None]) -> None:
        """Have `deliver` called on the event loop, later, with what `work` returns. Neither raises."""
        written = asyncio.get_running_loop().run_in_executor(self._thread, work)
        written.add_done_callback(lambda done: deliver(done.result()))
