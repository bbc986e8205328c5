"""Wait on conditions, with a deadline and a sentence."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 120.0
"""Far beyond what anything takes, on a busy machine too: only a test that fails waits so long."""


def wait_for(
    condition: Callable[[], T | None], what: str, timeout_seconds: float = PATIENCE_SECONDS, every_seconds: float = 0.05
) -> T:
    """The first truthy value of `condition`; fails with `what` at the deadline."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds:.0f} s: {what}")
        time.sleep(every_seconds)
