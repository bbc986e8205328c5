"""A place for one value, in which a newer value replaces one not yet taken: nothing piles up."""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Hands the newest value from one thread to another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value: T | None = None
        self._closed = False

    def put(self, value: T) -> None:
        """Leave a value; one that still lies here is dropped."""
        with self._changed:
            self._value = value
            self._changed.notify_all()

    def take(self, timeout_seconds: float | None = None) -> T | None:
        """Wait for a value and take it; None once the timeout has passed, or when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._value is not None or self._closed, timeout_seconds)
            value, self._value = self._value, None
            return value

    @property
    def is_empty(self) -> bool:
        """True if nothing waits to be taken."""
        return self._value is None

    @property
    def is_closed(self) -> bool:
        """True once nobody will put anything any more."""
        return self._closed

    def close(self) -> None:
        """Let `take` return at once from now on; what lies here can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
