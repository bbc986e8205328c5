"""Requests first: whoever builds the next model stands back while a pass for a request is made."""

import time
from threading import Event
from typing import Final

BUSY_SECONDS: Final = 0.002
"""After a pass the next one is expected for so long,"""
GAP_SECONDS: Final = 0.0003
"""but waited for no longer than that."""
MOST_SECONDS: Final = 0.002


class RightOfWay:
    """Taken by whoever makes the passes; asked for between the steps of a build, by one thread at a time.

    One thread of Python runs at a time, and torch lets the next one in at each of its operations. A build that went on
    in the middle of a pass would hold it up at each of them, for as long as one of its own steps takes; going on
    between two passes it holds up the next one once, by a part of a step.
    """

    def __init__(self, most_seconds: float = MOST_SECONDS) -> None:
        self._most_seconds = most_seconds
        self._over = Event()
        self._is_waited_for = False
        self._last_over = -BUSY_SECONDS
        self.is_taken = False
        """A pass is being made, and its answers are being sent."""

    def __enter__(self) -> None:
        self.is_taken = True

    def __exit__(self, *_: object) -> None:
        self.is_taken = False
        self._last_over = time.monotonic()
        if self._is_waited_for:
            self._is_waited_for = False
            self._over.set()

    def stand_back(self) -> None:
        """Leave the interpreter to others until the pass that is being made, or about to be, is over.

        Where requests are few this takes no time; where a replica is never idle it gets its new models, too: this takes
        `most_seconds` and a gap at most.
        """
        if time.monotonic() < self._last_over + BUSY_SECONDS:
            self._wait(GAP_SECONDS)
        else:
            time.sleep(0)
        if self.is_taken:
            self._wait(self._most_seconds)

    def _wait(self, seconds: float) -> None:
        self._over.clear()
        self._is_waited_for = True
        self._over.wait(seconds)
        self._is_waited_for = False
