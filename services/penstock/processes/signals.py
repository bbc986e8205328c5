"""SIGTERM and Ctrl-C set a flag; a second one ends the process at once, as the first does before there is a flag."""

import os
import signal
from threading import Event
from types import FrameType


def end_at_once_on_sigterm() -> None:
    """While a service's imports and its start go on there is nothing to tidy up: stopped then, it has stopped well.

    Without a handler the first process of a container would not even hear of it (pid_namespaces(7)).
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


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
