"""SIGTERM and Ctrl-C set a flag; a second one ends the process at once."""

import os
import signal
from threading import Event
from types import FrameType


def stop_on_signals() -> Event:
    """An event that the first SIGINT or SIGTERM sets."""
    stop = Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return stop
