"""Long work that lets others in: whoever does it calls a `MakeWay` between steps of a fraction of a millisecond."""

from collections.abc import Callable
from typing import Final

MakeWay = Callable[[], None]

STEP_BYTES: Final = 1 << 16
"""Copied, decoded or digested in some tens of microseconds. A kernel may let a thread that wakes up elsewhere wait for
the next system call of the one that computes (Linux, "lazy" preemption)."""


def go_on() -> None:
    """Nobody waits."""
